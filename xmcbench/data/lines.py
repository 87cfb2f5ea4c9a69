"""Exact but slow parser for one line of XC text in plain Python; the only place that reports errors in lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmcbench.errors import DataError

if TYPE_CHECKING:
    from xmcbench.data.xmc_text import Text

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
STRAY = "The line is cut off, has a stray character, or doesn't hold id:value pairs."
LARGEST, LARGEST64 = float(np.finfo(np.float32).max), float(np.finfo(np.float64).max)


def look(path: Path, text: Text, number: int, line: bytes) -> tuple[list[int], list[int], list[float]]:
    """(label ids sorted and unique, feature ids sorted, values) of line `number`; DataError names the file and line."""
    where = f"{path}, line {number}"
    try:
        characters = line.decode("ascii")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: byte 0x{line[error.start]:02x} at column {error.start + 1} is not ASCII",
            "These files hold only digits, ':', ',', '.' and spaces. Is it the raw text?",
        ) from error
    if "#" in characters:  # comments of files without a header were removed before
        comment = characters[characters.index("#") :].strip()
        raise DataError(f"{where}: {_quoted(comment)}: comments are read only in text without a header", "Remove it.")
    tokens = characters.replace("\t", " ").split(" ")
    has_labels = text.with_labels and tokens[0] and ":" not in tokens[0]
    names = tokens.pop(0).split(",") if has_labels else []
    if "" in names:
        problem = f"{where}: no label id before or after a comma, in {_quoted(','.join(names))}"
        raise DataError(problem, "Labels are written with commas and no spaces between them: 0,2.")
    labels = {_parse_id(token, "label", text, where) for token in names}
    pairs: dict[int, float] = {}
    for token in filter(None, tokens):
        name, colon, value = token.partition(":")
        if not colon:
            if text.exact and token.isdecimal():
                raise DataError(f"{where}: id {_quoted(token)} without a score", "Each id needs its score: id:score.")
            raise DataError(f"{where}: {_quoted(token)} is not an id:value pair", STRAY)
        feature = _parse_id(name, "column", text, where)
        if feature in pairs:
            id_in_file = feature + text.feature_base
            raise DataError(f"{where}: id {id_in_file} occurs twice", "Add the two values, or keep one.")
        pairs[feature] = _parse_value(value, token, text.exact, where)
    ordered = sorted(pairs)
    return sorted(labels), ordered, [pairs[i] for i in ordered]


def _parse_id(token: str, kind: str, text: Text, where: str) -> int:
    width, base = (text.n_labels, text.label_base) if kind == "label" else (text.n_features, text.feature_base)
    run = f"from {base} to {width - 1 + base}" if text.header or text.exact else f"from {base}"
    if re.fullmatch(r"-\d+", token):
        raise DataError(f"{where}: {kind} id {_quoted(token)} is negative", f"Ids run {run}.")
    if not re.fullmatch(r"\d+", token):
        hint = "Ids are whole numbers." if NUMBER.fullmatch(token) else STRAY
        raise DataError(f"{where}: {_quoted(token)} is not a {kind} id", hint)
    value = int(token[:30])
    if value < base:
        raise DataError(f"{where}: {kind} id 0 in a file with one-based ids", "Leave out --one-based for this file.")
    if value >= width + base:
        stated, correct = (
            ("the header's width", "Correct the header, or check") if text.header else ("the width", "Check")
        )
        raise OutOfRange(
            f"{where}: {kind} id {_quoted(token)} is outside: {stated} is {width}, so ids run {run}",
            f"{correct} whether the file counts ids from 1.",
            kind,
        )
    return value - base


class OutOfRange(DataError):
    """An id beyond the width in the header; the reader then checks whether the file's ids start at 1."""

    def __init__(self, message: str, hint: str, kind: str) -> None:
        super().__init__(message, hint)
        self.kind = kind


def _parse_value(text: str, token: str, exact: bool, where: str) -> float:
    if not NUMBER.fullmatch(text):
        if text.lstrip("+-").lower() in ("nan", "inf", "infinity"):
            raise DataError(f"{where}: {_quoted(token)}: the value must be finite", "Remove the pair or give a number.")
        raise DataError(f"{where}: {_quoted(token)}: no number after ':'", STRAY)
    value = float(text)
    with np.errstate(over="ignore"):
        fits = bool(np.isfinite(value if exact else np.float32(value)))
    if not fits:
        largest = f"float64 (largest {LARGEST64:.6g})" if exact else f"float32 (largest {LARGEST:.6g})"
        raise DataError(f"{where}: {_quoted(token)}: too large for {largest}")
    return value


def _quoted(token: str) -> str:
    return repr(token if len(token) <= 40 else token[:40] + "…")
