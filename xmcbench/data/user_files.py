"""Read a user's files: texts and label names from lines, jsonl, csv or tsv; matrices from npz or XMC text."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcbench.data.documents import json_lines, lines_of
from xmcbench.errors import DataError, UsageError

if TYPE_CHECKING:
    import scipy.sparse as sp

SEPARATORS = {"tab": "\t", "bar": "|", "semicolon": ";", "comma": ",", "space": None}  # None: any whitespace
_SEPARATOR_WORDS = {"\t": "tabs", "|": "bars", ";": "semicolons", ",": "commas", None: "whitespace"}
MAX_FIELD = 2**31 - 1  # characters per csv field; Python's default of 131,072 is too short for some laws


@dataclass(frozen=True)
class Reading:
    """Options for reading a user's files.

    Attributes
    ----------
    separator : separator of label names: a key of `SEPARATORS` or the characters themselves; "" uses the first of tab,
        bar, semicolon, comma that occurs in the file, or else whitespace.
    text_column, labels_column : columns of csv and tsv files, keys of jsonl objects; several text columns are written
        "title,content".
    one_based : subset of "features" and "labels": the ids of XMC text that start at 1.
    """

    separator: str = ""
    text_column: str = "text"
    labels_column: str = "labels"
    one_based: frozenset[str] = frozenset()


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
    """Label names of n rows, the line number of each row in `path`, and the separator in words."""

    path: Path
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    separator: str = ""


@dataclass
class SplitRows:
    """Rows of one split as read from files: labels either as a matrix or as names; optional texts and features."""

    texts: list[str] | None = None
    features: sp.csr_matrix | None = None
    labels: sp.csr_matrix | None = None
    names: Names | None = None


def read_rows(files: SplitFiles, reading: Reading) -> SplitRows:
    """Read the files of one split and check that they have the same number of rows.

    Labels are read from `files.labels`, else from the texts file (jsonl, csv), else from a features file in one-file
    XMC form.

    Raises
    ------
    DataError : unreadable (with file and line), different numbers of rows, or labels in none or in two of the files.
    """
    rows = SplitRows()
    text_file_labels: Names | None = None
    label_sources: list[tuple[str, Any]] = []
    if files.texts is not None:
        rows.texts, text_file_labels = read_texts(files.texts, reading)
        if text_file_labels is not None:
            label_sources.append((str(files.texts), text_file_labels))
    if files.features is not None:
        rows.features, feature_file_labels = read_features(files.features, reading)
        if feature_file_labels is not None and files.labels != files.features:
            label_sources.append((str(files.features), feature_file_labels))
    if files.labels is not None:
        label_sources = [(str(files.labels), read_label_file(files.labels, reading))]
    if len(label_sources) != 1:
        sources = " and in ".join(source for source, _ in label_sources) or "none of the files"
        raise DataError(f"labels are in {sources}", "Give --labels FILE (--test-labels, --dev-labels) to say which.")
    if isinstance(label_sources[0][1], Names):
        rows.names = label_sources[0][1]
    else:
        rows.labels = label_sources[0][1]
    _check_same_length(files, rows)
    return rows


def _check_same_length(files: SplitFiles, rows: SplitRows) -> None:
    n_labelled = len(rows.names.rows) if rows.names is not None else rows.labels.shape[0]  # type: ignore[union-attr]
    for path, count in (
        (files.texts, None if rows.texts is None else len(rows.texts)),
        (files.features, None if rows.features is None else rows.features.shape[0]),
    ):
        if count is not None and count != n_labelled:
            raise DataError(
                f"{path} has {count} rows, its labels ({files.labels or 'in the same file'}) {n_labelled}",
                "Row i of one file belongs to row i of the other.",
            )


def read_texts(path: Path, reading: Reading) -> tuple[list[str], Names | None]:
    """(texts, label names or None). Names come from the labels column of jsonl, csv and tsv, if there is one."""
    texts: list[str] = []
    if kind_of(path) == "lines":
        return [line for _, line in lines_of(path)], None
    names = Names(path)
    label_values: list[Any] = []
    for number, row in _records(path):
        text = text_of(row, reading.text_column, f"{path}, line {number}")
        texts.append(text)
        names.lines.append(number)
        label_values.append(row.get(reading.labels_column, _MISSING))
    if all(value is _MISSING for value in label_values):
        return texts, None
    _add_names(names, label_values, reading)
    return texts, names


def text_of(row: dict[str, Any], column: str, where: str) -> str:
    """The text in `column`, or in several comma-separated columns, joined with a space; null counts as empty."""
    names = [column] if column in row else [name.strip() for name in column.split(",")]
    parts = []
    for name in names:
        if name not in row:
            raise DataError(f"{where}: no {name!r} among {', '.join(map(repr, list(row)[:10]))}", "Give --text-column.")
        text = "" if row[name] is None else row[name]
        if not isinstance(text, str):
            raise DataError(f"{where}: {name} is a {type(text).__name__}, not a string")
        parts.append(text)
    return " ".join(filter(None, parts))


def read_label_texts(path: Path, reading: Reading) -> list[str]:
    """One text per label: the lines of the file, or the text column of jsonl, csv, tsv."""
    if kind_of(path) == "lines":
        return [line for _, line in lines_of(path)]
    return [text_of(row, reading.text_column, f"{path}, line {number}") for number, row in _records(path)]


_MISSING = object()


def read_label_file(path: Path, reading: Reading) -> Any:
    """A label matrix (n, L), or `Names`."""
    from xmcbench.data import formats

    if is_matrix(path):
        if "labels" not in reading.one_based or formats.is_npz(path):
            return formats.read_labels(path)
        if formats.header_words(path) == 3:
            return formats.read_xmc(path, one_based_labels=True, one_based_features="features" in reading.one_based)[1]
        return formats.as_labels(formats.read_sparse(path, one_based=True))
    names = Names(path)
    label_values: list[Any] = []
    if kind_of(path) == "lines":
        for number, line in lines_of(path):
            label_values.append(line)
            names.lines.append(number)
    else:
        for number, row in _records(path):
            if reading.labels_column not in row:
                columns = ", ".join(map(repr, list(row)[:10]))
                hint = "Give --labels-column NAME."
                raise DataError(f"{path}, line {number}: no {reading.labels_column!r} among {columns}", hint)
            label_values.append(row[reading.labels_column])
            names.lines.append(number)
    _add_names(names, label_values, reading)
    return names


def read_features(path: Path, reading: Reading) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
    """(features, labels if the file is in one-file XMC form, else None)."""
    from xmcbench.data import formats

    one_based = "features" in reading.one_based
    if formats.is_npz(path):
        return formats.read_matrix(path), None
    if formats.header_words(path) == 3:
        return formats.read_xmc(path, one_based_features=one_based, one_based_labels="labels" in reading.one_based)
    return formats.read_sparse(path, one_based=one_based), None


def kind_of(path: Path) -> str:
    """ "jsonl", "csv", "tsv" or "lines", by the file name without .gz."""
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    return {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv"}.get(suffix, "lines")


def is_matrix(path: Path) -> bool:
    """Whether a file is npz, or text with two or three whole numbers in line 1 and id:value pairs after it."""
    from xmcbench.data import formats

    if formats.is_npz(path):
        return True
    if kind_of(path) != "lines" or formats.header_words(path) not in (2, 3):
        return False
    for number, line in lines_of(path):
        if number > 1 and ":" in line:
            return all(":" in word for word in line.split()[1:])
        if number == 1 and not all(word.isdigit() for word in line.split()):
            return False
    return False


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, {column: value}) of jsonl, csv or tsv; the first csv or tsv row holds the column names."""
    kind = kind_of(path)
    if kind == "jsonl":
        yield from json_lines(path)
        return
    csv.field_size_limit(MAX_FIELD)
    lines = (line + "\n" for _, line in lines_of(path))
    reader = csv.reader(lines, delimiter="\t" if kind == "tsv" else ",", strict=True)
    try:
        columns = next(reader, None)
        if columns is None:
            raise DataError(f"{path}: the file is empty", "Its first row names the columns.")
        if len(set(columns)) < len(columns):
            raise DataError(f"{path}, line 1: a column name occurs twice: {', '.join(columns)[:200]}")
        for row in reader:
            if not row:
                continue
            if len(row) != len(columns):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(row)} columns, the first row names {len(columns)}",
                    'Put texts with separators or newlines between double quotes ("").',
                )
            yield reader.line_num, dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}", "Is it a csv with quoted texts?") from error


def _add_names(names: Names, values: list[Any], reading: Reading) -> None:
    """Add the label names of each row, given as a string to split or as a list of strings and whole numbers."""
    separator = separator_of(values, reading.separator)
    if any(isinstance(value, str) for value in values):
        names.separator = _SEPARATOR_WORDS.get(separator, repr(separator))
    for number, value in zip(names.lines, values, strict=True):
        if value is _MISSING or value is None:
            row_names = []
        elif isinstance(value, str):
            row_names = value.split(separator)
        elif isinstance(value, list) and all(type(name) in (str, int) for name in value):
            row_names = [str(name) for name in value]
        elif type(value) is int:
            row_names = [str(value)]
        else:
            hint = 'As in {"text": "…", "labels": ["a", "b"]}.'
            raise DataError(f"{names.path}, line {number}: labels must be names or whole numbers", hint)
        names.rows.append([name for name in map(str.strip, row_names) if name])


def separator_of(values: list[Any], separator: str) -> str | None:
    """The separator of label strings (None: whitespace): the given one, or else the first usual one that occurs."""
    if separator:
        return SEPARATORS.get(separator, separator)
    for character in filter(None, SEPARATORS.values()):
        if any(isinstance(value, str) and character in value for value in values):
            return character
    return None


def parse_one_based(text: str) -> frozenset[str]:
    """ "features", "labels" or "both" → a set of the first two; "" → the empty set."""
    choices = {"": (), "features": ("features",), "labels": ("labels",), "both": ("features", "labels")}
    if text not in choices:
        raise UsageError(f"--one-based {text!r}", "One of features, labels, both.")
    return frozenset(choices[text])
