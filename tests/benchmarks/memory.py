"""Estimated against measured peak memory of runs, at three sizes of synthetic data and one of Amazon-670K's shape.

    python tests/benchmarks/memory.py [METHOD ...] [--sizes small,medium,large,amazon] [--json]

Each run has a process of its own, which finds its data set in the cache. `measured` is the peak resident memory of
that process, and for `pecos` of its worker; `estimated` is what `xmcbench run --dry-run` shows. It is good from
0.9 to 2 times what is measured. Exit code 1 if one is not.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = {
    "small": "synthetic[labels=5000,rows=20000,test=2000,features=10000]",
    "medium": "synthetic[labels=12000,rows=40000,test=4000,features=30000]",
    "large": "synthetic[labels=30000,rows=80000,test=8000,features=60000]",
    # Features in all, features per row, rows per label and labels per row are those of Amazon-670K.
    "amazon": "synthetic[preset=amazon-670k-tenth,rows=9000,test=1000,labels=12300,features=135909]",
}
# Epochs and rounds change no peak, so that few are enough.
SHORT = "stage1_epochs=1,stage2_epochs=1,dual_epochs=1,finish_epochs=1"
METHODS = (
    "popularity", "knn", "ovr[max_iter=2]", "xrlinear", "parabel", "bonsai", "ance[epochs=1,warm_up=0]",
    f"elias[{SHORT}]", f"elias[{SHORT},ranker=none]", "omikuji", "napkinxc", "pecos",
)  # fmt: skip
GOOD = 0.9, 2.0
LIMIT = 3000  # seconds of one run


def measure(method: str, dataset: str) -> None:
    """Run in this process and print what it took as JSON."""
    import xmcbench as xb
    from xmcbench.data import load
    from xmcbench.method import Machine
    from xmcbench.runs.footprint import of_run
    from xmcbench.runs.machine import available_cores
    from xmcbench.runs.suite import Suite, Table

    data = load(dataset)
    (spec,) = Suite((Table((method,), (dataset,)),), 100, ()).plan()
    need = of_run(spec, data.facts(), Machine(available_cores(), "cpu"))
    with tempfile.TemporaryDirectory() as folder:
        run = xb.run(method, dataset=dataset, results=folder, progress=False, memory=None)
        record = run.records[0]
        if record.status != "ok":
            raise SystemExit(f"{record.status}: {record.reason}")
    # The kernel's numbers of children would count this process again, whose pages a child has before it starts.
    worker = max([0, *(int(value) for name, value in record.notes.items() if name.endswith("_peak_rss_bytes"))])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + worker
    facts = data.facts()
    counts = {"entries": facts.entries, "pairs": facts.pairs, "model": record.costs.model_bytes}
    print(json.dumps({"estimated": None if need is None else need.memory, "measured": peak, **counts}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure)
        return
    wrong = 0
    for size in options.sizes.split(","):
        subprocess.run([sys.executable, "-c", f"from xmcbench.data import load; load({SIZES[size]!r})"], check=True)
        for method in options.methods:
            child = [sys.executable, str(Path(__file__)), "--measure", method, SIZES[size]]
            done = subprocess.run(child, capture_output=True, text=True, timeout=LIMIT)
            if done.returncode:
                wrong += "skipped:" not in done.stderr
                print(f"{method:40} {size:8} not measured: {done.stderr.strip().splitlines()[-1][:200]}", flush=True)
                continue
            values = json.loads(done.stdout.splitlines()[-1])
            ratio = (values["estimated"] or 0) / values["measured"]
            good = GOOD[0] <= ratio <= GOOD[1]
            wrong += not good
            if options.json:
                print(json.dumps({"method": method, "size": size, "ratio": ratio, **values}), flush=True)
            else:
                numbers = (
                    f"{(values['estimated'] or 0) >> 20:6,} MiB estimated {values['measured'] >> 20:6,} MiB measured"
                )
                print(f"{method:40} {size:8} {numbers} {ratio:5.2f} {'' if good else '  WRONG'}", flush=True)
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
