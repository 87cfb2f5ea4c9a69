"""Label names that nobody typed: what programs write for missing values, numbers, truth values, lists, bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from xmcbench.errors import DataError

# What pandas.read_csv reads as missing (its default na_values, without the forms of old Windows), and NaT.
MISSING = {"#N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "NaT", "None", "n/a", "nan", "null"}
MISSING |= {"#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!"}  # errors of spreadsheets
MISSING |= {r"\N"}  # of databases
BYTES_HINT = "The column is binary: save it as text; in pandas: .str.decode('utf-8')."
FASTTEXT = "__label__"  # before each label in fastText's files
BOOLEANS = {"TRUE", "FALSE", "True", "False", "true", "false"}
QUOTES = ("'", '"')
PAIRS = {"[": "]", "(": ")", "{": "}"}
CLOSING = {closing: opening for opening, closing in PAIRS.items()}
PAIR_OF_ONE = re.compile(r"\d+:1(\.0*)?")  # of a matrix of labels as XMC text
ZERO_OR_ONE = re.compile(r"[01](\.0+(e\+00)?)?")  # also as numpy.savetxt writes them


def check_names(path: Path, lines: Sequence[int], rows: Sequence[Sequence[str]], *, typed: bool) -> None:
    """DataError, with the line, for names that nobody typed, and for zeros and ones per label.

    `typed`: names come from texts, not from lists, whose names may have tabs and line ends.
    """
    if _one_hot_lines(rows):
        problem = f"{path}, line {lines[0]}: the labels of each row are {len(rows[0])} zeros and ones"
        hint = "Give names of labels, or a table with a column per label and --one-hot. --literal takes them as names."
        raise DataError(problem, hint)
    if any(rows) and all(PAIR_OF_ONE.fullmatch(name) for names in rows for name in names):
        problem = f"{path}, line {lines[0]}: labels are id:value pairs, but line 1 is not `rows columns`"
        raise DataError(problem, "Write the sizes of the matrix as line 1. --literal takes the pairs as names.")
    checked: set[str] = set()
    for number, names in zip(lines, rows, strict=True):
        for name in names:
            if name in checked:
                continue
            checked.add(name)
            problem, hint = _odd(name, typed)
            if problem:
                hint = f"{hint} --literal takes all names as they are."
                raise DataError(f"{path}, line {number}: the label {name[:60]!r} {problem}", hint)


def _one_hot_lines(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows have a 0 or 1 for every label instead of names: equally many, and one of them twice in a row."""
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        return False
    if not all(ZERO_OR_ONE.fullmatch(name) for row in rows for name in row):
        return False
    return any(len(set(row)) < len(row) for row in rows)


def _odd(name: str, typed: bool) -> tuple[str, str]:
    """(why a name is none that a person typed, what to do), or two empty texts."""
    if name in MISSING:
        hint = f"Leave the labels empty; --missing {name!r} reads a cell with this alone as no label."
        return "is what programs write for a missing value", hint
    if name in BOOLEANS:
        return "is a truth value", "--one-hot reads a table with one column of truth values per label."
    if re.fullmatch(r"[+-]?\d+\.0+", name):
        return "looks like a whole number that became a fraction", "Write it without .0, in pandas: .astype('Int64')."
    if re.fullmatch(r"\d+(\.\d+)?[eE][+-]\d+", name):
        return "looks like a number in scientific form", "Write whole numbers; in a spreadsheet, format it as text."
    if re.fullmatch(r"(<[^<>]+>){2,}", name):
        return "has several names in angle brackets", "Write labels as a;b, or as a list: ['a', 'b']."
    if name.startswith(FASTTEXT):
        return "begins as the labels of fastText do", "Give fastText's file with --texts alone, or remove the prefix."
    if in_quotes(name) or (name[0] == '"' and name.count('"') == 1):
        return "is in quotes", "Write names without quotes, or labels as a list: ['a', 'b']."
    first, last = name[0], name[-1]
    half = PAIRS.get(first, name) not in name or CLOSING.get(last, name) not in name
    if half or (first in "[{" and last == PAIRS[first]):
        return "has a bracket as lists have", "Write labels as a;b, or as a list: ['a', 'b']."
    if typed and not name.isprintable() and any(c in name for c in "\n\r\t"):
        return "has a tab or a line end in it", "Give --label-separator if it separates labels."
    return "", ""


def in_quotes(text: str) -> bool:
    """Whether a text stands between two quotes of one kind."""
    return len(text) > 1 and text[0] in QUOTES and text[-1] == text[0]


def check_one_based(path: Path, lines: Sequence[int], rows: Sequence[Sequence[str]]) -> None:
    """DataError, with the line, for a label that is no id that counts from 1."""
    for number, row in zip(lines, rows, strict=True):
        bad = next((name for name in row if not (name.isascii() and name.isdigit()) or not name.strip("0")), None)
        if bad is not None:
            problem = f"{path}, line {number}: label {bad[:80]!r} is no id that counts from 1"
            raise DataError(problem, "Leave out --one-based labels if labels are names, or ids that count from 0.")


def type_hint(value: object) -> str:
    """What to do about a label of JSON or parquet that is no name."""
    if isinstance(value, float) and math.isnan(value):
        return "Leave missing values out of the lists; in pandas, drop them with dropna() before groupby()."
    if isinstance(value, float) and value.is_integer():
        return "A whole number became a fraction, as in pandas next to missing values: use .astype('Int64')."
    if isinstance(value, float):
        return "Write numbers with fractions as names, between double quotes; in pandas: .astype(str)."
    if isinstance(value, bytes):
        return BYTES_HINT
    if isinstance(value, bool):
        return "Write the names of the labels; a column per label with true and false is read with --one-hot."
    return 'Write the labels of a row as one list of names or whole numbers, as in ["a", "b"].'


def shown(value: object) -> str:
    """A value of JSON or parquet in the words of a message."""
    if isinstance(value, bytes):
        return f"bytes, {value!r:.40}"
    kinds = {"dict": "an object", "list": "a list", "NoneType": "null", "bool": "true or false"}
    return kinds.get(type(value).__name__, f"{value!r:.40}")
