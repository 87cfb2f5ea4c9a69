"""Our XMC text reader against scikit-learn's `load_svmlight_file`, on one synthetic file, in pairs of readings.

    python tests/benchmarks/read_xmc.py [--json] [--rows 40000] [--repeats 3] [--threads 2] [--times 1]

The file has the form and size of EURLex-4K's training file, larger: rows × 200 features of 5,000, about five labels of
4,000 a row, values of six decimals. scikit-learn reads the same bytes without the header line, which it doesn't know.
Numba's compilation is left out: each reader runs once on a small file first.

`ratio` is the median of scikit-learn's seconds by the wall clock / ours of one pair. `cpu_ratio` is the same of CPU
seconds of the process, all threads together: what other programs do at the same time hardly changes it, and n threads
that never wait have n times as much by the wall clock. `memory_ratio` is the growth of the process's peak during our
first reading of the large file / the bytes of the arrays that it returns.

With `--times 90` a file of 10 GB, the same lines 90 times, is read too, by our reader alone, and its megabytes per
second are compared with those of the small one. It lies in the folder for temporary files (TMPDIR), is on the disk
before it is read, so that its writing is not timed, and its bytes alone are read before and after: what of the time is
the disk's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def write_file(path: Path, rows: int, seed: int = 0) -> None:
    """`path` with a header, and `path` + ".svm" without one."""
    rng = np.random.default_rng(seed)
    with open(path, "w") as with_header, open(f"{path}.svm", "w") as without:
        with_header.write(f"{rows} 5000 4000\n")
        for _ in range(rows):
            labels = np.unique(rng.integers(0, 4000, rng.integers(3, 8))).astype(str)
            ids = np.unique(rng.integers(0, 5000, 200))
            pairs = " ".join(f"{i}:{v:.6f}" for i, v in zip(ids.tolist(), rng.random(len(ids)).tolist(), strict=True))
            line = f"{','.join(labels)} {pairs}\n"
            with_header.write(line)
            without.write(line)


def repeat(path: Path, rows: int, times: int, target: Path) -> None:
    """`target` with the lines of `path` some times."""
    with open(target, "wb") as file:
        file.write(f"{rows * times} 5000 4000\n".encode())
        for _ in range(times):
            with open(f"{path}.svm", "rb") as lines:
                shutil.copyfileobj(lines, file, 1 << 24)
        file.flush()
        os.fsync(file.fileno())


def read_bytes(path: Path) -> None:
    block = bytearray(1 << 24)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(block):
            pass


def nbytes(matrices: tuple[Any, Any]) -> int:
    """Bytes of the arrays of two sparse matrices."""
    return sum(part.nbytes for matrix in matrices for part in (matrix.data, matrix.indices, matrix.indptr))


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the wall clock, and of CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


def peak() -> int:
    """Most bytes that the process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_argument("--rows", type=int, default=40_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=2, help="threads of the second measurement of ours")
    options.add_argument("--times", type=int, default=1, help="also read a file with the lines so many times")
    chosen = options.parse_args()

    from sklearn.datasets import load_svmlight_file

    from xmcbench.data.matrix_text import read_xmc

    def theirs(path: Path) -> Any:
        return load_svmlight_file(f"{path}.svm", n_features=5000, dtype=np.float32, multilabel=True, zero_based=True)

    with tempfile.TemporaryDirectory() as folder:
        small, path = Path(folder, "small.txt"), Path(folder, "large.txt")
        write_file(small, 50)
        write_file(path, chosen.rows)
        theirs(small)
        read_xmc(small)
        before = peak()
        features, labels = read_xmc(path, threads=chosen.threads)
        memory_ratio = (peak() - before) / nbytes((features, labels))
        assert abs(features - theirs(path)[0]).max() < 1e-6, "the two readers disagree"
        del features, labels
        megabytes = path.stat().st_size / 1e6
        pairs = {threads: [] for threads in (1, chosen.threads)}
        for _ in range(chosen.repeats):
            other = seconds(lambda: theirs(path))
            for threads, results in pairs.items():
                results.append((other, seconds(lambda threads=threads: read_xmc(path, threads=threads))))
        large = Path(folder, "larger.txt")
        if chosen.times > 1:
            repeat(path, chosen.rows, chosen.times, large)
            size = large.stat().st_size / 1e6
            bytes_alone = [size / seconds(lambda: read_bytes(large))[0]]
            start = time.perf_counter()
            arrays = nbytes(read_xmc(large, threads=chosen.threads))
            large_speed = size / (time.perf_counter() - start)
            bytes_alone.append(size / seconds(lambda: read_bytes(large))[0])
            large_memory = peak() / arrays  # of the whole process, which matters little beside gigabytes
    result = {"rows": chosen.rows, "megabytes": round(megabytes, 1), "memory_ratio": round(memory_ratio, 2)}
    print_lines = [f"{chosen.rows} rows, {megabytes:.0f} MB, {chosen.repeats} pairs (compilation left out)"]
    for threads, results in pairs.items():
        for i, name in enumerate(("ratio", "cpu_ratio")):
            result[f"{name}_{threads}"] = statistics.median(other[i] / ours[i] for other, ours in results)
        other, ours = (statistics.median(pair[side][0] for pair in results) for side in (0, 1))
        print_lines.append(
            f"{threads} threads: ratio {result[f'ratio_{threads}']:.1f} ({other:.3f} s, ours {ours:.3f} s), "
            f"of CPU {result[f'cpu_ratio_{threads}']:.1f}"
        )
    print_lines.append(f"peak memory {memory_ratio:.2f} × the arrays")
    if chosen.times > 1:
        speed = megabytes / statistics.median(ours[0] for _, ours in pairs[chosen.threads])
        result |= {"large_speed_ratio": large_speed / speed, "large_memory_ratio": large_memory}
        result["bytes_alone"] = bytes_alone
        print_lines.append(
            f"{chosen.times} times the lines: {large_speed:.0f} MB/s, the small file {speed:.0f}; "
            f"its bytes alone {bytes_alone[0]:.0f} before and {bytes_alone[1]:.0f} after; "
            f"peak of the process {large_memory:.2f} × the arrays"
        )
    print(json.dumps(result) if chosen.json else "\n".join(print_lines))


if __name__ == "__main__":
    main()
