"""Read a user's files into the rows of splits: texts and label names from lines and tables; matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

import scipy.sparse as sp

from xmcbench.data.documents import lines_of
from xmcbench.data.file_forms import check_plain, check_text, holds_arrays, kind_of, text_lines
from xmcbench.data.formats import NPY, NPZ, OTHER, SVMLIGHT, form_of, read_both, read_labels
from xmcbench.data.label_cells import WORDS, LabelCells, decide_separator, parse_cell, split_cells
from xmcbench.data.label_cells import checked_text as checked
from xmcbench.data.table_columns import Columns, Reading, check_options, joined, one_row_per_id, read_columns
from xmcbench.errors import DataError, UsageError

EXAMPLES = 3  # label names that a note shows


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split; each may be None."""

    texts: Path | None = None
    labels: Path | None = None
    features: Path | None = None

    def __bool__(self) -> bool:
        return any((self.texts, self.labels, self.features))


@dataclass
class Names:
    """Label names of n rows, and the line number of each row in `path`."""

    path: Path
    rows: list[list[str]]
    lines: list[int]


@dataclass
class SplitRows:
    """Rows of one split as read from files: labels either as a matrix or as names; optional texts and features."""

    texts: list[str] | None = None
    features: sp.csr_matrix | None = None
    labels: sp.csr_matrix | None = None
    names: Names | None = None


def read_splits(
    splits: Mapping[str, SplitFiles], reading: Reading, label_texts: Path | None = None
) -> tuple[dict[str, SplitRows], list[str]]:
    """(rows of each split, notes on decisions), with one separator of label names for all splits.

    Labels are read from a split's `labels`, else from the texts file (a table), else from a features file in one-file
    XMC form.

    Raises
    ------
    DataError : with file and line, the numbers of rows, or the files if labels are in none or in two.
    UsageError : an option that no file uses, or label cells that can be split in several ways.
    """
    texts = [files.texts for files in splits.values() if files.texts]
    labels = [path for files in splits.values() if (path := files.labels or files.texts)]
    check_options(reading, [*texts, *([label_texts] if label_texts else [])], labels)
    if "features" in reading.one_based and not any(files.features for files in splits.values()):
        raise UsageError("--one-based features is used by none of the files", "No file has features. Leave it out.")
    notes: list[str] = []
    rows, cells = {}, {}
    for which, files in splits.items():
        rows[which], found = _read_split(files, reading, notes)
        if found is not None:
            cells[which] = found
    has_texts = any(isinstance(cell, str) for file in cells.values() for cell in file.cells)
    has_lists = any(cell and isinstance(cell, list) for file in cells.values() for cell in file.cells)
    if reading.separator and not has_texts and (has_lists or not cells):
        raise UsageError("--label-separator is used by none of the files: no label cell is a text", "Leave it out.")
    separator = decide_separator(list(cells.values()), reading.separator)
    for which, file in cells.items():
        label_names = split_cells(file, separator, reading.cells)
        rows[which].names = Names(file.path, label_names, file.lines)
        if "labels" in reading.one_based:
            _check_one_based(file, label_names)
    if cells:
        how = "labels are not split"
        if has_texts:
            how = f"labels split at {WORDS.get(separator, repr(separator))}" if separator else "each cell is one label"
        names = dict.fromkeys(name for split in rows.values() if split.names for r in split.names.rows for name in r)
        examples = ", ".join(map(repr, list(names)[:EXAMPLES])) or "none"
        notes.append(f"{how}, for example {examples}")
    if empty := sum(file.empty_names for file in cells.values()):
        notes.append(f"{empty} empty label names, as in a;;b, are no labels")
    return rows, notes


def _check_one_based(file: LabelCells, names: list[list[str]]) -> None:
    for number, row in zip(file.lines, names, strict=True):
        bad = next((name for name in row if not (name.isascii() and name.isdigit()) or not name.strip("0")), None)
        if bad is not None:
            problem = f"{file.path}, line {number}: label {bad[:80]!r} is no id that counts from 1"
            raise DataError(problem, "Leave out --one-based labels if labels are names, or ids that count from 0.")


def _read_split(files: SplitFiles, reading: Reading, notes: list[str]) -> tuple[SplitRows, LabelCells | None]:
    """The rows of a split without label names, and the label cells that have the names."""
    rows, found, texts_table = SplitRows(), {}, None
    counts: dict[Path, tuple[int, int]] = {}  # the least and the most rows that a file may have
    if files.texts is not None and kind_of(files.texts) == "lines":
        rows.texts = _plain_texts(files.texts, reading)
        counts[files.texts] = (len(rows.texts) - _blank_tail(rows.texts), len(rows.texts))
    elif files.texts is not None:
        texts_table = _table_of_texts(files.texts, files, reading, notes)
        rows.texts, count = texts_table.texts, len(texts_table.lines)
        counts[files.texts] = (count, count)
        if texts_table.labels or (files.labels is None and files.features is None):
            found[files.texts] = _cells(files.texts, texts_table.lines, texts_table.labels, reading)
    if files.features is not None:
        rows.features, matrix = read_features(files.features, reading)
        counts[files.features] = (rows.features.shape[0],) * 2
        if matrix is not None:
            found[files.features] = matrix
    if files.labels is not None:
        found = {files.labels: _read_label_file(files.labels, texts_table, reading)}
    if len(found) != 1:
        sources = " and in ".join(map(str, found)) or "none of the files"
        hint = "Give --labels FILE (--test-labels, --dev-labels), or texts and labels in one table (.csv, .jsonl, …)."
        raise DataError(f"labels are in {sources}", hint)
    [(path, labels)] = found.items()
    n_rows = _rows_in_common(counts, labels, files.labels or "in the same file")
    for lines, file in ((rows.texts, files.texts), (labels.cells if isinstance(labels, LabelCells) else None, path)):
        if lines is not None and len(lines) > n_rows:
            notes.append(f"{len(lines) - n_rows} empty lines at the end of {file} are no rows")
            del lines[n_rows:]
    if isinstance(labels, LabelCells):
        del labels.lines[n_rows:]
        return rows, labels
    rows.labels = labels
    return rows, None


def _table_of_texts(path: Path, files: SplitFiles, reading: Reading, notes: list[str]) -> Columns:
    """The columns of a table of texts, and of their labels if there is no other file of labels."""
    alone = files.labels is None
    table = read_columns(path, reading, texts=True, labels=alone, optional=files.features is not None)
    if table.unread_labels:
        notes.append(f"the column {reading.labels_column!r} of {path} is not read: labels are in {files.labels}")
    if reading.id_column and alone and table.labels:
        return one_row_per_id(table, reading)
    if not reading.id_column and len(set(table.ids)) < len(table.ids):
        name = next(name for name, count in Counter(table.ids).items() if count > 1)
        notes.append(f"ids repeat in {path}, for example {name!r}: each line is a row; see --id-column and --long")
    return table


def _rows_in_common(
    counts: Mapping[Path, tuple[int, int]], labels: LabelCells | sp.csr_matrix, origin: Path | str
) -> int:
    """The number of rows of a split; DataError if its files can't have equally many, or have none.

    Empty lines at the end of a file of lines are rows only if another file has these rows.
    """
    if isinstance(labels, LabelCells):
        least, most = len(labels.cells) - labels.blank_tail, len(labels.cells)
    else:
        least = most = int(labels.shape[0])
    n_rows = max(least, *(fewest for fewest, _ in counts.values())) if counts else least
    for path, (fewest, at_most) in counts.items():
        if n_rows > at_most or n_rows > most:
            raise DataError(
                f"{path} has {fewest} rows, its labels ({origin}) {least}",
                "Row i of one file belongs to row i of the other; a row without labels is an empty line. "
                "Tables are joined by a column of ids with --id-column.",
            )
    if n_rows == 0:
        raise DataError(f"{next(iter(counts), origin)}: no rows", "Is it the right file?")
    return n_rows


def _blank_tail(lines: list[str]) -> int:
    """The number of empty lines at the end."""
    return sum(1 for _ in takewhile(lambda line: not line.strip(), reversed(lines)))


def _plain_texts(path: Path, reading: Reading) -> list[str]:
    texts = []
    for number, line in text_lines(path):
        if number == 1 and not reading.cells.literal:
            check_plain(path, line)
        texts.append(checked(line, f"{path}, line {number}", reading.cells))
    return texts


def _cells(path: Path, lines: list[int], values: Sequence[object], reading: Reading) -> LabelCells:
    """Label cells; a text from JSON or parquet is one label, unless a separator is given."""
    split = kind_of(path) in ("lines", "csv", "tsv") or bool(reading.separator)
    wheres = (f"{path}, line {number}" for number in lines)
    pairs = zip(values, wheres, strict=True)
    return LabelCells(path, lines, [parse_cell(value, where, reading.cells, split=split) for value, where in pairs])


def read_label_texts(path: Path, reading: Reading, at_least: int = 0) -> list[tuple[int, str]]:
    """(line number, text) per label: the lines of the file, or the text column of a table.

    Empty lines at the end are no labels, except for those up to `at_least` labels.
    """
    if kind_of(path) != "lines":
        table = read_columns(path, replace(reading, id_column=""), texts=True)
        return list(zip(table.lines, table.texts, strict=True))
    texts = _plain_texts(path, reading)
    return list(enumerate(texts[: max(at_least, len(texts) - _blank_tail(texts))], 1))


def _read_label_file(path: Path, texts: Columns | None, reading: Reading) -> LabelCells | sp.csr_matrix:
    """A label matrix (n, L), or label cells; those of a table are joined to the table of texts, if there is one."""
    if kind_of(path) != "lines":
        table = read_columns(path, reading, labels=True)
        if texts is None and reading.id_column:
            raise UsageError("--id-column: the texts are no table with ids", "Give texts as .csv, .tsv or .jsonl.")
        lines, values = (table.lines, table.labels) if texts is None else joined(texts, table, reading)
        return _cells(path, lines, values, reading)
    if not holds_arrays(path):
        check_text(path)
    if is_matrix(path):
        bases = reading.one_based
        return read_labels(path, one_based="labels" in bases, one_based_features="features" in bases)
    plain = [line for _, line in text_lines(path)]
    cells = _cells(path, list(range(1, len(plain) + 1)), plain, reading)
    cells.blank_tail = _blank_tail(plain)
    return cells


def read_features(path: Path, reading: Reading) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
    """(features, labels if the file has both, else None)."""
    bases = reading.one_based
    return read_both(path, one_based_features="features" in bases, one_based_labels="labels" in bases)


def is_matrix(path: Path) -> bool:
    """Whether a file is npz, npy, svmlight, or text with two or three whole numbers in line 1 and id:value pairs after.

    DataError if it is of a form that is never read.
    """
    form = form_of(path)
    if form in (NPZ, NPY):
        return True
    if kind_of(path) != "lines" or form == OTHER:
        return False
    if form == SVMLIGHT:
        return True
    for number, line in lines_of(path):
        if number > 1 and ":" in line:
            return all(":" in word for word in line.split()[1:])
        if number == 1 and not all(word.isdigit() for word in line.split()):
            return False
    return False


def parse_one_based(text: str) -> frozenset[str]:
    """ "features", "labels" or "both" → a set of the first two; "" → the empty set."""
    choices = {"": (), "features": ("features",), "labels": ("labels",), "both": ("features", "labels")}
    if text not in choices:
        raise UsageError(f"--one-based {text!r}", "One of features, labels, both.")
    return frozenset(choices[text])
