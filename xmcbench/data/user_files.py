"""A user's own rows: texts and label names from lines, jsonl, csv or tsv; matrices from npz or XMC text."""

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
_NAMED = {"\t": "tabs", "|": "bars", ";": "semicolons", ",": "commas", None: "blanks"}
LONGEST_FIELD = 2**31 - 1  # characters of a csv field; Python's default of 131,072 is shorter than some laws


@dataclass(frozen=True)
class Reading:
    """How a user's files are to be read.

    Attributes
    ----------
    separator : between label names: a key of `SEPARATORS` or the characters themselves; "" looks for the first of
        tab, bar, semicolon, comma that occurs in the file, and else splits at whitespace.
    text_column, labels_column : of csv and tsv files, and keys of jsonl objects; several text columns as in
        "title,content".
    one_based : of "features", "labels": ids of XMC text that count from 1.
    """

    separator: str = ""
    text_column: str = "text"
    labels_column: str = "labels"
    one_based: frozenset[str] = frozenset()


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split, any of them None."""

    texts: Path | None = None
    labels: Path | None = None
    features: Path | None = None

    def __bool__(self) -> bool:
        return any((self.texts, self.labels, self.features))


@dataclass
class Names:
    """Label names of n rows, the line of `path` each row stands on, and what they were split at, in words."""

    path: Path
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    separator_said: str = ""


@dataclass
class Rows:
    """One split as read: labels as a matrix or as names, one of them; texts and features where there are any."""

    texts: list[str] | None = None
    features: sp.csr_matrix | None = None
    labels: sp.csr_matrix | None = None
    names: Names | None = None


def read_rows(files: SplitFiles, how: Reading) -> Rows:
    """Read the files of one split and check that they have equally many rows.

    Labels come from `files.labels`, else from the texts file (jsonl, csv), else from a features file in one-file XMC
    form.

    Raises
    ------
    DataError : unreadable (file and line), different numbers of rows, or labels in none or in two of the files.
    """
    rows = Rows()
    named: Names | None = None
    found: list[tuple[str, Any]] = []  # where labels were found
    if files.texts is not None:
        rows.texts, named = read_texts(files.texts, how)
        if named is not None:
            found.append((str(files.texts), named))
    if files.features is not None:
        rows.features, inside = read_features(files.features, how)
        if inside is not None and files.labels != files.features:
            found.append((str(files.features), inside))
    if files.labels is not None:
        found = [(str(files.labels), read_label_file(files.labels, how))]
    if len(found) != 1:
        places = " and in ".join(place for place, _ in found) or "none of the files"
        raise DataError(f"labels stand in {places}", "Give --labels FILE (--test-labels, --dev-labels) to say which.")
    if isinstance(found[0][1], Names):
        rows.names = found[0][1]
    else:
        rows.labels = found[0][1]
    _same_length(files, rows)
    return rows


def _same_length(files: SplitFiles, rows: Rows) -> None:
    labels = len(rows.names.rows) if rows.names is not None else rows.labels.shape[0]  # type: ignore[union-attr]
    for path, count in (
        (files.texts, None if rows.texts is None else len(rows.texts)),
        (files.features, None if rows.features is None else rows.features.shape[0]),
    ):
        if count is not None and count != labels:
            raise DataError(
                f"{path} has {count} rows, its labels ({files.labels or 'in the same file'}) {labels}",
                "Row i of one file belongs to row i of the other.",
            )


def read_texts(path: Path, how: Reading) -> tuple[list[str], Names | None]:
    """(texts, label names or None). Names stand in jsonl objects and csv rows that have the labels column."""
    texts: list[str] = []
    if kind_of(path) == "lines":
        return [line for _, line in lines_of(path)], None
    given = Names(path)
    raw: list[Any] = []
    for number, row in _records(path):
        text = text_of(row, how.text_column, f"{path}, line {number}")
        texts.append(text)
        given.lines.append(number)
        raw.append(row.get(how.labels_column, _ABSENT))
    if all(value is _ABSENT for value in raw):
        return texts, None
    _fill(given, raw, how)
    return texts, given


def text_of(row: dict[str, Any], column: str, where: str) -> str:
    """The text in `column`, or of several columns with commas between them, joined with a blank; null is empty."""
    names = [column] if column in row else [name.strip() for name in column.split(",")]
    parts = []
    for name in names:
        if name not in row:
            raise DataError(f"{where}: no {name!r} among {', '.join(map(repr, list(row)[:10]))}", "Say --text-column.")
        text = "" if row[name] is None else row[name]
        if not isinstance(text, str):
            raise DataError(f"{where}: {name} is a {type(text).__name__}, not a string")
        parts.append(text)
    return " ".join(filter(None, parts))


def read_label_texts(path: Path, how: Reading) -> list[str]:
    """One text a label: lines as they are, or the text column of jsonl, csv, tsv."""
    if kind_of(path) == "lines":
        return [line for _, line in lines_of(path)]
    return [text_of(row, how.text_column, f"{path}, line {number}") for number, row in _records(path)]


_ABSENT = object()


def read_label_file(path: Path, how: Reading) -> Any:
    """A label matrix (n, L), or `Names`."""
    from xmcbench.data import formats

    if is_matrix(path):
        if "labels" not in how.one_based or formats.is_npz(path):
            return formats.read_labels(path)
        if formats.header_words(path) == 3:
            return formats.read_xmc(path, one_based_labels=True, one_based_features="features" in how.one_based)[1]
        return formats.as_labels(formats.read_sparse(path, one_based=True))
    given = Names(path)
    raw: list[Any] = []
    if kind_of(path) == "lines":
        for number, line in lines_of(path):
            raw.append(line)
            given.lines.append(number)
    else:
        for number, row in _records(path):
            if how.labels_column not in row:
                shown = ", ".join(map(repr, list(row)[:10]))
                hint = "Say --labels-column NAME."
                raise DataError(f"{path}, line {number}: no {how.labels_column!r} among {shown}", hint)
            raw.append(row[how.labels_column])
            given.lines.append(number)
    _fill(given, raw, how)
    return given


def read_features(path: Path, how: Reading) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
    """(features, labels where the file is in one-file XMC form)."""
    from xmcbench.data import formats

    one_based = "features" in how.one_based
    if formats.is_npz(path):
        return formats.read_matrix(path), None
    if formats.header_words(path) == 3:
        return formats.read_xmc(path, one_based_features=one_based, one_based_labels="labels" in how.one_based)
    return formats.read_sparse(path, one_based=one_based), None


def kind_of(path: Path) -> str:
    """ "jsonl", "csv", "tsv" or "lines", by the name without .gz."""
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    return {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv"}.get(suffix, "lines")


def is_matrix(path: Path) -> bool:
    """npz, or text whose first line is two or three whole numbers and which goes on with id:value pairs."""
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
    """(line number, column → value) of jsonl, csv or tsv; the first row of the latter two names the columns."""
    kind = kind_of(path)
    if kind == "jsonl":
        yield from json_lines(path)
        return
    csv.field_size_limit(LONGEST_FIELD)
    lines = (line + "\n" for _, line in lines_of(path))
    reader = csv.reader(lines, delimiter="\t" if kind == "tsv" else ",", strict=True)
    try:
        columns = next(reader, None)
        if columns is None:
            raise DataError(f"{path}: the file is empty", "Its first row names the columns.")
        if len(set(columns)) < len(columns):
            raise DataError(f"{path}, line 1: a column name stands twice: {', '.join(columns)[:200]}")
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


def _fill(given: Names, raw: list[Any], how: Reading) -> None:
    """Label names of each row out of strings to split, or lists of strings and whole numbers."""
    separator = separator_of(raw, how.separator)
    if any(isinstance(value, str) for value in raw):
        given.separator_said = _NAMED.get(separator, repr(separator))
    for number, value in zip(given.lines, raw, strict=True):
        if value is _ABSENT or value is None:
            names = []
        elif isinstance(value, str):
            names = value.split(separator)
        elif isinstance(value, list) and all(type(name) in (str, int) for name in value):
            names = [str(name) for name in value]
        elif type(value) is int:
            names = [str(value)]
        else:
            hint = 'As in {"text": "…", "labels": ["a", "b"]}.'
            raise DataError(f"{given.path}, line {number}: labels must be names or whole numbers", hint)
        given.rows.append([name for name in map(str.strip, names) if name])


def separator_of(values: list[Any], said: str) -> str | None:
    """What to split label strings at (None: whitespace): as said, else the first usual one that occurs."""
    if said:
        return SEPARATORS.get(said, said)
    for character in filter(None, SEPARATORS.values()):
        if any(isinstance(value, str) and character in value for value in values):
            return character
    return None


def parse_one_based(text: str) -> frozenset[str]:
    """ "features", "labels" or "both" → a set of the first two; "" → the empty set."""
    known = {"": (), "features": ("features",), "labels": ("labels",), "both": ("features", "labels")}
    if text not in known:
        raise UsageError(f"--one-based {text!r}", "One of features, labels, both.")
    return frozenset(known[text])
