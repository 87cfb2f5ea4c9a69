"""Values of plugins as plain JSON: numbers, texts, lists and dicts of a size that a record can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from xmcbench.errors import XmcError
from xmcbench.escaping import kind_of, plain_text

DEEPEST = 50  # nesting of a note
ROOM = 5_000_000  # values and characters of a note
DIGITS = 300  # of a whole number
VALID = "Give numbers, texts, lists and dicts of them."
KEY = 200  # characters of a key that a message shows


def plain(value: Any, what: str) -> Any:
    """Convert numpy numbers and arrays in `value` to Python's, and NaN or infinity to None.

    Raises XmcError: `value` holds an object that JSON can't represent, or is too deep or too large for a record; the
    message begins with `what`.
    """
    room = ROOM

    def take(size: int) -> None:
        nonlocal room
        room -= size
        if room < 0:
            raise XmcError(f"{what} has more than {ROOM:,} values and characters", "Save it in a file of the model.")

    def convert(value: Any, depth: int) -> Any:
        take(1)
        if depth > DEEPEST:
            raise XmcError(f"{what} is nested more than {DEEPEST} deep", VALID)
        if isinstance(value, np.generic | np.ndarray):
            take(value.size)
            value = value.tolist()
        if isinstance(value, str):
            take(len(value))
            return plain_text(value, ROOM)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if abs(value) >= 10**DIGITS:
                raise XmcError(f"{what} holds a whole number of more than {DIGITS} digits", VALID)
            return int.__int__(value)  # exactly an int, not a subclass
        if isinstance(value, float):
            return float.__float__(value) if math.isfinite(value) else None
        if isinstance(value, Mapping):
            return mapping(value, depth)
        if isinstance(value, list | tuple):
            return [convert(item, depth + 1) for item in value]
        raise XmcError(f"{what} holds a {kind_of(value)}", VALID)

    def mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for key, item in value.items():
            name = plain_text(key, ROOM)
            take(len(name))
            if name in converted:
                raise XmcError(f"{what} has two keys that JSON writes as {plain_text(name, KEY)!r}", "Rename one.")
            converted[name] = convert(item, depth + 1)
        return converted

    return convert(value, 0)
