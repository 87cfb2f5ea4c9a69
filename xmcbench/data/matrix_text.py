"""Read matrices from text into CSR: XC repository text, with its widths in line 1, and svmlight text, without them.

A file is read once, by blocks of whole lines, which threads parse while the next ones are read; their rows are appended
in order. So the memory is that of the result and of a few blocks, and a file that is truncated meanwhile is an error.
"""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench import limits
from xmcbench.data.reading import opened
from xmcbench.data.text_body import Block, Body
from xmcbench.errors import DataError

if TYPE_CHECKING:
    from xmcbench.data.xmc_text import Rows, Text

BLOCK = 1 << 18  # bytes that a thread parses at once
HEADER = 1 << 12  # bytes of a header at most
DIGITS = 18  # of a number in a header at most, so that it is below 2⁶³
BOM = b"\xef\xbb\xbf"
SKIPPED = re.compile(rb"#[^\r\n]*|(?<=[ \t])qid:[^\s]*")  # in a line


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


def _read(path: Path, form: Form, threads: int | None) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """(features, labels), the latter without columns if the file has no labels."""
    import numba

    threads = numba.get_num_threads() if threads is None else max(1, threads)
    with opened(path) as file, ThreadPoolExecutor(threads) as pool:
        if form.header:
            text, n_rows = _header(path, file.readline(HEADER), form)
            body, first, number = Body(path, text, n_rows), b"", 2
        else:
            form, first, number = _first_comments(path, file, form)
            widest = limits.longest_side(limits.COLUMNS, path.stat().st_size)
            text = _text(form, widest, widest if form.width is None else form.width)
            body = Body(path, text, form.rows)
        for block, rows in _parsed(pool, threads, _blocks(file, first, number), text):
            body.add(block, rows)
    features, labels = body.finished(form.width)
    if form.header:  # only now is known how long a compressed file is
        widths = {"features" if form.with_labels else "columns": text.n_features, "labels": text.n_labels}
        _check_widths(path, widths, body.n_bytes)
    return features, labels


def _parsed(
    pool: ThreadPoolExecutor, threads: int, blocks: Iterator[tuple[bytes, int, bool]], text: Text
) -> Iterator[tuple[Block, Rows]]:
    """Yield blocks and their rows in order, while threads parse the next ones."""
    from xmcbench.data.xmc_text import parse

    def work(content: bytes, number: int, is_finished: bool) -> tuple[Block, Rows]:
        numbers = None
        if not text.header and (b"#" in content or b"qid:" in content):
            content, numbers = _without_comments(content, number)
        buffer = np.frombuffer(content, np.uint8)
        starts = np.concatenate([[0], np.flatnonzero(buffer == ord("\n")) + 1])
        if numbers is None:
            numbers = np.arange(number, number + len(starts) - 1)
        return Block(content, starts, numbers, is_finished), parse(buffer, starts, text)

    waiting: deque[Future[tuple[Block, Rows]]] = deque()
    for block in blocks:
        waiting.append(pool.submit(work, *block))
        if len(waiting) > threads:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _blocks(lines: io.BufferedIOBase, first: bytes, number: int) -> Iterator[tuple[bytes, int, bool]]:
    """Yield (whole lines, number of the first one, whether the last one had its newline, which each has now).

    `first` : what was read already, of line `number`.
    """
    rest = first
    while content := lines.read(max(BLOCK, len(rest))):
        end = content.rfind(b"\n") + 1
        if end:
            block = rest + content[:end]
            yield block, number, True
            number += block.count(b"\n")
            rest = content[end:]
        else:  # within a long line
            rest += content
    if rest:
        is_finished = rest.endswith(b"\n")
        yield rest if is_finished else rest + b"\n", number, is_finished


def _text(form: Form, n_labels: int, n_features: int) -> Text:
    from xmcbench.data.xmc_text import Text

    return Text(form.with_labels, n_labels, n_features, form.label_base, form.feature_base, form.header, form.exact)


def _header(path: Path, line: bytes, form: Form) -> tuple[Text, int]:
    """(format, number of rows) from line 1."""
    names = ["points", "features", "labels"] if form.with_labels else ["rows", "columns"]
    is_too_long = len(line) == HEADER and not line.endswith(b"\n")
    line = line.removeprefix(BOM)
    words = [] if is_too_long else line.split()
    if huge := [w.decode() for w in words if w.isdigit() and len(w) > DIGITS]:
        raise DataError(f"{path}, line 1: {huge[0][:60]} in the header can't be right", "Correct the first line.")
    if len(words) != len(names) or not all(w.isdigit() for w in words):
        excerpt = line[:60].decode("ascii", "backslashreplace").strip()
        forms = {2: "This is the header of a file of features or of labels alone.", 3: "This file has labels too."}
        hint = forms.get(len(words)) if all(w.isdigit() for w in words) else None
        problem = f"found {excerpt!r}" if line else "the file is empty"
        raise DataError(
            f"{path}, line 1: expected a header '{' '.join(names)}', {problem}",
            hint or f"Put {len(names)} whole numbers on the first line.",
        )
    n_rows, *widths = (int(w) for w in words)
    _check_widths(path, dict(zip(names[1:], widths, strict=True)), limits.WIDEST)
    return _text(form, (*widths, 0)[1], widths[0]), n_rows


def _check_widths(path: Path, widths: dict[str, int], n_bytes: int) -> None:
    for name, value in widths.items():
        if value > limits.longest_side(limits.COLUMNS, n_bytes):
            hint = f"At most {limits.COLUMNS}, or as many as the file has bytes, and never above {limits.WIDEST}."
            raise DataError(f"{path}, line 1: {value} {name} in the header can't be right", hint)


def _first_comments(path: Path, file: io.BufferedIOBase, form: Form) -> tuple[Form, bytes, int]:
    """(form with the base that comments at the beginning state, beginning of the first other line, its number)."""
    line, number = file.readline(BLOCK).removeprefix(BOM), 1
    while line.lstrip(b" \t").startswith(b"#"):
        stated = re.search(rb"Column indices are (zero|one)-based", line)
        if stated and stated.group(1) == b"zero" and form.feature_base == 1:
            message = f"{path}: its first lines state that column indices are zero-based"
            raise DataError(message, "Leave out --one-based for its features.")
        form = replace(form, feature_base=1) if stated and stated.group(1) == b"one" else form
        while line and not line.endswith(b"\n"):  # the rest of a long one
            line = file.readline(BLOCK)
        line, number = file.readline(BLOCK), number + 1
    return form, line, number


def _without_comments(content: bytes, number: int) -> tuple[bytes, NDArray[np.int64]]:
    """(whole lines without comments and qids, the number of each line); a line that is only a comment is left out."""
    lines = [line + b"\n" for line in content.split(b"\n")[:-1]]
    kept = [(i, line) for i, line in enumerate(lines, number) if not line.lstrip(b" \t").startswith(b"#")]
    return b"".join(SKIPPED.sub(b" ", line) for _, line in kept), np.array([i for i, _ in kept], np.int64)
