"""`xmcbench predict` with a linear label tree: rows per second, and memory by the number of texts.

    python tests/benchmarks/predict.py MODEL [--json] [--rows 10000,100000,1000000]

MODEL is the folder of a kept model that reads texts, such as that of `xmcbench run tree --keep-models` (xrlinear on
icd10cm). The texts are those of the test rows of its data set, drawn with replacement, one per line.

batch     rows per second of the model's own prediction of the test rows at once, features made before, best of 3
command   rows per second of the whole command, and of it without the seconds for one text, which are nearly all start
share     rows per second of the command without its start / those of `batch`
memory    most bytes of the command's process
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from xmcbench.data import load
from xmcbench.models.folder import load_model
from xmcbench.models.model import Model

# runs a command in a child of its own, whose memory `resource` then gives
CHILD = """
import json, resource, subprocess, sys, time
start = time.monotonic()
subprocess.run([sys.executable, "-m", "xmcbench", *sys.argv[1:]], check=True, stderr=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.monotonic() - start, usage.ru_maxrss * 1024]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model = load_model(args.model)
    data = model.card.dataset
    texts = [" ".join(text.split()) for text in load(data.name, data.view).test.texts or ()]
    figures: dict[str, Any] = {"batch": batch_speed(model, texts)}
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "texts.txt"), Path(folder, "labels.jsonl")
        write(source, texts, 1)
        start, _ = command(args.model, source, out)
        figures["start_seconds"] = start
        for rows in map(int, args.rows.split(",")):
            write(source, texts, rows)
            seconds, n_bytes = command(args.model, source, out)
            with out.open() as file:
                assert sum(1 for _ in file) == rows
            figures[str(rows)] = {
                "rows_per_second": rows / seconds,
                "without_start": rows / (seconds - start),
                "share": rows / (seconds - start) / figures["batch"],
                "memory": n_bytes,
            }
            if not args.json:
                print(rows, figures[str(rows)], flush=True)
    print(json.dumps(figures) if args.json else f"batch {figures['batch']:.0f} rows per second, start {start:.1f} s")


def batch_speed(model: Model, texts: list[str]) -> float:
    inputs = model.inputs(texts)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        model.topk(inputs, 5)
        times.append(time.perf_counter() - start)
    return len(texts) / min(times)


def write(path: Path, texts: list[str], rows: int) -> None:
    rng = random.Random(0)
    with path.open("w") as file:
        for _ in range(rows):
            file.write(rng.choice(texts) + "\n")


def command(model: Path, source: Path, out: Path) -> tuple[float, int]:
    """(seconds, most bytes) of one command."""
    words = ["predict", str(model), "--texts", str(source), "--to", str(out)]
    done = subprocess.run([sys.executable, "-c", CHILD, *words], check=True, capture_output=True, text=True)
    seconds, n_bytes = json.loads(done.stdout)
    return seconds, n_bytes


if __name__ == "__main__":
    main()
