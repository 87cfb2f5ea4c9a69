"""Read a user's files into the rows of splits: texts and label names from lines and tables; matrices."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import scipy.sparse as sp

from xmcbench.data.file_forms import check_arrays_or_text, check_plain, kind_of, text_lines
from xmcbench.data.folders import read_texts
from xmcbench.data.formats import read_both, read_labels
from xmcbench.data.label_cells import WORDS, LabelCells, decide_separator, parse_cell, split_cells
from xmcbench.data.label_names import FASTTEXT, check_one_based
from xmcbench.data.plain_files import (
    blank_tail,
    check_headers,
    check_label_lines,
    is_matrix,
    labels_in_texts,
    plain_texts,
    where_labels_may_be,
)
from xmcbench.data.table_columns import (
    Columns,
    Reading,
    check_label_columns,
    check_options,
    read_columns,
    unread_note,
)
from xmcbench.data.table_files import table_rows
from xmcbench.data.table_joins import check_label_ids, joined, one_row_per_id
from xmcbench.errors import DataError, UsageError

SEVERAL = r"^[^\[]*[\s|;,；，、]"  # in a text that may hold several names, and is no list
EXAMPLES = 3  # label names that a note shows


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split; each may be None. `ids` has a JSON string per row, as exports write it."""

    texts: Path | None = None
    labels: Path | None = None
    features: Path | None = None
    ids: Path | None = None

    def __bool__(self) -> bool:
        return any((self.texts, self.labels, self.features))


@dataclass
class Names:
    """Label names of n rows, and the line number of each row in `path`."""

    path: Path
    rows: list[list[str]]
    lines: list[int]
    column_labels: tuple[str, ...] = ()  # labels with a column of zeros and ones, also if no row has them


@dataclass
class SplitRows:
    """Rows of one split as read from files: labels either as a matrix or as names; optional texts, features, ids."""

    texts: list[str] | None = None
    features: sp.csr_matrix | None = None
    labels: sp.csr_matrix | None = None
    names: Names | None = None
    ids: list[str] | None = None


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
    check_label_columns(list(cells.values()))
    separator = decide_separator(list(cells.values()), reading.separator)
    for which, file in cells.items():
        label_names = split_cells(file, separator, reading.cells)
        rows[which].names = Names(file.path, label_names, file.lines, file.column_labels)
        if "labels" in reading.one_based:
            check_one_based(file.path, file.lines, label_names)
            if label_texts is None:
                problem = f"--one-based labels changes nothing: {file.path} has names of labels without --label-texts"
                raise UsageError(problem, "Leave it out, or give --label-texts, whose lines the ids count.")
    notes += [note for which, split in rows.items() if (note := _same_texts(splits[which].texts, split, reading))]
    if (missing := reading.cells.missing) and not reading.cells.found_missing:
        notes.append(f"no text and no label cell of a row is {missing!r}, as --missing says")
    if cells:
        how = "labels are not split"
        if has_texts:
            how = f"labels split at {WORDS.get(separator, repr(separator))}" if separator else "each cell is one label"
        names = dict.fromkeys(name for split in rows.values() if split.names for r in split.names.rows for name in r)
        examples = ", ".join(map(repr, list(names)[:EXAMPLES])) or "none"
        notes.append(f"{how}, for example {examples}")
    if unsplit := next((file.unsplit for file in cells.values() if file.unsplit), ""):
        notes.append(f"a text in JSON or parquet is one label, such as {unsplit[:60]!r}: --label-separator splits it")
    if empty := sum(file.empty_names for file in cells.values()):
        notes.append(f"{empty} empty label names, as in a;;b, are no labels")
    return rows, list(dict.fromkeys(notes))  # one file may be in two splits


def _same_texts(path: Path | None, split: SplitRows, reading: Reading) -> str:
    """A note on rows with the same text and other labels, as in tables with one line per label; "" if there is none."""
    if path is None or split.texts is None or split.names is None:
        return ""
    names, first_rows, repeats = split.names, dict[str, int](), list[tuple[int, int]]()
    for row, text in enumerate(split.texts):
        first = first_rows.setdefault(text, row)
        if first != row and text.strip() and set(names.rows[row]) != set(names.rows[first]):
            repeats.append((names.lines[first], names.lines[row]))
    if not repeats:
        return ""
    example = f"lines {repeats[0][0]} and {repeats[0][1]} of {names.path}"
    note = f"{len(repeats)} rows have the same text as an earlier row and other labels, for example {example}"
    if kind_of(path) == "lines":
        return note
    column = "NAME" if "," in reading.text_column else reading.text_column
    return f"{note}: each line is a row. --long --id-column {column} joins them, if there is one line per label"


def _read_split(files: SplitFiles, reading: Reading, notes: list[str]) -> tuple[SplitRows, LabelCells | None]:
    """The rows of a split without label names, and the label cells that have the names."""
    rows, found, texts_table = SplitRows(), {}, None
    counts: dict[Path, tuple[int, int]] = {}  # the least and the most rows that a file may have
    if files.texts is not None and kind_of(files.texts) == "lines":
        rows.texts = plain_texts(files.texts, reading)
        counts[files.texts] = (len(rows.texts) - blank_tail(rows.texts), len(rows.texts))
        inline = None if reading.cells.literal else labels_in_texts(files.texts, rows.texts)
        if inline is not None:
            notes.append(f"words that begin with {FASTTEXT} are the labels in {files.texts}, as fastText writes them")
            found[files.texts] = inline
    elif files.texts is not None:
        texts_table = _table_of_texts(files.texts, files, reading, notes)
        rows.texts, count = texts_table.texts, len(texts_table.lines)
        rows.ids = _ids_of_rows(texts_table, reading, notes)
        counts[files.texts] = (count, count)
        if texts_table.labels or (files.labels is None and files.features is None):
            found[files.texts] = _cells(texts_table, texts_table.lines, texts_table.labels, reading)
    if files.features is not None:
        rows.features, matrix = read_features(files.features, reading)
        counts[files.features] = (rows.features.shape[0],) * 2
        if matrix is not None:
            found[files.features] = matrix
    if files.labels is not None:
        unread = [path for path in found if path != files.labels]
        notes += [f"the labels in {path} are not read: labels are in {files.labels}" for path in unread]
        found = {files.labels: _read_label_file(files.labels, texts_table, reading, notes)}
    if len(found) != 1:
        sources = " and in ".join(map(str, found)) or "none of the files"
        hint = "Give only one of them." if found else where_labels_may_be(files.texts)
        raise DataError(f"labels are in {sources}", hint)
    [(path, labels)] = found.items()
    if isinstance(labels, LabelCells) and files.labels and files.texts and not (texts_table or reading.cells.literal):
        check_headers(files.texts, rows.texts or [], labels)
    n_rows = _rows_in_common(counts, labels, files.labels or "in the same file")
    for lines, file in ((rows.texts, files.texts), (labels.cells if isinstance(labels, LabelCells) else None, path)):
        if lines is not None and len(lines) > n_rows:
            notes.append(f"{len(lines) - n_rows} empty lines at the end of {file} are no rows")
            del lines[n_rows:]
    if files.ids is not None:
        rows.ids = read_texts(files.ids.with_suffix(""), n_rows)
    if isinstance(labels, LabelCells):
        del labels.lines[n_rows:]
        return rows, labels
    rows.labels = labels
    return rows, None


def _ids_of_rows(table: Columns, reading: Reading, notes: list[str]) -> list[str] | None:
    """The ids of the rows as written; None without a column of ids, or if a row has none, which a note says."""
    column = reading.id_column or table.id_column
    if not column or not table.ids or column in (reading.text_column, reading.labels_column):
        return None
    if len(table.ids) < len(table.lines) or not all(table.ids):
        notes.append(f"the ids in column {column!r} of {table.path} are not kept: some rows have none")
        return None
    notes.append(f"the ids of rows are those in column {column!r} of {table.path}, for example {table.ids[0][:40]!r}")
    return table.ids


def _table_of_texts(path: Path, files: SplitFiles, reading: Reading, notes: list[str]) -> Columns:
    """The columns of a table of texts, and of their labels if there is no other file of labels."""
    alone = files.labels is None
    table = read_columns(path, reading, texts=True, labels=alone, optional=files.features is not None)
    if table.unread_labels:
        notes.append(f"the column {reading.labels_column!r} of {path} is not read: labels are in {files.labels}")
    notes += unread_note(table)
    if reading.columns and table.texts:  # a header with other names would be a row
        notes.append(f"--columns names the columns of {path}, whose first row has the text {table.texts[0][:40]!r}")
    if reading.id_column and alone and table.labels:
        return one_row_per_id(table, reading)
    repeated = (name for name, count in Counter(table.ids).items() if count > 1 and name)
    if not reading.id_column and (name := next(repeated, "")):
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
            lines = ""
            if (fewest, least) != (at_most, most):
                lines = f" (lines with empty ones at the end: {at_most} and {most})"
            raise DataError(
                f"{path} has {fewest} rows, its labels ({origin}) {least}{lines}",
                "Row i of one file belongs to row i of the other; a row without labels is an empty line. "
                "Tables are joined by a column of ids with --id-column.",
            )
    if n_rows == 0:
        raise DataError(f"{next(iter(counts), origin)}: no rows", "Is it the right file?")
    return n_rows


def _cells(table: Columns, lines: list[int], values: Sequence[object], reading: Reading) -> LabelCells:
    """Label cells; a text from JSON or parquet is one label, unless a separator is given."""
    path = table.path
    split = kind_of(path) in ("lines", "csv", "tsv") or bool(reading.separator)
    pairs = zip(values, (f"{path}, line {number}" for number in lines), strict=True)
    cells = LabelCells(path, lines, [parse_cell(value, where, reading.cells, split=split) for value, where in pairs])
    cells.column_labels = table.one_hot
    if not split:
        cells.unsplit = next((v for v in values if isinstance(v, str) and re.search(SEVERAL, v)), "")
    return cells


def read_label_texts(path: Path, reading: Reading, at_least: int = 0) -> Columns:
    """The text of each label with its line: lines of the file, or the text column of a table and its other columns.

    Empty lines at the end are no labels, except for those up to `at_least` labels. DataError for ids out of order.
    """
    if kind_of(path) != "lines":
        if kind_of(path) == "tsv" and not reading.columns:
            names = list(next(table_rows(path, reading.delimiter), (0, {}))[1])
            if len(names) == 2 and reading.text_column not in names:
                problem = f"{path}, line 1: no column {reading.text_column!r} among {names[0]!r}, {names[1]!r}"
                hint = "If line 1 is a label, name the file .txt: its lines are NAME<TAB>TEXT. Or see --columns."
                raise DataError(problem, f"{hint} If it names the columns, give --text-column NAME.")
        as_texts = replace(reading, id_column="", labels_column="")
        table = read_columns(path, as_texts, texts=True, id_names=("id", "label_id"))
        check_label_ids(table, int("labels" in reading.one_based))
        return table
    texts = plain_texts(path, reading)
    if not reading.cells.literal:
        check_label_lines(path, texts)
    texts = texts[: max(at_least, len(texts) - blank_tail(texts))]
    return Columns(path, list(range(1, len(texts) + 1)), texts)


def _read_label_file(
    path: Path, texts: Columns | None, reading: Reading, notes: list[str]
) -> LabelCells | sp.csr_matrix:
    """A label matrix (n, L), or label cells; those of a table are joined to the table of texts, if there is one."""
    if kind_of(path) != "lines":
        table = read_columns(path, reading, labels=True)
        notes += unread_note(table)
        if texts is None and reading.id_column:
            raise UsageError("--id-column: the texts are no table with ids", "Give texts as .csv, .tsv or .jsonl.")
        lines, values = (table.lines, table.labels) if texts is None else joined(texts, table, reading)
        return _cells(table, lines, values, reading)
    check_arrays_or_text(path)
    if is_matrix(path):
        bases = reading.one_based
        return read_labels(path, one_based="labels" in bases, one_based_features="features" in bases)
    plain = [line for _, line in text_lines(path)]
    if plain and not reading.cells.literal:
        check_plain(path, plain[0])
    cells = _cells(Columns(path), list(range(1, len(plain) + 1)), plain, reading)
    cells.blank_tail = blank_tail(plain)
    return cells


def read_features(path: Path, reading: Reading) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
    """(features, labels if the file has both, else None)."""
    bases = reading.one_based
    check_arrays_or_text(path)
    return read_both(path, one_based_features="features" in bases, one_based_labels="labels" in bases)
