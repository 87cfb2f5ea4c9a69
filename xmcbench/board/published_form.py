"""Checks files of published values; the docstring of `xmcbench.board.published` has their format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xmcbench.data.catalogue import catalogue
from xmcbench.errors import UsageError
from xmcbench.metrics import invariants
from xmcbench.metrics.names import parse

OTHER = "other"  # `data` of values on test rows of no data set in the catalogue
_TOP = {"sources": dict, "versions": dict, "values": list}
_KEYS = {"method": str, "version": str, "source": str, "percent": dict}
_OPTIONAL = {"costs": dict, "ours": list, "views": list, "wrong": str}
_COSTS = {"train_hours": float, "train_seconds": float, "model_gb": float, "device": str}


def faults(name: str, tables: Mapping[str, Any]) -> list[str]:
    """All faults of the file of data set `name`, one message each; empty if there are none."""
    problems = _file_faults(name, tables)
    seen: set[tuple[str, ...]] = set()
    for i, table in enumerate([] if problems else tables["values"], 1):
        messages = _entry_faults(table, tables["sources"], tables["versions"])
        if not messages:
            keys = {(table["method"], table["version"], table["source"], metric) for metric in table["percent"]}
            messages = [f"{metric} occurs twice" for *_, metric in sorted(keys & seen)]
            seen |= keys
        problems += [f"entry {i} ({table.get('method', 'no method')}): {text}" for text in messages]
    return problems


def _file_faults(name: str, tables: Mapping[str, Any]) -> list[str]:
    """The faults of a file except those of its entries."""
    messages = [] if name in catalogue() else [f"no data set of the catalogue is called {name!r}"]
    messages += [f"unknown key {key!r}" for key in tables if key not in _TOP]
    messages += [
        f"{key} is not a {kind.__name__}" for key, kind in _TOP.items() if not isinstance(tables.get(key), kind)
    ]
    if messages:
        return messages
    messages += [f"source {key!r} is not a text" for key, text in tables["sources"].items() if not _is(text, str)]
    for key, version in tables["versions"].items():
        complete = isinstance(version, dict) and set(version) == {"data", "text"} and _is(version["text"], str)
        if not complete or version["data"] not in (*catalogue(), OTHER):
            messages.append(f"version {key!r} needs data, a name of the catalogue or {OTHER!r}, and text")
    return messages + [
        f"entry {i} is not a table" for i, v in enumerate(tables["values"], 1) if not isinstance(v, dict)
    ]


def _entry_faults(table: Mapping[str, Any], sources: Mapping[str, Any], versions: Mapping[str, Any]) -> list[str]:
    """The faults of one entry of a file."""
    kinds = {**_KEYS, **_OPTIONAL}
    messages = [f"missing key {key!r}" for key in _KEYS if key not in table]
    messages += [f"unknown key {key!r}" for key in table if key not in kinds]
    messages += [
        f"{key} is not a {kinds[key].__name__}" for key in table if key in kinds and not _is(table[key], kinds[key])
    ]
    if messages:
        return messages
    references = (("source", sources), ("version", versions))
    messages += [f"{key} {table[key]!r} is not under [{key}s]" for key, named in references if table[key] not in named]
    if messages:
        return messages
    costs = table.get("costs", {})
    messages += [f"unknown cost {key!r}" for key in costs if key not in _COSTS]
    messages += [f"cost {key} = {v!r}" for key, v in costs.items() if key in _COSTS and not _is(v, _COSTS[key])]
    data = versions[table["version"]]["data"]
    views = catalogue()[data].views if data in catalogue() else ()
    messages += [
        f"{data} has no view {view!r}" for view in table.get("views", []) if view not in views and data != OTHER
    ]
    return messages + _value_faults(table["percent"], bool(table.get("wrong")))


def _value_faults(percent: Mapping[str, Any], wrong: bool) -> list[str]:
    """The faults of the values of an entry."""
    messages = ["no values"] if not percent else []
    for name, value in percent.items():
        try:
            messages += [f"{name} must be written {parse(name)}"] if str(parse(name)) != name else []
        except UsageError as error:
            messages.append(error.message)
        if not _is(value, float) or not 0 <= value <= 100:
            messages.append(f"{name} = {value!r} is not a percentage")
    if messages or wrong:
        return messages
    broken = invariants.broken({name: value / 100 for name, value in percent.items()})
    return [f"{text}: mark it wrong" for text in broken]


def _is(value: Any, kind: type) -> bool:
    """Whether a TOML value has the type `kind`; integers count as float, booleans do not."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is list:
        return isinstance(value, list) and all(isinstance(v, str) and v for v in value)
    return isinstance(value, kind) and (kind is not str or bool(value))
