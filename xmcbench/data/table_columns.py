"""Columns of a user's table: texts, labels in one of three forms, ids, and the columns that no option names."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from xmcbench.data.file_forms import kind_of
from xmcbench.data.label_cells import CellRules, LabelCells, checked_text
from xmcbench.data.label_names import BYTES_HINT, shown
from xmcbench.data.table_files import Row, table_rows
from xmcbench.errors import DataError, UsageError

TEXT_HINT = "Write one object per row, with the text between double quotes; in pandas: to_json(orient='records')."
ONES, ZEROS = ("1", "1.0", "true"), ("0", "0.0", "false")
SHOWN = 10  # columns that a note shows
SPLIT_COLUMNS = {"split", "splits", "fold", "set", "subset", "partition", "is_test", "is_train"}
AS_TYPED = CellRules()


@dataclass(frozen=True)
class Reading:
    """Options for reading a user's files.

    Attributes
    ----------
    separator : separator of label names: a key of `label_cells.SEPARATORS` or the characters themselves; "" finds it.
    text_column, labels_column : columns of csv, tsv and parquet files, keys of JSON objects; several text columns are
        written "title,content".
    one_based : subset of "features" and "labels": the ids that start at 1.
    delimiter, columns : of csv and tsv files; see `table_files.table_rows`.
    id_column : the column by which a table of labels is joined to a table of texts; "" joins row i to row i.
    long : the table of labels has one line per row id and label.
    one_hot : label columns of 0 and 1, as in "toxic,rude"; "*" for all columns but the texts' and the ids'.
    cells : missing values, and whether texts and names are taken as they are.
    """

    separator: str = ""
    text_column: str = "text"
    labels_column: str = "labels"
    one_based: frozenset[str] = frozenset()
    delimiter: str = ""
    columns: tuple[str, ...] = ()
    id_column: str = ""
    long: bool = False
    one_hot: str = ""
    cells: CellRules = AS_TYPED


@dataclass
class Columns:
    """Cells of a table's rows, each with its line; `texts`, `labels` and `ids` are empty if they were not read."""

    path: Path
    lines: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    labels: list[object] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    id_column: str = "id"
    unread_labels: bool = False  # there is a column of labels, and it was not asked for
    others: dict[str, list[str]] = field(default_factory=dict)  # the columns that no option names, without those of
    # labels; their cells are kept where texts and labels are not in one table, to see whether rows belong together
    one_hot: tuple[str, ...] = ()  # the label columns of 0 and 1


def read_columns(
    path: Path,
    reading: Reading,
    *,
    texts: bool = False,
    labels: bool = False,
    optional: bool = False,
    id_names: Sequence[str] = ("id",),
) -> Columns:
    """The text cells, the label cells (not needed if `optional`), and the ids, if there is a column of ids.

    `id_names`: names of a column of ids if no option names one; its cells need not be ids.

    DataError with the line and the columns that exist if one is missing, also in a single row.
    """
    table = Columns(path)
    one_hot: Sequence[str] = ()
    id_column = reading.id_column
    label_column = "" if reading.one_hot or not labels else reading.labels_column
    for number, row in table_rows(path, reading.delimiter, reading.columns):
        where = f"{path}, line {number}"
        if not table.lines:
            table.unread_labels = not labels and reading.labels_column in row
            one_hot = _one_hot_columns(row, reading) if reading.one_hot and labels else ()
            label_column = "" if optional and label_column not in row else label_column
            id_column = id_column or next((name for name in row if name.casefold() in id_names), "")
            table.id_column = id_column
            read = {*one_hot, label_column, id_column, reading.text_column, *_names(reading.text_column)}
            read |= {reading.labels_column} if table.unread_labels else set()
            table.others = {name: [] for name in row if name not in read}
            table.one_hot = tuple(one_hot)
        if optional and not label_column and reading.labels_column in row:
            raise DataError(f"{where}: labels, where the rows before have none", "Give labels to all rows, or to none.")
        table.lines.append(number)
        if texts:
            table.texts.append(text_of(row, reading, where))
        elif reading.text_column in row:  # a table of labels that repeats the texts: `joined` compares them
            table.texts.append(str(row[reading.text_column]))
        if one_hot:
            table.labels.append([name for name in one_hot if _is_one(row, name, where)])
        elif label_column:
            table.labels.append(_value(row, label_column, "--labels-column", where))
        if reading.id_column or (id_column in row and len(table.ids) == len(table.lines) - 1):
            table.ids.append(id_of(row, id_column, where, needed=bool(reading.id_column)))
        for name, cells in table.others.items() if not (texts and labels) else ():
            cells.append(_as_text(row.get(name)))
    return table


def _as_text(value: object) -> str:
    """A cell as a text that compares equal in csv, JSON and parquet; 3.0 is a whole number that became a fraction."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def unread_note(table: Columns) -> list[str]:
    """A note on the columns that are not read, if there are any; it says what a column of splits does not do."""
    unread = [name for name in table.others if name.strip()]
    if not unread:
        return []
    names = ", ".join(map(repr, unread[:SHOWN]))
    more = f" and {len(unread) - SHOWN} more" if len(unread) > SHOWN else ""
    notes = [f"columns of {table.path} that are not read: {names}{more}"]
    if of_splits := [name for name in unread if name.casefold() in SPLIT_COLUMNS]:
        notes.append(f"the column {of_splits[0]!r} does not decide the splits: give one file per split (--test-texts)")
    return notes


def text_of(row: Row, reading: Reading, where: str) -> str:
    """The text in the text column, or in several comma-separated ones, joined with a space; null counts as empty."""
    names = [reading.text_column] if reading.text_column in row else _names(reading.text_column)
    texts = []
    for name in names:
        value = _value(row, name, "--text-column", where, names)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            continue
        place = f"{where}: {name}"
        if not isinstance(value, str):
            raise DataError(
                f"{place}: expected a text, found {shown(value)}", BYTES_HINT if isinstance(value, bytes) else TEXT_HINT
            )
        texts.append(checked_text(value, place, reading.cells))
    return " ".join(filter(None, texts))


def _names(text: str) -> list[str]:
    """The column names of an option such as `title,content`; a name with a comma stands between double quotes."""
    return next(csv.reader([text], skipinitialspace=True))


def _value(row: Row, column: str, option: str, where: str, columns: Sequence[str] = ()) -> object:
    """The cell of a column; `columns` are all those of the option, if it takes several."""
    if column not in row:
        wanted = column.casefold().rstrip("s")
        alike = next((name for name in row if name.strip().casefold().rstrip("s") == wanted), "NAME")
        hint = "In csv and tsv, line 1 names the columns, unless --columns does; see --delimiter."
        if "," in column and option == "--labels-column":
            hint = "It is one column; label columns of 0 and 1 are read with --one-hot."
        elif any(isinstance(v, dict) or (isinstance(v, list) and dict in map(type, v)) for v in row.values()):
            hint = "Only keys of the object itself are read, not those of objects within it."
            key = next((key for key, v in row.items() if isinstance(v, list) and dict in map(type, v)), "")
            if key:  # as in {"data": [{...}, {...}]}
                hint = f"The rows seem to be the list under the key {key!r}: write that list alone as the file. {hint}"
        problem = f"{where}: no {column!r} among {', '.join(map(repr, list(row)[:20])) or 'no columns'}"
        if option == "--id-column":  # another name would be missing in the other files
            rename = "" if alike == "NAME" else f" Rename the column {alike!r} to {column!r}."
            raise DataError(problem, f"--id-column is the name of one column that all tables have.{rename} {hint}")
        given = ",".join(alike if name == column else name for name in columns or [column])
        raise DataError(problem, f"Give {option} {given}. {hint}")
    return row[column]


def _one_hot_columns(row: Row, reading: Reading) -> list[str]:
    if reading.one_hot == "*":
        others = {reading.id_column, reading.text_column, *_names(reading.text_column), ""}
        return [name for name in row if name not in others and name.casefold() != "id"]
    return _names(reading.one_hot)


def check_label_columns(files: Sequence[LabelCells]) -> None:
    """DataError if files of splits have other label columns: without its column, a label would be false in all rows."""
    for first, second in combinations(files, 2):
        for file, other in ((first, second), (second, first)):
            if missing := [name for name in other.column_labels if name not in file.column_labels]:
                names = ", ".join(map(repr, missing[:SHOWN])) + (", …" if len(missing) > SHOWN else "")
                problem = f"{file.path} has no label column {names}, which {other.path} has"
                hint = "All splits need the same label columns; --one-hot first,second names those that are labels."
                raise DataError(problem, hint)


def _is_one(row: Row, column: str, where: str) -> bool:
    value = str(_value(row, column, "--one-hot", where)).strip().lower()
    if value not in ONES + ZEROS:
        hint = "Name the label columns: --one-hot first,second. Their cells are 0 or 1, false or true."
        hint += "" if value else " An empty cell is neither: write 0, if the row does not have the label."
        raise DataError(f"{where}, column {column!r}: {value[:40]!r} is neither 0 nor 1", hint)
    return value in ONES


def id_of(row: Row, column: str, where: str, *, needed: bool) -> str:
    """The id of a row; DataError if it is `needed` and missing, empty, or no text or whole number."""
    if not needed:
        return _as_text(row.get(column))
    value = _value(row, column, "--id-column", where)
    text = str(value).strip() if type(value) in (str, int) else ""
    if not text:
        raise DataError(f"{where}: the id in column {column!r} is empty, or no whole number", "Each row needs one.")
    return text


def check_options(reading: Reading, text_files: Sequence[Path], label_files: Sequence[Path]) -> None:
    """UsageError for options that none of the files uses, or that contradict each other.

    `text_files`: those with texts of rows or labels; `label_files`: those that labels of rows are read from.
    """
    of_texts = any(kind_of(path) != "lines" for path in text_files)
    of_labels = any(kind_of(path) != "lines" for path in label_files)
    delimited = any(kind_of(path) in ("csv", "tsv") for path in (*text_files, *label_files))
    given = (
        ("--text-column", reading.text_column != "text", of_texts, "a table of texts (.csv, .tsv, .jsonl, .parquet)"),
        ("--labels-column", reading.labels_column != "labels", of_labels, "a table of labels"),
        ("--id-column", bool(reading.id_column), of_labels, "a table of labels next to one of texts"),
        ("--long", reading.long, of_labels, "a table of labels next to one of texts"),
        ("--one-hot", bool(reading.one_hot), of_labels, "a table of labels"),
        ("--delimiter", bool(reading.delimiter), delimited, "a csv or tsv file"),
        ("--columns", bool(reading.columns), delimited, "a csv or tsv file"),
        ("--missing", bool(reading.cells.missing), bool(text_files or label_files), "texts or labels"),
    )
    for option, is_given, is_used, needs in given:
        if is_given and not is_used:
            raise UsageError(f"{option} is used by none of the files", f"It is for {needs}. Leave it out.")
    if reading.long and reading.one_hot:
        raise UsageError("--long and --one-hot are two forms of labels", "Give one of them.")
    if reading.long and not reading.id_column:
        hint = "Name the column whose cells are equal in all lines of a row, as in --long --id-column id."
        raise UsageError("--long joins the lines with the same id, and --id-column does not name the ids", hint)
    if reading.one_hot and reading.labels_column != "labels":
        raise UsageError("--one-hot and --labels-column are two forms of labels", "Give one of them.")
    texts, label, one_hot = _names(reading.text_column), reading.labels_column, _names(reading.one_hot)
    for option, names in (("--text-column", texts), ("--columns", reading.columns), ("--one-hot", one_hot)):
        if len(set(names)) < len(names):
            raise UsageError(f"{option} {','.join(names)}: a column is named twice", "Name each column once.")
    in_one_file = not reading.one_hot and any(kind_of(p) != "lines" and p in text_files for p in label_files)
    if in_one_file and label in (reading.text_column, *texts, reading.id_column):
        raise UsageError(f"the column {label!r} can't be labels and texts or ids", "Give --labels-column.")
