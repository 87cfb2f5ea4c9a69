"""Milliseconds of labelling one text with a loaded model in Python, tf-idf included: median and 99th percentile.

    python tests/benchmarks/one_text.py [--json] [--texts 500] [METHOD …]

Methods are fitted on icd10cm, ELIAS for a tenth of its epochs: a model is as large, whatever its schedule.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import numpy as np

import xmcbench as xb

METHODS = ("xrlinear", "elias[effort=0.1]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("methods", nargs="*", default=METHODS)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--texts", type=int, default=500)
    options = parser.parse_args()
    texts = xb.dataset("icd10cm").test.texts
    assert texts is not None
    found: dict[str, object] = {"name": "one_text", "texts": options.texts}
    with tempfile.TemporaryDirectory() as folder:
        runs = xb.run(list(options.methods), dataset="icd10cm", results=folder, keep_models=True)
        for run in runs:
            model, taken = run.model(), []
            for number in range(options.texts + 20):  # the first ones load kernels
                start = time.perf_counter()
                model.predict([texts[number]], k=5)
                taken.append(1000 * (time.perf_counter() - start))
            found[run.label] = {"p50_ms": float(np.median(taken[20:])), "p99_ms": float(np.percentile(taken[20:], 99))}
    print(json.dumps(found) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
