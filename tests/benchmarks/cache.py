"""Seconds to open a parsed data set from the cache: with unchanged files, and with all files hashed.

    python tests/benchmarks/cache.py [--json] [--gigabytes 0.1]

The data set has rows of 100 features, of the given size in the cache. It is parsed from a text of the XC repository's
form. Medians, with all files in the system's memory, which is the case where verifying weighs most:

parse           from the text until the data set is open; its files are written, hashed and validated
open            from the call until the data set is open, if its files did not change since they were verified
open_and_read   the same, and one pass over all arrays, as the first use of the data set needs
verify          from the call until the data set is open, with all files hashed and validated

check           what `open` does only to verify: read the two JSON files and compare the stamp of every file

`share` is check / open_and_read: what verifying an unchanged data set costs of loading it. The limit is that of the
project.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from xmcbench.data import array_files, arrays, cache
from xmcbench.data.cache import Cached
from xmcbench.data.matrix_text import read_xmc
from xmcbench.data.spec import Parsed, Split
from xmcbench.data.validate import validate
from xmcbench.files import SETTLE, stamp_of

PER_ROW, WORDS, LABELS = 100, 100_000, 10_000
BYTES = 8 * PER_ROW  # of one row in the cache: int32 ids and float32 values
BLOCK = 2_000  # different rows; the file repeats them
REPEATS = 7
LIMIT = 0.05


def write_text(path: Path, rows: int) -> None:
    """Rows with features in a text of the XC repository's form."""
    rng = np.random.default_rng(0)
    ids = np.cumsum(rng.integers(1, WORDS // PER_ROW, (BLOCK, PER_ROW)), 1) - 1
    values = rng.random((BLOCK, PER_ROW))
    lines = [" ".join(f"{i}:{v:.6f}" for i, v in zip(*row, strict=True)) for row in zip(ids, values, strict=True)]
    block = "".join(f"{label} {line}\n" for label, line in zip(rng.integers(0, LABELS, BLOCK), lines, strict=True))
    with open(path, "w") as file:
        file.write(f"{rows} {WORDS} {LABELS}\n")
        for _ in range(rows // BLOCK):
            file.write(block)


def parse(train: Path, test: Path) -> Parsed:
    parsed = Parsed(*(Split(features, None, labels) for features, labels in map(read_xmc, (train, test))))
    validate(parsed, "benchmark")
    return parsed


def check(folder: Path) -> None:
    meta, known = arrays.facts_of(folder, "key"), arrays._known(folder)
    assert known.meta == arrays._checksum(meta)
    for name in meta["arrays"]:
        with array_files.opened(folder / f"{name}.npy") as file:
            assert stamp_of(os.fstat(file.fileno())) == known.files[name]


def read_all(cached: Cached) -> None:
    for _, array in cache.arrays(cached.parsed):
        if array.size:
            array.max()


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def measure(folder: Path, gigabytes: float) -> dict[str, float]:
    rows = max(1, round(gigabytes * 1e9 / BYTES / BLOCK)) * BLOCK
    train, test = folder / "train.txt", folder / "test.txt"
    write_text(train, rows)
    write_text(test, BLOCK)
    read_xmc(test)  # numba compiles
    load = partial(cache.open_or_build, folder / "parsed", "key", partial(parse, train, test))
    taken = {"parse": seconds(load, 1)}
    time.sleep(2 * SETTLE / 1e9)  # files that just changed are hashed again
    load()
    taken["open"] = seconds(load)
    taken["open_and_read"] = seconds(lambda: read_all(load()))
    taken["check"] = seconds(partial(check, folder / "parsed"))
    taken["verify"] = seconds(partial(load, verify=True), 3)
    size = sum(path.stat().st_size for path in (folder / "parsed").iterdir()) / 1e9
    share = taken["check"] / taken["open_and_read"]
    return {"gigabytes": size, **{f"{key}_seconds": value for key, value in taken.items()}, "share": share}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_argument("--gigabytes", type=float, default=0.1)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {**measure(Path(folder), chosen.gigabytes), "share_limit": LIMIT}
    rounded = {key: round(value, 5) for key, value in found.items()}
    print(json.dumps(rounded) if chosen.json else "\n".join(f"{key:22} {value}" for key, value in rounded.items()))


if __name__ == "__main__":
    main()
