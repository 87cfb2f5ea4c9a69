"""Docstrings of xmcbench say `name : meaning`, where numpydoc expects `name : type` and the meaning in lines below."""

from __future__ import annotations

import re

SECTIONS = ("Parameters", "Attributes", "Raises", "Returns", "Yields")
ENTRY = re.compile(r"([\w, *]+) : (.+)")


def indent_meanings(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Put the meaning of each entry of a section below its name; `lines` is changed in place, as autodoc wants it."""
    changed: list[str] = []
    inside = False
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"}:
            inside = line in SECTIONS
        entry = ENTRY.fullmatch(line) if inside else None
        changed += [entry[1], f"    {entry[2]}"] if entry else [line]
    lines[:] = changed
