"""XC repository text to CSR: one file of labels and features, or one matrix a file."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.data.lines import OutOfRange, Shape, look
from xmcbench.errors import DataError

if TYPE_CHECKING:
    import scipy.sparse as sp

WIDEST = 2**31 - 1  # ids are int32
SURELY_WIDE = 10**8  # a width above this and above the file's bytes is taken for damage, before anything is allocated


class DataWarning(UserWarning):
    """Something in a file that was put right while reading: what, where, how often."""


def read_sparse(path: Path, *, one_based: bool = False, threads: int | None = None) -> sp.csr_matrix:
    """Two-file form: a header `rows columns`, then a line of `id:value` pairs for each row; an empty line is a row
    without entries.

    Returns (rows, columns) float32, ids sorted; explicit zeros stay. `path` may end in .gz. CRLF and a byte order
    mark are accepted. `one_based`: ids count from 1 in the file. The result does not depend on `threads` (None: as many
    as numba is set to).

    Raises
    ------
    DataError : with file and line.
    """
    return _read(Path(path), with_labels=False, bases=(0, int(one_based)), threads=threads)[0]


def read_xmc(
    path: Path, *, one_based_features: bool = False, one_based_labels: bool = False, threads: int | None = None
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """One-file form: a header `points features labels`, then lines `l1,l2,… f:v f:v …`.

    A line without labels begins with a blank or at once with `f:v`; a row may have neither. A label that stands twice
    in a row is kept once, with a `DataWarning`; a feature that does is an error: nobody knows which value is meant.

    Returns ((n, d) float32 features, (n, L) float32 labels of ones); else as `read_sparse`.
    """
    bases = (int(one_based_labels), int(one_based_features))
    features, labels = _read(Path(path), with_labels=True, bases=bases, threads=threads)
    assert labels is not None
    return features, labels


@dataclass
class _Text:
    """The bytes of a file, the first being line 1, and its header's numbers."""

    path: Path
    buffer: NDArray[np.uint8]
    body: int  # where line 2 begins
    header: list[int]

    def line(self, start: int, stop: int) -> bytes:
        return self.buffer[start:stop].tobytes().rstrip(b"\n").removesuffix(b"\r")


def load_bytes(path: Path) -> NDArray[np.uint8]:
    """A file's bytes, memory-mapped, or unpacked when its name ends in .gz."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                return np.frombuffer(file.read(), np.uint8)
        if path.stat().st_size == 0:
            return np.empty(0, np.uint8)
        return np.asarray(np.memmap(path, np.uint8, mode="r"))  # numba is slow with `np.memmap` itself
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error})", "Get the file again.") from error
    except OSError as error:
        raise cannot_read(path, error) from error


def cannot_read(path: Path, error: OSError) -> DataError:
    """The error for a file that is missing or may not be read."""
    return DataError(f"{path}: can't read ({error.strerror or error})", "Give the path of an existing file.")


def _open(path: Path, names: str) -> _Text:
    """Read the header, whose numbers are called `names`."""
    buffer = load_bytes(path)
    begin = 3 if buffer[:3].tobytes() == b"\xef\xbb\xbf" else 0
    top = buffer[begin : begin + 4096].tobytes()
    line, newline, _ = top.partition(b"\n")
    words = line.split()
    wanted = names.split()
    if len(words) != len(wanted) or not all(w.isdigit() and len(w) <= 18 for w in words):
        shown = line[:60].decode("ascii", "backslashreplace").strip()
        other = {2: "This is the header of one matrix a file: read_sparse.", 3: "This is the one-file form: read_xmc."}
        numbers = bool(words) and all(w.isdigit() for w in words)
        hint = (other.get(len(words)) if numbers else None) or f"Put {len(wanted)} whole numbers on the first line."
        what = "the file is empty" if len(buffer) == begin else f"found {shown!r}"
        raise DataError(f"{path}, line 1: expected a header '{names}', {what}", hint)
    header = [int(w) for w in words]
    for name, value in zip(wanted[1:], header[1:], strict=True):
        if value > min(WIDEST, max(SURELY_WIDE, len(buffer))):
            hint = f"At most {SURELY_WIDE} in a file of {len(buffer)} bytes, and never above {WIDEST}."
            raise DataError(f"{path}, line 1: {value} {name} in the header can't be right", hint)
    body = begin + len(line) + 1 if newline else len(buffer)
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
        everywhere = _Everywhere(pool, threads)
        starts = _line_starts(text, everywhere)
        n = len(starts) - 1
        label_counts, counts = np.zeros(n, np.int64), np.zeros(n, np.int64)
        everywhere(n, lambda a, b: xmc_text.count_entries(text.buffer, starts, a, b, with_labels, label_counts, counts))
        label_at, at = _pointers(label_counts), _pointers(counts)
        label_ids, ids = np.empty(label_at[-1], np.int32), np.empty(at[-1], np.int32)
        values, status = np.empty(at[-1], np.float32), np.empty(n, np.uint8)
        widths = (n_labels, n_features, np.array(bases))
        out = (label_at, label_ids, at, ids, values, status)
        everywhere(n, lambda a, b: xmc_text.parse_rows(text.buffer, starts, a, b, with_labels, *widths, *out))
    for row in np.flatnonzero(status == xmc_text.LOOK):
        _look_again(text, shape, starts, int(row), out)
    features = sp.csr_matrix((values, ids, at), shape=(n, n_features))
    features.has_sorted_indices = features.has_canonical_format = True
    if not with_labels:
        return features, None
    labels = sp.csr_matrix((np.ones(len(label_ids), np.float32), label_ids, label_at), shape=(n, n_labels))
    twice = np.flatnonzero(status == xmc_text.TWICE)
    if len(twice):
        labels.has_canonical_format = False
        labels.sum_duplicates()
        labels.data[:] = 1
        warnings.warn(
            f"{path}: {len(twice)} rows name a label twice, first in line {twice[0] + 2}; it counts once",
            DataWarning,
            stacklevel=3,
        )
    labels.has_sorted_indices = labels.has_canonical_format = True
    return features, labels


class _Everywhere:
    """Cut [0, n) into one piece a thread and call a kernel that releases the GIL on each."""

    def __init__(self, pool: ThreadPoolExecutor, threads: int) -> None:
        self.pool, self.threads = pool, max(1, threads)

    def __call__(self, n: int, kernel: Callable[[int, int], Any]) -> list[Any]:
        edges = [n * i // self.threads for i in range(self.threads + 1)]
        return list(self.pool.map(kernel, edges[:-1], edges[1:]))


def _pointers(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def _line_starts(text: _Text, everywhere: _Everywhere) -> NDArray[np.int64]:
    """(rows + 1,) where each body line begins; a line ends one byte before the next one begins.

    Nothing is allocated by what the header says: the lines are counted first.
    """
    from xmcbench.data import xmc_text

    size, body, rows = len(text.buffer), text.body, text.header[0]
    found = everywhere(size - body, lambda a, b: (a, b, xmc_text.count_newlines(text.buffer, body + a, body + b)))
    lines = sum(count for *_, count in found)
    unfinished = body < size and text.buffer[-1] != xmc_text.NEWLINE
    starts = np.empty(lines + 1 + unfinished, np.int64)
    starts[0] = body
    at = 1
    for a, b, count in found:
        xmc_text.fill_starts(text.buffer, body + a, body + b, starts, at)
        at += count
    if unfinished:
        starts[-1] = size + 1
        lines += 1
    if lines < rows:
        raise DataError(
            f"{text.path}, line {lines + 1}: the header says {rows} rows, the file ends after {lines}",
            "The file is truncated, or its header is wrong: get it again.",
        )
    for extra in range(rows, lines):
        if text.line(starts[extra], min(starts[extra + 1], size)).strip():
            raise DataError(
                f"{text.path}, line {extra + 2}: the header says {rows} rows, the file holds more ({lines})",
                "Correct the first line.",
            )
    last = text.line(starts[rows - 1], size) if unfinished and rows == lines else b""
    if last.endswith((b".", b"e", b"E", b"-", b"+", b",", b":")):
        raise DataError(f"{text.path}, line {rows + 1}: the last line is cut off", "Get the file again.")
    return starts[: rows + 1]


def _look_again(text: _Text, shape: Shape, starts: NDArray[np.int64], row: int, out: tuple[NDArray[Any], ...]) -> None:
    """Read one row that the kernels left to Python, in place; DataError if it is wrong."""
    label_at, label_ids, at, ids, values, status = out
    try:
        labels, features, numbers = look(shape, row + 2, text.line(starts[row], min(starts[row + 1], len(text.buffer))))
    except OutOfRange as error:
        raise _perhaps_one_based(error, text, shape, starts) from None
    mine = slice(at[row], at[row + 1])
    ids[mine], values[mine] = features, np.array(numbers, np.float64).astype(np.float32)
    n = int(label_at[row + 1] - label_at[row])
    label_ids[label_at[row] : label_at[row + 1]] = labels + labels[-1:] * (n - len(labels))  # repeats are merged later
    status[row] = 2 if n > len(labels) else 0


def _perhaps_one_based(error: OutOfRange, text: _Text, shape: Shape, starts: NDArray[np.int64]) -> DataError:
    """The same error, with the likely cause when ids of that kind run from 1 to the width and 0 never occurs."""
    kind = error.kind
    width, base = (shape.n_labels, shape.base_labels) if kind == "label" else (shape.n_features, shape.base_features)
    lowest, highest = None, -1
    for row in range(len(starts) - 1):
        tokens = text.line(starts[row], min(starts[row + 1], len(text.buffer))).replace(b"\t", b" ").split(b" ")
        has = shape.with_labels and tokens[0] != b"" and b":" not in tokens[0]
        labels = tokens.pop(0).split(b",") if has else []
        names = labels if kind == "label" else [t.partition(b":")[0] for t in tokens]
        here = [int(t) for t in names if t.isdigit() and len(t) < 19]
        if here:
            lowest = min(here) if lowest is None else min(lowest, *here)
            highest = max(highest, *here)
    if base == 0 and highest == width and lowest is not None and lowest >= 1:
        return DataError(
            f"{error.message}. The file looks 1-based: its {kind} ids run from {lowest} to {highest}, never 0",
            f"Subtract 1 from every {kind} id, or import it with --one-based {kind}s.",
        )
    return DataError(error.message, error.hint)
