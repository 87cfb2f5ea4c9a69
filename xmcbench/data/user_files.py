"""Read a user's files: texts and label names from lines, jsonl, csv or tsv; matrices from npz or XMC text."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import scipy.sparse as sp

from xmcbench.data.documents import json_lines, lines_of, read_lines
from xmcbench.data.formats import NPY, NPZ, OTHER, SVMLIGHT, form_of, read_both, read_labels
from xmcbench.errors import DataError, UsageError
from xmcbench.files import typed

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
    XMC form. DataError names the file and line, the numbers of rows, or the files if labels are in none or in two.
    """
    rows = SplitRows()
    labels: dict[Path, Names | sp.csr_matrix] = {}
    counts: dict[Path, int] = {}
    if files.texts is not None:
        rows.texts, names = read_texts(files.texts, reading)
        counts[files.texts] = len(rows.texts)
        if names is not None:
            labels[files.texts] = names
    if files.features is not None:
        rows.features, matrix = read_features(files.features, reading)
        counts[files.features] = int(rows.features.shape[0])
        if matrix is not None:
            labels[files.features] = matrix
    if files.labels is not None:
        labels = {files.labels: read_label_file(files.labels, reading)}
    if len(labels) != 1:
        sources = " and in ".join(map(str, labels)) or "none of the files"
        raise DataError(f"labels are in {sources}", "Give --labels FILE (--test-labels, --dev-labels) to say which.")
    [found] = labels.values()
    rows.names, rows.labels = (found, None) if isinstance(found, Names) else (None, found)
    n_labelled = len(found.rows) if isinstance(found, Names) else found.shape[0]
    for path, count in counts.items():
        if count != n_labelled:
            raise DataError(
                f"{path} has {count} rows, its labels ({files.labels or 'in the same file'}) {n_labelled}",
                "Row i of one file belongs to row i of the other.",
            )
    return rows


def read_texts(path: Path, reading: Reading) -> tuple[list[str], Names | None]:
    """(texts, label names or None). Names come from the labels column of jsonl, csv and tsv, if there is one."""
    if kind_of(path) == "lines":
        return read_lines(path), None
    texts: list[str] = []
    values: list[tuple[int, object]] = []
    has_labels = False
    for number, row in _records(path):
        texts.append(text_of(row, reading.text_column, f"{path}, line {number}"))
        values.append((number, row.get(reading.labels_column)))
        has_labels = has_labels or reading.labels_column in row
    return texts, _names(path, values, reading) if has_labels else None


def text_of(row: Mapping[str, object], column: str, where: str) -> str:
    """The text in `column`, or in several comma-separated columns, joined with a space; null counts as empty."""
    names = [column] if column in row else [name.strip() for name in column.split(",")]
    values = {name: _value(row, name, where, "Give --text-column.") for name in names}
    texts = [typed(value, str, f"{where}: {name}") for name, value in values.items() if value is not None]
    return " ".join(filter(None, texts))


def _value(row: Mapping[str, object], column: str, where: str, hint: str) -> object:
    if column not in row:
        raise DataError(f"{where}: no {column!r} among {', '.join(map(repr, list(row)[:10]))}", hint)
    return row[column]


def read_label_texts(path: Path, reading: Reading) -> list[str]:
    """One text per label: the lines of the file, or the text column of jsonl, csv, tsv."""
    if kind_of(path) == "lines":
        return read_lines(path)
    return [text_of(row, reading.text_column, f"{path}, line {number}") for number, row in _records(path)]


def read_label_file(path: Path, reading: Reading) -> Names | sp.csr_matrix:
    """A label matrix (n, L), or `Names`."""
    if is_matrix(path):
        bases = reading.one_based
        return read_labels(path, one_based="labels" in bases, one_based_features="features" in bases)
    if kind_of(path) == "lines":
        return _names(path, list(lines_of(path)), reading)
    column, hint = reading.labels_column, "Give --labels-column NAME."
    values = [(number, _value(row, column, f"{path}, line {number}", hint)) for number, row in _records(path)]
    return _names(path, values, reading)


def read_features(path: Path, reading: Reading) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
    """(features, labels if the file has both, else None)."""
    bases = reading.one_based
    return read_both(path, one_based_features="features" in bases, one_based_labels="labels" in bases)


def kind_of(path: Path) -> str:
    """ "jsonl", "csv", "tsv" or "lines", by the file name without .gz."""
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    return {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv"}.get(suffix, "lines")


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


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield (line number, {column: value}) of jsonl, csv or tsv; the first csv or tsv row holds the column names."""
    kind = kind_of(path)
    if kind == "jsonl":
        yield from json_lines(path, dict[str, object])
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


def _names(path: Path, values: Sequence[tuple[int, object]], reading: Reading) -> Names:
    """The label names of rows (line number, value), given as a string to split or as a list of strings and numbers."""
    strings = [value for _, value in values if isinstance(value, str)]
    separator = separator_of(strings, reading.separator)
    names = Names(path, separator=_SEPARATOR_WORDS.get(separator, repr(separator)) if strings else "")
    for number, value in values:
        if value is None:
            row_names = []
        elif isinstance(value, str):
            row_names = value.split(separator)
        else:
            where = f"{path}, line {number}: labels must be names or whole numbers"
            hint = 'As in {"text": "…", "labels": ["a", "b"]}.'
            row_names = list(map(str, typed([value] if type(value) is int else value, list[str | int], where, hint)))
        names.lines.append(number)
        names.rows.append([name for name in map(str.strip, row_names) if name])
    return names


def separator_of(values: Sequence[str], separator: str) -> str | None:
    """The separator of label strings (None: whitespace): the given one, or else the first usual one that occurs."""
    if separator:
        return SEPARATORS.get(separator, separator)
    usual = filter(None, SEPARATORS.values())
    return next((character for character in usual if any(character in value for value in values)), None)


def parse_one_based(text: str) -> frozenset[str]:
    """ "features", "labels" or "both" → a set of the first two; "" → the empty set."""
    choices = {"": (), "features": ("features",), "labels": ("labels",), "both": ("features", "labels")}
    if text not in choices:
        raise UsageError(f"--one-based {text!r}", "One of features, labels, both.")
    return frozenset(choices[text])
