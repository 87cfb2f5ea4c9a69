"""The rows of a text matrix, put together from parsed blocks; what is wrong with them is reported by file and line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench import limits
from xmcbench.data.growing import GrowingMatrix
from xmcbench.data.lines import OutOfRange, look
from xmcbench.data.reading import DataWarning, opened
from xmcbench.errors import DataError

if TYPE_CHECKING:
    from xmcbench.data.xmc_text import Rows, Text

CUT_OFF = (b".", b"e", b"E", b"-", b"+", b",", b":")  # ends of a line whose last number is incomplete
Array = NDArray[Any]


@dataclass(frozen=True)
class Block:
    """Some lines: line i is `content[starts[i]:starts[i + 1]]`, and line `numbers[i]` of the file, from 1.

    `is_finished` : the last one had its newline.
    """

    content: bytes
    starts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    is_finished: bool

    def line(self, i: int) -> bytes:
        """Line i without its newline and carriage return."""
        return self.content[self.starts[i] : self.starts[i + 1] - 1].removesuffix(b"\r")


class Body:
    """Rows that are added by blocks, in the order of the file.

    Parameters
    ----------
    text : the format.
    expected : number of rows that the header or the caller states, or None: all lines but empty ones at the end.
    """

    def __init__(self, path: Path, text: Text, expected: int | None) -> None:
        self.path, self.text, self.expected = path, text, expected
        self.features, self.labels = GrowingMatrix(np.float64 if text.exact else np.float32), GrowingMatrix()
        self.n_bytes = 0  # of the blocks so far
        self.n_lines = 0
        self.n_filled = 0  # lines up to the last one that is not empty
        self.n_repeats, self.first_repeat = 0, 0  # lines that name a label twice: how many, and the number of the first
        self.surplus = 0  # number of the first line after the expected ones that is not blank
        self.last_line, self.last_number = b"", 0  # if it has no newline
        self.error: DataError | None = None  # of the first wrong row; that the file is cut off goes before it

    def add(self, block: Block, rows: Rows) -> None:
        """Add the lines of a block with what the kernels made of them."""
        n_lines = len(block.starts) - 1
        n_rows = n_lines if self.expected is None else min(n_lines, max(0, self.expected - self.n_lines))
        if self.error is None:
            try:
                self._add_rows(block, rows, n_rows)
            except DataError as error:
                self.error = error
        if self.surplus == 0:
            beyond = (int(block.numbers[i]) for i in range(n_rows, n_lines) if block.line(i).strip())
            self.surplus = next(beyond, 0)
        if self.expected is None:
            is_filled = np.flatnonzero(np.diff(block.starts) > 2)  # longer than a newline and a carriage return
            i = int(is_filled[-1]) + 1 if len(is_filled) else 0
            last = next((j for j in range(n_lines - 1, i - 1, -1) if block.line(j)), i - 1)
            self.n_filled = self.n_lines + last + 1 if last >= 0 else self.n_filled
        if n_lines and not block.is_finished:
            self.last_line, self.last_number = block.line(n_lines - 1), int(block.numbers[-1])
        self.n_lines += n_lines
        self.n_bytes += len(block.content)

    def _add_rows(self, block: Block, rows: Rows, n_rows: int) -> None:
        from xmcbench.data.xmc_text import LOOK, OK, TWICE

        status = rows.status[:n_rows]
        n_labels, n_features = rows.n_labels[:n_rows], rows.n_features[:n_rows]
        label_ids, feature_ids = rows.label_ids[: n_labels.sum()], rows.feature_ids[: n_features.sum()]
        values = rows.values[: len(feature_ids)]
        irregular = np.flatnonzero(status == LOOK)
        if len(irregular):
            found = [self._look(block, i) for i in irregular.tolist()]
            labels, features, numbers, is_repeated = zip(*found, strict=True)
            status[irregular] = np.where(is_repeated, TWICE, OK)
            values = _inserted(values, n_features, irregular, numbers)
            feature_ids = _inserted(feature_ids, n_features, irregular, features)
            label_ids = _inserted(label_ids, n_labels, irregular, labels)
            n_features[irregular], n_labels[irregular] = [len(ids) for ids in features], [len(ids) for ids in labels]
        self.features.append(n_features, feature_ids, values)
        self.labels.append(n_labels, label_ids, np.ones(len(label_ids), np.float32))
        repeats = block.numbers[:n_rows][status == TWICE]
        if self.n_repeats == 0 and len(repeats):
            self.first_repeat = int(repeats[0])
        self.n_repeats += len(repeats)

    def _look(self, block: Block, i: int) -> tuple[list[int], list[int], list[float], bool]:
        """(labels, features, values, whether a label is repeated) of a line that the kernels marked `LOOK`."""
        number, line = int(block.numbers[i]), block.line(i)
        if len(line) > limits.MATRIX_LINE:
            problem = f"{len(line):,} bytes, and not only ids and values"
            raise DataError(f"{self.path}, line {number}: {problem}", f"At most {limits.MATRIX_LINE:,} are looked at.")
        try:
            labels, features, numbers = look(self.path, self.text, number, line)
        except OutOfRange as error:
            raise self._with_hint(error) from None
        names = _names(line) if self.text.with_labels else []
        return labels, features, numbers, len(names) > len(labels)

    def finished(self, width: int | None) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """(features, labels); without a header, `width` is that of the features, if it is known.

        DataError for another number of lines than expected, a last line that is cut off, or the first wrong row.
        """
        n_rows = self.n_filled if self.expected is None else self.expected
        self._check_lines(n_rows)
        if self.error is not None:
            raise self.error
        n_labels, n_features = self.text.n_labels, self.text.n_features
        if not self.text.header:
            n_labels = int(self.labels.ids.array.max(initial=-1)) + 1
            n_features = int(self.features.ids.array.max(initial=-1)) + 1 if width is None else width
        if self.n_repeats:
            problem = f"{self.n_repeats} rows name a label twice, first in line {self.first_repeat}; it counts once"
            warnings.warn(f"{self.path}: {problem}", DataWarning, stacklevel=4)
        features = self.features.csr(n_features, n_rows)
        labels = self.labels.csr(n_labels if self.text.with_labels else 0, n_rows)
        return features, labels

    def _check_lines(self, n_rows: int) -> None:
        header = self.text.header
        says = f"{'the header says' if header else 'expected'} {n_rows} rows, the file"
        if self.n_lines < n_rows:
            number = self.n_lines + 1
            hint = (
                "The file is truncated, or its header is wrong: get it again." if header else "One line for each row."
            )
            raise DataError(f"{self.path}, line {number}: {says} ends after {self.n_lines}", hint)
        if self.surplus and self.error is not None:
            raise self.error  # such as a comment, which may be the line too many
        if self.surplus:
            hint = "Correct the first line." if header else "One line for each row."
            blank = next((i for i, line in enumerate(islice(self._lines(), n_rows), 2) if not line.strip()), 0)
            if header and blank:
                hint = f"Line {blank} is blank, which is a row too: remove it if it should be none. Otherwise: {hint}"
            raise DataError(f"{self.path}, line {self.surplus}: {says} holds more ({self.n_lines})", hint)
        if n_rows == self.n_lines and self.last_line.endswith(CUT_OFF):
            raise DataError(f"{self.path}, line {self.last_number}: the last line is cut off", "Get the file again.")

    def _with_hint(self, error: OutOfRange) -> DataError:
        """The same error, with a hint if ids of that kind run from 1 to the width and never include 0."""
        kind, text = error.kind, self.text
        width, base = (text.n_labels, text.label_base) if kind == "label" else (text.n_features, text.feature_base)
        lowest, highest = width + 1, 0
        for line in self._lines():
            names = _names(line) if text.with_labels else []
            pairs = line.replace(b"\t", b" ").split(b" ")[bool(names) :]
            for name in names if kind == "label" else [pair.partition(b":")[0] for pair in pairs]:
                if name.isdigit() and len(name) < 19:
                    lowest, highest = min(lowest, int(name)), max(highest, int(name))
        if base == 0 and lowest >= 1 and highest == width:
            value = {"label": " labels", "column": " features"}[kind] if text.with_labels else ""  # see `data import`
            return DataError(
                f"{error.message}. The file looks 1-based: its {kind} ids run from {lowest} to {width}, never 0",
                f"If its ids count from 1, say so with --one-based{value}.",
            )
        return DataError(error.message, error.hint)

    def _lines(self) -> Iterator[bytes]:
        """All lines of the file below its header, read again."""
        with opened(self.path) as file:
            if self.text.header:
                file.readline()
            for line in file:
                yield line.rstrip(b"\n").removesuffix(b"\r")


def _names(line: bytes) -> list[bytes]:
    """The labels of a line of the one-file form; none if it begins with a space or with f:v."""
    first = line.replace(b"\t", b" ").partition(b" ")[0]
    return first.split(b",") if first and b":" not in first else []


def _inserted(entries: Array, lengths: Array, rows: Array, parts: Sequence[Sequence[float]]) -> Array:
    """The entries of consecutive rows, with those of the empty `rows` inserted."""
    starts = (np.cumsum(lengths) - lengths)[rows]
    with np.errstate(over="ignore"):  # values are checked
        new = np.array([entry for part in parts for entry in part], np.float64).astype(entries.dtype)
    return np.insert(entries, np.repeat(starts, [len(part) for part in parts]), new)
