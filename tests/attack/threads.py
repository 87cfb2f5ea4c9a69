"""Every installed method with 1 thread, with 2, and with 2 in another process: are its predictions bit-identical?

python tests/attack/threads.py [--dataset NAME] [--seconds 200] [--seed 0] [METHOD …]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from leftovers import records_of

SMALL = "synthetic[rows=2000,test=200,labels=1000,features=700]"  # sums over 1,000 and more, which MKL may divide
SHORT = {
    "elias": "elias[dual_epochs=2,stage1_epochs=2,stage2_epochs=2]",
    "ance": "ance[epochs=3,warm_up=1]",
}
TIMES = {"1 thread": 1, "2 threads": 2, "2 threads, another process": 2}


def hashes(methods: list[str], threads: int, asked: argparse.Namespace, folder: Path) -> dict[str, str]:
    """Label → hash of the predictions, or how the run ended; in a new process."""
    words = [
        sys.executable,
        "-m",
        "xmcbench",
        "run",
        *(SHORT.get(name, name) for name in methods),
        "--dataset",
        asked.dataset,
    ]
    words += ["--threads", str(threads), "--seeds", str(asked.seed), "--results", str(folder)]
    environment = {**os.environ, "XMCBENCH_HOME": str(folder.parent / "home"), "NUMBA_NUM_THREADS": "2"}
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=asked.seconds)
    records = records_of(folder)
    if not records:
        raise RuntimeError(ended.stderr[-1000:])
    return {
        r["method"]["label"]: r["predictions"]["sha256"] if r["status"] == "ok" else f"{r['status']}: {r['reason']}"
        for r in records
    }


def declared_apart(label: str) -> bool:
    """Whether the method says that no seed makes two of its fits the same."""
    from xmcbench.runs.registry import get

    return not get(label.partition("[")[0]).info.seeded


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD")
    parser.add_argument("--dataset", default=SMALL)
    parser.add_argument("--seconds", type=float, default=200.0, help="for each number of threads")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.monotonic()
    from xmcbench.runs.registry import sources

    methods = asked.methods or sorted(sources())
    with tempfile.TemporaryDirectory(prefix="attack-") as place:
        found = {
            how: hashes(methods, threads, asked, Path(place) / f"r{i}")
            for i, (how, threads) in enumerate(TIMES.items())
        }
    faults, apart, skipped = [], 0, 0
    for label, first in found["1 thread"].items():
        differing = [how for how in TIMES if found[how].get(label) != first]
        if first.startswith("skipped"):
            skipped += 1
        elif ": " in first:
            faults.append(f"{label}: {first}")
        elif differing and declared_apart(label):
            apart += 1
        elif differing:
            faults.append(f"{label}: other predictions than with 1 thread: {', '.join(differing)}")
    print("".join(f"  {fault}\n" for fault in faults), end="")
    print(
        f"threads: {len(found['1 thread'])} methods, {apart} declared not repeatable, {skipped} skipped, "
        f"{time.monotonic() - began:.0f} s, {len(faults)} faults (seed {asked.seed})"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
