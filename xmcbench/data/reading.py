"""Read XC repository text into CSR: labels and features in one file, or one matrix per file."""

from __future__ import annotations

import gzip
import io
import os
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.data.lines import OutOfRange, Shape, look
from xmcbench.errors import DataError
from xmcbench.files import cannot_read

if TYPE_CHECKING:
    import scipy.sparse as sp

WIDEST = 2**31 - 1  # ids are int32
IMPLAUSIBLE_WIDTH = 10**8  # a header width above this and above the file's bytes is rejected, nothing is allocated


class DataWarning(UserWarning):
    """A defect of a file that was corrected while reading; the text gives the kind, place and count."""


def read_sparse(path: Path, *, one_based: bool = False, threads: int | None = None) -> sp.csr_matrix:
    """Read the two-file form: a header `rows columns`, then one line of `id:value` pairs per row, possibly empty.

    Returns (rows, columns) float32 CSR with sorted ids; explicit zeros are kept. `path` may end in .gz. CRLF and a byte
    order mark are accepted. `one_based`: ids in the file start at 1. The matrix does not depend on `threads` (None:
    numba's number of threads).

    Raises
    ------
    DataError : with file and line.
    """
    return _read(Path(path), with_labels=False, bases=(0, int(one_based)), threads=threads)[0]


def read_xmc(
    path: Path, *, one_based_features: bool = False, one_based_labels: bool = False, threads: int | None = None
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Read the one-file form: a header `points features labels`, then lines `l1,l2,… f:v f:v …`.

    A line without labels begins with a space or directly with `f:v`; a row may have neither labels nor features. A
    repeated label in a row counts once and causes a `DataWarning`. A repeated feature is an error, since its value
    would be ambiguous.

    Returns ((n, d) float32 features, (n, L) float32 labels of ones). Everything else is as in `read_sparse`.
    """
    bases = (int(one_based_labels), int(one_based_features))
    features, labels = _read(Path(path), with_labels=True, bases=bases, threads=threads)
    assert labels is not None
    return features, labels


@dataclass
class _Text:
    """The bytes of a file and the numbers in its header."""

    path: Path
    buffer: NDArray[np.uint8]
    body: int  # position of line 2
    header: list[int]

    def line(self, start: int, stop: int) -> bytes:
        return self.buffer[start:stop].tobytes().rstrip(b"\n").removesuffix(b"\r")


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file for reading, unpacked if its name ends in .gz; DataError if it is missing or damaged."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error})", "Get the file again.") from error
    except OSError as error:
        raise cannot_read(path, error) from error


def load_bytes(path: Path) -> NDArray[np.uint8]:
    """A file's bytes: memory-mapped, or unpacked in memory if its name ends in .gz."""
    with opened(path) as file:
        if path.suffix == ".gz" or os.fstat(file.fileno()).st_size == 0:  # an empty file can't be mapped
            return np.frombuffer(file.read(), np.uint8)
        return np.asarray(np.memmap(path, np.uint8, mode="r"))  # numba is slow with `np.memmap` objects


def _open(path: Path, names: str) -> _Text:
    """Read a file's bytes and its header; `names` are the names of the header's numbers."""
    buffer = load_bytes(path)
    start = 3 if buffer[:3].tobytes() == b"\xef\xbb\xbf" else 0
    head = buffer[start : start + 4096].tobytes()
    line, newline, _ = head.partition(b"\n")
    words = line.split()
    field_names = names.split()
    if len(words) != len(field_names) or not all(w.isdigit() and len(w) <= 18 for w in words):
        excerpt = line[:60].decode("ascii", "backslashreplace").strip()
        hints = {2: "This is the header of the two-file form: read_sparse.", 3: "This is the one-file form: read_xmc."}
        all_numbers = bool(words) and all(w.isdigit() for w in words)
        form_hint = hints.get(len(words)) if all_numbers else None
        hint = form_hint or f"Put {len(field_names)} whole numbers on the first line."
        problem = "the file is empty" if len(buffer) == start else f"found {excerpt!r}"
        raise DataError(f"{path}, line 1: expected a header '{names}', {problem}", hint)
    header = [int(w) for w in words]
    for name, value in zip(field_names[1:], header[1:], strict=True):
        if value > min(WIDEST, max(IMPLAUSIBLE_WIDTH, len(buffer))):
            hint = f"At most {IMPLAUSIBLE_WIDTH} in a file of {len(buffer)} bytes, and never above {WIDEST}."
            raise DataError(f"{path}, line 1: {value} {name} in the header can't be right", hint)
    body = start + len(line) + 1 if newline else len(buffer)
    return _Text(path, buffer, body, header)


def _read(
    path: Path, *, with_labels: bool, bases: tuple[int, int], threads: int | None
) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
    import numba
    import scipy.sparse as sp

    from xmcbench.data import xmc_text

    text = _open(path, "points features labels" if with_labels else "rows columns")
    n_features, n_labels = text.header[1], text.header[2] if with_labels else 0
    shape = Shape(path, n_features, n_labels, with_labels, bases[1], bases[0])
    threads = numba.get_num_threads() if threads is None else threads
    with ThreadPoolExecutor(threads) as pool:
        run_in_threads = _ParallelRanges(pool, threads)
        starts = _line_starts(text, run_in_threads)
        n_rows = len(starts) - 1
        label_counts, feature_counts = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
        run_in_threads(
            n_rows,
            lambda a, b: xmc_text.count_entries(text.buffer, starts, a, b, with_labels, label_counts, feature_counts),
        )
        label_starts, feature_starts = _row_pointers(label_counts), _row_pointers(feature_counts)
        label_ids, feature_ids = np.empty(label_starts[-1], np.int32), np.empty(feature_starts[-1], np.int32)
        values, status = np.empty(feature_starts[-1], np.float32), np.empty(n_rows, np.uint8)
        widths = (n_labels, n_features, np.array(bases))
        outputs = (label_starts, label_ids, feature_starts, feature_ids, values, status)
        run_in_threads(
            n_rows, lambda a, b: xmc_text.parse_rows(text.buffer, starts, a, b, with_labels, *widths, *outputs)
        )
    for row in np.flatnonzero(status == xmc_text.LOOK):
        _parse_in_python(text, shape, starts, int(row), outputs)
    features = sp.csr_matrix((values, feature_ids, feature_starts), shape=(n_rows, n_features))
    features.has_sorted_indices = features.has_canonical_format = True
    if not with_labels:
        return features, None
    labels = sp.csr_matrix((np.ones(len(label_ids), np.float32), label_ids, label_starts), shape=(n_rows, n_labels))
    repeats = np.flatnonzero(status == xmc_text.TWICE)
    if len(repeats):
        labels.has_canonical_format = False
        labels.sum_duplicates()
        labels.data[:] = 1
        warnings.warn(
            f"{path}: {len(repeats)} rows name a label twice, first in line {repeats[0] + 2}; it counts once",
            DataWarning,
            stacklevel=3,
        )
    labels.has_sorted_indices = labels.has_canonical_format = True
    return features, labels


class _ParallelRanges:
    """Split [0, n) into one range per thread and call a kernel, which releases the GIL, on each range."""

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self.pool, self.threads = pool, max(1, threads)

    def __call__(self, n: int, kernel: Callable[[int, int], Any]) -> list[Any]:
        edges = [n * i // self.threads for i in range(self.threads + 1)]
        return list(self.pool.map(kernel, edges[:-1], edges[1:]))


def _row_pointers(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _line_starts(text: _Text, run_in_threads: _ParallelRanges) -> NDArray[np.int64]:
    """(rows + 1,) start of each body line; a line ends one byte before the next one starts.

    The lines are counted first, so that a wrong header never determines an allocation.
    """
    from xmcbench.data import xmc_text

    size, body, n_rows = len(text.buffer), text.body, text.header[0]
    newline_counts = run_in_threads(
        size - body, lambda a, b: (a, b, xmc_text.count_newlines(text.buffer, body + a, body + b))
    )
    n_lines = sum(count for *_, count in newline_counts)
    unfinished = body < size and text.buffer[-1] != xmc_text.NEWLINE
    starts = np.empty(n_lines + 1 + unfinished, np.int64)
    starts[0] = body
    next_line = 1
    for a, b, count in newline_counts:
        xmc_text.fill_starts(text.buffer, body + a, body + b, starts, next_line)
        next_line += count
    if unfinished:
        starts[-1] = size + 1
        n_lines += 1
    if n_lines < n_rows:
        raise DataError(
            f"{text.path}, line {n_lines + 1}: the header says {n_rows} rows, the file ends after {n_lines}",
            "The file is truncated, or its header is wrong: get it again.",
        )
    for extra in range(n_rows, n_lines):
        if text.line(starts[extra], min(starts[extra + 1], size)).strip():
            raise DataError(
                f"{text.path}, line {extra + 2}: the header says {n_rows} rows, the file holds more ({n_lines})",
                "Correct the first line.",
            )
    last = text.line(starts[n_rows - 1], size) if unfinished and n_rows == n_lines else b""
    if last.endswith((b".", b"e", b"E", b"-", b"+", b",", b":")):
        raise DataError(f"{text.path}, line {n_rows + 1}: the last line is cut off", "Get the file again.")
    return starts[: n_rows + 1]


def _parse_in_python(
    text: _Text, shape: Shape, starts: NDArray[np.int64], row: int, outputs: tuple[NDArray[Any], ...]
) -> None:
    """Parse a row that the kernels marked `LOOK`, and write it into `outputs`; DataError if it is invalid."""
    label_starts, label_ids, feature_starts, feature_ids, values, status = outputs
    try:
        labels, features, numbers = look(shape, row + 2, text.line(starts[row], min(starts[row + 1], len(text.buffer))))
    except OutOfRange as error:
        raise _add_one_based_hint(error, text, shape, starts) from None
    entries = slice(feature_starts[row], feature_starts[row + 1])
    feature_ids[entries], values[entries] = features, np.array(numbers, np.float64).astype(np.float32)
    n_labels = int(label_starts[row + 1] - label_starts[row])
    n_repeats = n_labels - len(labels)
    label_ids[label_starts[row] : label_starts[row + 1]] = labels + labels[-1:] * n_repeats  # `_read` merges repeats
    status[row] = 2 if n_repeats > 0 else 0


def _add_one_based_hint(error: OutOfRange, text: _Text, shape: Shape, starts: NDArray[np.int64]) -> DataError:
    """The same error, with a hint if ids of that kind run from 1 to the width and never include 0."""
    kind = error.kind
    width, base = (shape.n_labels, shape.base_labels) if kind == "label" else (shape.n_features, shape.base_features)
    lowest, highest = None, -1
    for row in range(len(starts) - 1):
        tokens = text.line(starts[row], min(starts[row + 1], len(text.buffer))).replace(b"\t", b" ").split(b" ")
        has_labels = shape.with_labels and tokens[0] != b"" and b":" not in tokens[0]
        labels = tokens.pop(0).split(b",") if has_labels else []
        id_texts = labels if kind == "label" else [t.partition(b":")[0] for t in tokens]
        row_ids = [int(t) for t in id_texts if t.isdigit() and len(t) < 19]
        if row_ids:
            lowest = min(row_ids) if lowest is None else min(lowest, *row_ids)
            highest = max(highest, *row_ids)
    if base == 0 and highest == width and lowest is not None and lowest >= 1:
        return DataError(
            f"{error.message}. The file looks 1-based: its {kind} ids run from {lowest} to {highest}, never 0",
            f"Subtract 1 from every {kind} id, or import it with --one-based {kind}s.",
        )
    return DataError(error.message, error.hint)
