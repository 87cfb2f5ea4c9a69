"""Rows of one fit, which differ in query parameters alone: a line through them shows what more search buys."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence

from xmcbench.board.model import Row
from xmcbench.errors import XmcError
from xmcbench.records.record import Record


def query_parameters(method: str) -> Collection[str]:
    """The names of a method's query parameters; none if it is not installed."""
    from xmcbench.runs import registry

    try:
        return tuple(registry.get(method).info.query_parameters())
    except XmcError:
        return ()


def key_of(record: Record) -> str:
    """A text that is equal for records that differ in query parameters and seed alone."""
    method, query = record.method, query_parameters(record.method.name)
    fitted = {name: value for name, value in method.parameters.items() if name not in query}
    who = [method.name, method.version, method.origin, method.family, record.code.method.sha256]
    return json.dumps([*who, record.environment.device, record.k, fitted], sort_keys=True)


def by_fit(rows: Iterable[Row]) -> list[list[Row]]:
    """The rows of each fit, in their order."""
    fits: dict[str, list[Row]] = {}
    for row in rows:
        fits.setdefault(row.fit, []).append(row)
    return list(fits.values())


def varying(rows: Sequence[Row]) -> list[str]:
    """The query parameters in which rows of one fit differ."""
    names = query_parameters(rows[0].name)
    return [name for name in names if len({json.dumps(row.parameters.get(name)) for row in rows}) > 1]


def setting(row: Row, parameters: Iterable[str]) -> str:
    """The values of parameters: "10, 0.5"."""
    return ", ".join(str(row.parameters.get(name)) for name in parameters)


def label_of(row: Row) -> str:
    """The label of a row without its query parameters: "elias[effort=0.5]" for "elias[effort=0.5,beam=10]"."""
    query = query_parameters(row.name)
    name, _, inside = row.label.partition("[")
    parts = _parts(inside.removesuffix("]"))
    rest = [part for part in parts if part and part.partition("=")[0].strip() not in query]
    return f"{name}[{','.join(rest)}]" if rest else name


def _parts(text: str) -> list[str]:
    """The parts between commas; those within brackets or quotes separate nothing, as in "layers=[1,2],note='a, b'"."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if char == "," and not depth and not quote:
            parts.append("")
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and not parts[-1][-1:].isalnum():  # within a word it is an apostrophe
            quote = char
        else:
            depth = max(0, depth + (char in "[({") - (char in "])}"))
        parts[-1] += char
    return parts
