"""Read matrices from text into CSR: XC repository text, with its widths in line 1, and svmlight text, without them."""

from __future__ import annotations

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench import limits
from xmcbench.data.lines import OutOfRange, look
from xmcbench.data.reading import DataWarning, load_bytes
from xmcbench.errors import DataError

if TYPE_CHECKING:
    from xmcbench.data.xmc_text import Rows, Text

BLOCK = 1 << 24  # bytes per search for line ends
CUT_OFF = (b".", b"e", b"E", b"-", b"+", b",", b":")  # ends of a line whose last number is incomplete
BOM = b"\xef\xbb\xbf"
SKIPPED = re.compile(
    rb"\r?\n[ \t]*#[^\r\n]*|#[^\r\n]*|(?<=[ \t])qid:[^\s]*"
)  # a line that is a comment, with its start


@dataclass(frozen=True)
class Form:
    """How a text is read.

    Attributes
    ----------
    with_labels : lines are `l1,l2 f:v f:v`, otherwise `f:v f:v`. header : line 1 has the numbers of rows and columns.
    label_base, feature_base : first valid id, 0 or 1. exact : values are float64, otherwise float32.
    rows, width : without a header, the number of rows and of features, if they are known.
    """

    with_labels: bool
    header: bool = True
    label_base: int = 0
    feature_base: int = 0
    exact: bool = False
    rows: int | None = None
    width: int | None = None


def read_sparse(path: Path, *, one_based: bool = False, threads: int | None = None) -> sp.csr_matrix:
    """Read the two-file form: a header `rows columns`, then one line of `id:value` pairs per row, possibly empty.

    Returns (rows, columns) float32 CSR with sorted ids; explicit zeros are kept. The file may be compressed. CRLF and a
    byte order mark are accepted. `one_based`: ids in the file start at 1. The matrix does not depend on `threads`
    (None: numba's number of threads). DataError names the file and line of a fault.
    """
    return _read(path, Form(with_labels=False, feature_base=int(one_based)), threads)[0]


def read_xmc(
    path: Path, *, one_based_features: bool = False, one_based_labels: bool = False, threads: int | None = None
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Read the one-file form: a header `points features labels`, then lines `l1,l2,… f:v f:v …`.

    A line without labels begins with a space or directly with `f:v`; a row may have neither labels nor features. A
    repeated label in a row counts once and causes a `DataWarning`. A repeated feature is an error, since its value
    would be ambiguous.

    Returns ((n, d) float32 features, (n, L) float32 labels of ones). Everything else is as in `read_sparse`.
    """
    return _read(path, Form(True, label_base=int(one_based_labels), feature_base=int(one_based_features)), threads)


def read_svmlight(
    path: Path, *, one_based_features: bool = False, one_based_labels: bool = False
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Read lines `l1,l2 f:v f:v` without a header, as scikit-learn's `dump_svmlight_file` writes them.

    Comments after `#` and `qid:` are skipped. Every other line is a row, also an empty one, except empty lines at the
    end. A comment "Column indices are one-based", which scikit-learn writes, is followed. Everything else is as in
    `read_xmc`, but the widths are those of the largest ids in the file.
    """
    form = Form(True, header=False, label_base=int(one_based_labels), feature_base=int(one_based_features))
    return _read(path, form, None)


def read_scores(path: Path, n_rows: int, n_labels: int, *, header: bool, one_based: bool = False) -> sp.csr_matrix:
    """Read lines of `label:score` pairs into (rows, columns) float64 CSR; otherwise as `read_sparse`.

    Without `header` there must be `n_rows` lines, and labels below `n_labels`; with it, the caller compares the shape.
    """
    return _read(path, Form(False, header, 0, int(one_based), exact=True, rows=n_rows, width=n_labels), None)[0]


def _header(path: Path, buffer: NDArray[np.uint8], names: list[str]) -> tuple[list[int], int]:
    """(numbers of the header, position of line 2); `names` are the names of the numbers."""
    start = _after_bom(buffer)
    line, newline, _ = buffer[start : start + 4096].tobytes().partition(b"\n")
    words = line.split()
    if len(words) != len(names) or not all(w.isdigit() and len(w) <= 18 for w in words):
        excerpt = line[:60].decode("ascii", "backslashreplace").strip()
        forms = {2: "This is the header of a file of features or of labels alone.", 3: "This file has labels too."}
        form = forms.get(len(words)) if all(w.isdigit() for w in words) else None
        problem = "the file is empty" if len(buffer) == start else f"found {excerpt!r}"
        raise DataError(
            f"{path}, line 1: expected a header '{' '.join(names)}', {problem}",
            form or f"Put {len(names)} whole numbers on the first line.",
        )
    header = [int(w) for w in words]
    for name, value in zip(names[1:], header[1:], strict=True):
        if value > limits.longest_side(limits.COLUMNS, len(buffer)):
            hint = f"At most {limits.COLUMNS} in a file of {len(buffer)} bytes, and never above {limits.WIDEST}."
            raise DataError(f"{path}, line 1: {value} {name} in the header can't be right", hint)
    return header, start + len(line) + 1 if newline else len(buffer)


def _after_bom(buffer: NDArray[np.uint8]) -> int:
    return len(BOM) if buffer[: len(BOM)].tobytes() == BOM else 0


def _without_comments(path: Path, buffer: NDArray[np.uint8], form: Form) -> tuple[NDArray[np.uint8], int, Form]:
    """(the text with spaces in place of comments and qids, start of the first row, form with the base they state).

    A line that is a comment becomes the end of the line before it, so that positions and the numbers of lines before
    them stay those of the file. Comments at the beginning are passed over.
    """
    start, content = _after_bom(buffer), buffer.tobytes()
    while match := re.compile(rb"[ \t]*#[^\n]*(\n|$)").match(content, start):
        stated = re.search(rb"Column indices are (zero|one)-based", match.group())
        if stated and stated.group(1) == b"zero" and form.feature_base == 1:
            message = f"{path}: its first lines state that column indices are zero-based"
            raise DataError(message, "Leave out --one-based for its features.")
        form = replace(form, feature_base=1) if stated and stated.group(1) == b"one" else form
        start = match.end()
    if b"#" in content[start:] or b"qid:" in content:
        content = content[:start] + SKIPPED.sub(lambda skipped: b" " * len(skipped.group()), content[start:])
    return np.frombuffer(content, np.uint8), start, form


def _read(path: Path, form: Form, threads: int | None) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """(features, labels), the latter without columns if the file has no labels."""
    import numba

    from xmcbench.data import xmc_text

    original = buffer = load_bytes(path)
    n_rows: int | None
    if form.header:
        names = ["points", "features", "labels"] if form.with_labels else ["rows", "columns"]
        header, body = _header(path, buffer, names)
        n_rows, n_features, n_labels = (*header, 0)[:3]
    else:
        buffer, body, form = _without_comments(path, buffer, form)
        n_rows, n_labels = form.rows, limits.longest_side(limits.COLUMNS, len(buffer))
        n_features = n_labels if form.width is None else form.width
    threads = numba.get_num_threads() if threads is None else max(1, threads)
    with ThreadPoolExecutor(threads) as pool:
        starts = _line_starts(path, original, buffer, body, n_rows, form.header, pool)
        bases = form.label_base, form.feature_base
        text = xmc_text.Text(buffer, starts, form.with_labels, n_labels, n_features, *bases, form.header, form.exact)
        rows = _parse(text, threads, pool)
    irregular = np.flatnonzero(rows.status == xmc_text.LOOK)
    for row, number in zip(irregular.tolist(), _numbers(original, starts[irregular]), strict=True):
        _parse_in_python(path, text, row, number, rows)
    n = len(starts) - 1
    if not form.header:
        n_labels = int(rows.label_ids.max(initial=-1)) + 1
        n_features = int(rows.feature_ids.max(initial=-1)) + 1 if form.width is None else form.width
    features = sp.csr_matrix((rows.values, rows.feature_ids, rows.feature_starts), shape=(n, n_features))
    features.has_sorted_indices = features.has_canonical_format = True
    ones = np.ones(len(rows.label_ids), np.float32)
    labels = sp.csr_matrix((ones, rows.label_ids, rows.label_starts), shape=(n, n_labels if form.with_labels else 0))
    repeats = np.flatnonzero(rows.status == xmc_text.TWICE)
    if len(repeats):
        labels.has_canonical_format = False
        labels.sum_duplicates()
        labels.data[:] = 1
        [first] = _numbers(original, starts[repeats[:1]])
        problem = f"{len(repeats)} rows name a label twice, first in line {first}; it counts once"
        warnings.warn(f"{path}: {problem}", DataWarning, stacklevel=3)
    labels.has_sorted_indices = labels.has_canonical_format = True
    return features, labels


def _parse(text: Text, threads: int, pool: ThreadPoolExecutor) -> Rows:
    """All rows of a text, each thread one range of them; those with status `LOOK` are left to Python."""
    from xmcbench.data import xmc_text

    n_rows = len(text.starts) - 1
    label_counts, feature_counts = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
    edges = [n_rows * i // threads for i in range(threads + 1)]

    def count(first: int, last: int) -> None:
        xmc_text.count_entries(text, first, last, label_counts, feature_counts)

    list(pool.map(count, edges[:-1], edges[1:]))
    label_starts, feature_starts = (np.concatenate([[0], np.cumsum(n)]) for n in (label_counts, feature_counts))
    rows = xmc_text.Rows(
        label_starts,
        np.empty(label_starts[-1], np.int32),
        feature_starts,
        np.empty(feature_starts[-1], np.int32),
        np.empty(feature_starts[-1], np.float64 if text.exact else np.float32),
        np.empty(n_rows, np.uint8),
    )
    list(pool.map(lambda first, last: xmc_text.parse_rows(text, first, last, rows), edges[:-1], edges[1:]))
    return rows


def _line_starts(
    path: Path,
    original: NDArray[np.uint8],
    buffer: NDArray[np.uint8],
    body: int,
    n_rows: int | None,
    header: bool,
    pool: ThreadPoolExecutor,
) -> NDArray[np.int64]:
    """(rows + 1,) start of each body line; a line ends one byte before the next one starts.

    The lines are counted first, so that a wrong header never determines an allocation. `n_rows` None: all lines but
    empty ones at the end.
    """

    def line_ends(start: int) -> NDArray[np.int64]:
        return np.flatnonzero(buffer[start : start + BLOCK] == ord("\n")) + start

    size = len(buffer)
    unfinished = body < size and buffer[-1] != ord("\n")
    ends = [*pool.map(line_ends, range(body, size, BLOCK)), np.full(int(unfinished), size)]
    starts = np.concatenate([[body], *(end + 1 for end in ends)])
    n_lines = len(starts) - 1
    if n_rows is None:
        n_rows = n_lines
        while n_rows and not _line(buffer, starts, n_rows - 1):
            n_rows -= 1
    says = "the header says" if header else "expected"
    if n_lines < n_rows:
        raise DataError(
            f"{path}, line {n_lines + 1}: {says} {n_rows} rows, the file ends after {n_lines}",
            "The file is truncated, or its header is wrong: get it again." if header else "One line for each row.",
        )
    for extra in range(n_rows, n_lines):
        if _line(buffer, starts, extra).strip():
            [number] = _numbers(original, starts[[extra]])
            raise DataError(
                f"{path}, line {number}: {says} {n_rows} rows, the file holds more ({n_lines})",
                "Correct the first line." if header else "One line for each row.",
            )
    if unfinished and n_rows == n_lines and _line(buffer, starts, n_rows - 1).endswith(CUT_OFF):
        [number] = _numbers(original, starts[[n_rows - 1]])
        raise DataError(f"{path}, line {number}: the last line is cut off", "Get the file again.")
    return starts[: n_rows + 1]


def _numbers(buffer: NDArray[np.uint8], starts: NDArray[np.int64]) -> list[int]:
    """The numbers, from 1, of the lines that begin at `starts`, which ascend."""
    newlines = np.flatnonzero(buffer[: starts[-1]] == ord("\n")) if len(starts) else starts
    return [int(number) + 1 for number in np.searchsorted(newlines, starts)]


def _line(buffer: NDArray[np.uint8], starts: NDArray[np.int64], row: int) -> bytes:
    return buffer[starts[row] : starts[row + 1]].tobytes().rstrip(b"\n").removesuffix(b"\r")


def _parse_in_python(path: Path, text: Text, row: int, number: int, rows: Rows) -> None:
    """Parse a row that the kernels marked `LOOK`, and write it into `rows`; DataError if it is invalid."""
    length = int(text.starts[row + 1] - text.starts[row])
    if length > limits.MATRIX_LINE:
        problem = f"{length:,} bytes, and not only ids and values"
        raise DataError(f"{path}, line {number}: {problem}", f"At most {limits.MATRIX_LINE:,} are looked at.")
    try:
        labels, features, numbers = look(path, text, number, _line(text.buffer, text.starts, row))
    except OutOfRange as error:
        raise _add_one_based_hint(error, text) from None
    entries = slice(rows.feature_starts[row], rows.feature_starts[row + 1])
    rows.feature_ids[entries] = features
    rows.values[entries] = np.array(numbers, np.float64).astype(rows.values.dtype)
    entries = slice(rows.label_starts[row], rows.label_starts[row + 1])
    n_repeats = entries.stop - entries.start - len(labels)
    rows.label_ids[entries] = labels + labels[-1:] * n_repeats  # `_read` merges repeats
    rows.status[row] = 2 if n_repeats > 0 else 0


def _add_one_based_hint(error: OutOfRange, text: Text) -> DataError:
    """The same error, with a hint if ids of that kind run from 1 to the width and never include 0."""
    kind = error.kind
    width, base = (text.n_labels, text.label_base) if kind == "label" else (text.n_features, text.feature_base)
    ids: set[int] = set()
    for row in range(len(text.starts) - 1):
        tokens = _line(text.buffer, text.starts, row).replace(b"\t", b" ").split(b" ")
        has_labels = text.with_labels and tokens[0] != b"" and b":" not in tokens[0]
        labels = tokens.pop(0).split(b",") if has_labels else []
        id_texts = labels if kind == "label" else [t.partition(b":")[0] for t in tokens]
        ids.update(int(t) for t in id_texts if t.isdigit() and len(t) < 19)
    if base == 0 and ids and min(ids) >= 1 and max(ids) == width:
        value = {"label": " labels", "column": " features"}[kind] if text.with_labels else ""  # see `data import`
        return DataError(
            f"{error.message}. The file looks 1-based: its {kind} ids run from {min(ids)} to {width}, never 0",
            f"If its ids count from 1, say so with --one-based{value}.",
        )
    return DataError(error.message, error.hint)
