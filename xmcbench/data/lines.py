"""One line of XC text in plain Python: slow, exact, and the one place that says what is wrong with a line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmcbench.errors import DataError

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Shape:
    """What a line is held against: the file, the widths its header names, and the number ids count from."""

    path: Path
    n_features: int
    n_labels: int
    with_labels: bool
    base_features: int = 0
    base_labels: int = 0


def look(shape: Shape, number: int, line: bytes) -> tuple[list[int], list[int], list[float]]:
    """(label ids sorted and unique, feature ids sorted, values) of line `number`, counted from 1.

    Raises
    ------
    DataError : with file, line and what is wrong.
    """
    where = f"{shape.path}, line {number}"
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: byte 0x{line[error.start]:02x} at column {error.start + 1} is not ASCII",
            "These files hold digits, ':', ',', '.' and blanks only. Is it the raw text, or compressed (name it .gz)?",
        ) from error
    labels: list[int] = []
    tokens = text.replace("\t", " ").split(" ")
    if shape.with_labels and tokens[0] and ":" not in tokens[0]:
        for token in tokens.pop(0).split(","):
            labels.append(_id(token, "label", shape.n_labels, shape.base_labels, where))
    pairs: dict[int, float] = {}
    for token in filter(None, tokens):
        name, colon, value = token.partition(":")
        if not colon:
            raise DataError(
                f"{where}: {_shown(token)} is no id:value pair", "The line is cut off or has a stray blank or comma."
            )
        feature = _id(name, "column", shape.n_features, shape.base_features, where)
        if feature in pairs:
            raise DataError(
                f"{where}: id {feature + shape.base_features} stands twice", "Add the two values up, or keep one."
            )
        pairs[feature] = _value(value, token, where)
    ordered = sorted(pairs)
    return sorted(set(labels)), ordered, [pairs[i] for i in ordered]


def _id(token: str, kind: str, width: int, base: int, where: str) -> int:
    if re.fullmatch(r"-\d+", token):
        raise DataError(
            f"{where}: {kind} id {_shown(token)} is negative", f"Ids run from {base} to {width - 1 + base}."
        )
    if not re.fullmatch(r"\d+", token):
        raise DataError(f"{where}: {_shown(token)} is no {kind} id", "The line is cut off or has a stray character.")
    found = int(token[:30])
    if found < base:
        raise DataError(f"{where}: {kind} id 0 in a file said to count from 1", "Leave out the option that says so.")
    if found >= width + base:
        raise OutOfRange(
            f"{where}: {kind} id {_shown(token)} is outside: the header's width is {width}, "
            f"so ids run from {base} to {width - 1 + base}",
            "Correct the header, or see whether the file counts ids from 1.",
            kind,
        )
    return found - base


class OutOfRange(DataError):
    """An id at or past the width that the header names; the reader then looks whether ids count from 1."""

    def __init__(self, message: str, hint: str, kind: str) -> None:
        super().__init__(message, hint)
        self.kind = kind


def _value(text: str, token: str, where: str) -> float:
    if not NUMBER.fullmatch(text):
        if text.lstrip("+-").lower() in ("nan", "inf", "infinity"):
            raise DataError(f"{where}: {_shown(token)}: the value must be finite", "Remove the pair or give a number.")
        raise DataError(f"{where}: {_shown(token)}: no number after ':'", "The line is cut off, or not id:value pairs.")
    value = float(text)
    with np.errstate(over="ignore"):
        fits = bool(np.isfinite(np.float32(value)))
    if not fits:
        raise DataError(f"{where}: {_shown(token)}: too large for float32 (largest {LARGEST:.6g})")
    return value


def _shown(token: str) -> str:
    return repr(token if len(token) <= 40 else token[:40] + "…")
