"""Cells → label names: cells that hold lists, missing values, one separator for a whole import."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xmcbench.data.label_names import CLOSING, MISSING, QUOTES, check_names, in_quotes, shown, type_hint
from xmcbench.errors import DataError, UsageError

SEPARATORS = {"tab": "\t", "bar": "|", "semicolon": ";", "comma": ",", "newline": "\n", "space": " ", "none": ""}
ESCAPES = {"\\t": "\t", "\\n": "\n"}  # as typed in a shell
WORDS = {"\t": "tabs", "|": "bars", ";": "semicolons", ",": "commas", "\n": "line ends", " ": "whitespace"}
# Separators that are found without an option, if only one of them occurs; the last ones are those of Chinese texts.
FOUND = {name: SEPARATORS.get(name, name) for name in ("bar", "semicolon", "comma", "newline", "；", "，", "、")}
LIST_HINT = "Labels of a row are written as a;b, or as a list: ['a', 'b']. --literal takes cells as they are."
ALIKE_HINT = "Make the files alike: one separator in all files of an import, or lists, as in ['a', 'b']."
# A list as Python, numpy, R or JSON print it: brackets, or a call such as c(…), around quoted texts and numbers.
CALL = re.compile(r"(?:c|set|frozenset|list|tuple|array|Index)\((.*)\)", re.S)
BRACKETS = re.compile(r"\[(.*)\]|\((.*)\)|\{(.*)\}", re.S)
ITEM = re.compile(
    r"""\s*(?:("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([+-]?\d+)|(None|nan|NaN|NA|null|<NA>))(?:\s*,|\s+|\s*\Z)""", re.S
)
ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d+);")
SURROGATE = re.compile("[\ud800-\udfff]")
DIGIT = re.compile(r"\d")
DIGIT_GROUPS = re.compile(r"\d+(\s+\d+)+")


@dataclass(frozen=True)
class CellRules:
    """How cells are read: `literal` takes them as they are; a cell equal to `missing` ("" for none) is empty.

    `found_missing` gets `missing` once a cell is equal to it, so that an import can say if none is.
    """

    missing: str = ""
    literal: bool = False
    found_missing: set[str] = field(default_factory=set, compare=False)


@dataclass
class LabelCells:
    """The label cells of n rows of `path`, each with its line: a list of names, or a text that may hold several."""

    path: Path
    lines: list[int]
    cells: list[list[str] | str]
    blank_tail: int = 0  # empty lines at the end of a file of lines
    unsplit: str = ""  # the first cell of JSON or parquet that is one label although it has words or separators
    column_labels: tuple[str, ...] = ()  # labels with a column of zeros and ones, also if no row has them
    empty_names: int = 0  # as between the separators of a;;b; counted by `split_cells`


def checked_text(value: str, where: str, rules: CellRules) -> str:
    """The text of a cell, "" if it is `rules.missing`; DataError for `nan` and the like, or half a surrogate pair."""
    text = value.strip()
    if _is_missing(text, rules):
        return ""
    if text in MISSING and not rules.literal:
        hint = f"--missing {text!r} reads such a cell as empty, --literal as the text {text!r}."
        raise DataError(f"{where}: the text is {text!r}, as programs write a missing value", hint)
    return whole_text(value, where)


def _is_missing(text: str, rules: CellRules) -> bool:
    if rules.missing and text == rules.missing:
        rules.found_missing.add(text)
        return True
    return False


def whole_text(value: str, where: str) -> str:
    """The text itself; DataError for half a surrogate pair, which no file can hold, or a NUL character."""
    if not value.isascii() and (bad := SURROGATE.search(value)):
        raise DataError(f"{where}: half of a surrogate pair, \\u{ord(bad[0]):04x}", "Write the whole character.")
    if "\0" in value:
        raise DataError(f"{where}: a NUL character in {value[:40]!r}", "Text has none: remove it.")
    return value


def parse_cell(value: object, where: str, rules: CellRules, *, split: bool = True) -> list[str] | str:
    """A label cell as a list of names, or as a text that still has to be split (only if `split`).

    None and NaN are no label. A text such as `['a', 'b']` is a list, unless `rules.literal`. DataError for any other
    type, for a list of anything but names and whole numbers, and for a text in brackets that is no list.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    if isinstance(value, str):
        text = whole_text(value.strip(), where)
        if not text or _is_missing(text, rules):
            return []
        found = None if rules.literal else _listed(text, where)
        if found is None and split:
            if not rules.literal and in_quotes(text):
                raise DataError(f"{where}: the labels {text[:60]!r} are in quotes", LIST_HINT)
            return text
        value = [text] if found is None else found
    names = value if isinstance(value, list) else [value]
    for name in names:
        if type(name) not in (str, int):
            raise DataError(f"{where}: labels must be names or whole numbers, not {shown(name)}", type_hint(name))
    return [whole_text(str(name), where) for name in names]


def _listed(text: str, where: str) -> list[str] | None:
    """The names of a text that is a list; None if it is no list; DataError if it has the brackets of one alone."""
    if text[-1] not in CLOSING:
        return None
    if text == "character(0)":
        return []
    inner = re.sub(r"np\.(?:str_|int64|int32)\(([^()]*)\)", r"\1", re.sub(r",\s*dtype=\S+\)$", ")", text))
    if call := CALL.fullmatch(inner):
        inner = call[1].strip() if BRACKETS.fullmatch(call[1].strip()) else f"[{call[1]}]"
    brackets = BRACKETS.fullmatch(inner)
    if brackets is None:
        return None
    content = next(group for group in brackets.groups() if group is not None).strip()
    is_list = not inner.startswith("(") or "," in content  # Python prints a tuple of one as ('a',)
    names, position = [], 0
    while position < len(content):
        item = ITEM.match(content, position)
        if item is None or not is_list:
            if inner.startswith("(") and not any(quote in content for quote in QUOTES):
                return None  # a name such as (unknown)
            hint = LIST_HINT if text[0] != "{" else f"PostgreSQL writes a list with array_to_json(labels). {LIST_HINT}"
            raise DataError(f"{where}: {text[:60]!r} looks like a list, but is none that can be read", hint)
        if item[3]:
            raise DataError(f"{where}: a missing value, {item[3]}, in the list {text[:60]!r}", LIST_HINT)
        names.append(item[2] or _unquoted(item[1], where))
        position = item.end()
    return names


def _unquoted(text: str, where: str) -> str:
    """The text of an item in quotes, with the escapes of JSON or of Python."""
    try:
        return str(json.loads(text) if text.startswith('"') else ast.literal_eval(text))
    except (ValueError, SyntaxError):
        pass
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError) as error:
        raise DataError(f"{where}: {text[:60]} is no text in quotes that can be read", LIST_HINT) from error


def decide_separator(files: Sequence[LabelCells], given: str = "") -> str:
    """The separator of all label cells that are texts: " " for whitespace, "" if each cell is one label.

    `given`: a key of `SEPARATORS` or the characters themselves. Without it, a tab that occurs anywhere separates, or
    else the only one of `FOUND` that occurs, or else whitespace between words with digits (ids).

    Raises
    ------
    UsageError : `given` is a word that is no key of `SEPARATORS` and in no cell; or cells can be split in several ways.
    """
    texts = [(file.path, number, cell) for file in files for number, cell in _texts(file)]
    if given:
        return _given_separator(files, given)
    if any("\t" in cell for _, _, cell in texts):
        _check_every_file(files, "\t")
        return "\t"
    first: dict[str, tuple[Path, int, str]] = {}  # the first cell with each separator
    grouped: list[tuple[Path, int, str]] = []  # cells that have numbers with whitespace between them
    for path, number, cell in texts:
        for name, separator in FOUND.items():
            if separator in cell:
                first.setdefault(name, (path, number, cell))
        if len(words := cell.split()) > 1:
            kind = "ids" if all(DIGIT.search(word) for word in words) else "words"
            first.setdefault(kind, (path, number, cell))
            grouped += [(path, number, cell)] if DIGIT_GROUPS.search(cell) else []
        if "&" in cell and ENTITY.search(cell):
            first.setdefault("entity", (path, number, cell))
    present = [name for name in FOUND if name in first]
    if present == ["semicolon"] and "entity" in first:  # the semicolon of &amp; separates nothing
        raise _ambiguous([first["entity"]], present)
    if len(present) > 1:
        _check_files_alike(files, present)
        raise _ambiguous([first[name] for name in present], present)
    if present:
        separator = FOUND[present[0]]
        for path, number, cell in grouped:
            if any(DIGIT_GROUPS.fullmatch(name.strip()) for name in cell.split(separator)):
                raise _ambiguous([first[present[0]], (path, number, cell)], [present[0], "space"])
        return separator
    if "words" in first:
        raise _ambiguous([first["words"]], ["space"])
    return " " if "ids" in first else ""


def _check_files_alike(files: Sequence[LabelCells], present: Sequence[str]) -> None:
    """UsageError if each file has only one of the separators, and not all files the same."""
    ways: dict[str, str] = {}  # name of a separator → the first file and cell with it
    for file in files:
        here = {name: (n, cell) for name in present for n, cell in _texts(file) if FOUND[name] in cell}
        if len(here) > 1:
            return
        for name, (number, cell) in here.items():
            words = WORDS.get(FOUND[name], repr(FOUND[name]))
            ways.setdefault(name, f"{words} in {file.path}, line {number}: {cell[:60]!r}")
    raise UsageError(f"labels are not divided alike in all files: {'; '.join(ways.values())}", ALIKE_HINT)


def _given_separator(files: Sequence[LabelCells], given: str) -> str:
    """The characters of --label-separator; UsageError as from `_check_every_file`, or if it is a word in no cell."""
    separator = SEPARATORS.get(given, ESCAPES.get(given, given))
    if separator == "":
        return separator
    texts = [(file.path, number, cell) for file in files for number, cell in _texts(file)]
    if any(len(_divided(cell, separator)) > 1 for _, _, cell in texts):
        _check_every_file(files, separator)
        return separator
    path, number, cell = next((text for text in texts if _usual(text[2], separator)), (Path(), 0, ""))
    problem = f"--label-separator {given!r} occurs in no label cell"
    if cell:
        hint = f"One of {', '.join(SEPARATORS)}, or the characters that separate labels; none: each cell is one label."
        raise UsageError(f"{problem}; {path}, line {number}: {cell[:60]!r}", hint)
    if texts and given not in SEPARATORS and given.isalnum():
        raise UsageError(problem, f"One of {', '.join(SEPARATORS)}, or the characters that separate labels.")
    return separator


def _check_every_file(files: Sequence[LabelCells], separator: str) -> None:
    """UsageError if a file has the separator in no cell, and another usual one in a cell that is no label elsewhere."""
    divided = [[_divided(cell, separator) for _, cell in _texts(file)] for file in files]
    with_it = [cells for cells in divided if any(len(parts) > 1 for parts in cells)]
    names = {name.strip() for cells in with_it for parts in cells for name in parts}
    word = WORDS.get(separator, repr(separator))
    for file, cells in zip(files, divided, strict=True):
        if cells in with_it:
            continue
        for number, cell in _texts(file):
            if cell.strip() not in names and _usual(cell, separator):
                problem = f"labels are divided at {word}, but no label cell of {file.path} is"
                raise UsageError(f"{problem}; {file.path}, line {number}: {cell[:60]!r}", ALIKE_HINT)


def _usual(cell: str, separator: str) -> bool:
    """Whether a cell has another of the separators that are found without an option."""
    return any(char in cell for char in ("\t", *FOUND.values()) if char != separator)


def _divided(cell: str, separator: str) -> list[str]:
    """The parts of a cell; " " is any whitespace, "" divides nothing."""
    return [cell] if separator == "" else cell.split(None if separator == " " else separator)


def _texts(file: LabelCells) -> Iterator[tuple[int, str]]:
    return ((number, cell) for number, cell in zip(file.lines, file.cells, strict=True) if isinstance(cell, str))


def _ambiguous(cells: Sequence[tuple[Path, int, str]], names: Sequence[str]) -> UsageError:
    places = dict.fromkeys(f"{path}, line {number}: {cell[:60]!r}" for path, number, cell in cells)
    characters = [SEPARATORS.get(name, name) for name in names]
    ways = " or ".join(WORDS.get(separator, repr(separator)) for separator in characters)
    options = ", ".join([*names, "none"])
    hint = f"Give --label-separator, one of {options}; none: each line or cell is one label."
    return UsageError(f"labels may be split at {ways}, or not at all: {'; '.join(places)}", hint)


def split_cells(file: LabelCells, separator: str, rules: CellRules) -> list[list[str]]:
    """The label names of each row, without names that are empty; `separator` as from `decide_separator`.

    DataError if some cells are lists and others texts, or for a name that nobody typed (see `label_names`).
    """
    listed = next((n for n, cell in zip(file.lines, file.cells, strict=True) if cell and isinstance(cell, list)), None)
    rows = []
    for number, cell in zip(file.lines, file.cells, strict=True):
        if isinstance(cell, str) and listed is not None:
            problem = f"{file.path}, line {number}: {cell[:60]!r} is no list, but the labels of line {listed} are one"
            raise DataError(problem, LIST_HINT)
        names = _divided(cell, separator) if isinstance(cell, str) else cell
        stripped = [name.strip() for name in names]
        rows.append([name for name in stripped if name])
        file.empty_names += len(stripped) - len(rows[-1])
    if not rules.literal:
        check_names(file.path, file.lines, rows, typed=listed is None)
    return rows
