"""What is wrong with a file of published values; its form stands at the head of `xmcbench.board.published`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xmcbench.data.catalogue import catalogue
from xmcbench.errors import UsageError
from xmcbench.metrics import invariants
from xmcbench.metrics.names import parse

OTHER = "other"  # `data` of values on rows that no entry of the catalogue has
_TOP = {"sources": dict, "versions": dict, "values": list}
_KEYS = {"method": str, "version": str, "source": str, "percent": dict}
_MORE = {"costs": dict, "ours": list, "views": list, "wrong": str}
_COSTS = {"train_hours": float, "train_seconds": float, "model_gb": float, "device": str}


def faults(name: str, tables: Mapping[str, Any]) -> list[str]:
    """Sentences, all faults of the file of data set `name`; empty where there are none."""
    problems = _outline(name, tables)
    seen: set[tuple[str, ...]] = set()
    for i, table in enumerate([] if problems else tables["values"], 1):
        said = _entry(table, tables["sources"], tables["versions"])
        if not said:
            own = {(table["method"], table["version"], table["source"], metric) for metric in table["percent"]}
            said = [f"{metric} stands twice" for *_, metric in sorted(own & seen)]
            seen |= own
        problems += [f"entry {i} ({table.get('method', 'no method')}): {text}" for text in said]
    return problems


def _outline(name: str, tables: Mapping[str, Any]) -> list[str]:
    """What is wrong with a file apart from its entries."""
    said = [] if name in catalogue() else [f"no data set of the catalogue is called {name!r}"]
    said += [f"unknown key {key!r}" for key in tables if key not in _TOP]
    said += [f"{key} is no {kind.__name__}" for key, kind in _TOP.items() if not isinstance(tables.get(key), kind)]
    if said:
        return said
    said += [f"source {key!r} is no text" for key, text in tables["sources"].items() if not _is(text, str)]
    for key, version in tables["versions"].items():
        whole = isinstance(version, dict) and set(version) == {"data", "text"} and _is(version["text"], str)
        if not whole or version["data"] not in (*catalogue(), OTHER):
            said.append(f"version {key!r} needs data, a name of the catalogue or {OTHER!r}, and text")
    return said + [f"entry {i} is no table" for i, v in enumerate(tables["values"], 1) if not isinstance(v, dict)]


def _entry(table: Mapping[str, Any], sources: Mapping[str, Any], versions: Mapping[str, Any]) -> list[str]:
    """What is wrong with one entry of a file."""
    kinds = {**_KEYS, **_MORE}
    said = [f"missing key {key!r}" for key in _KEYS if key not in table]
    said += [f"unknown key {key!r}" for key in table if key not in kinds]
    said += [f"{key} is no {kinds[key].__name__}" for key in table if key in kinds and not _is(table[key], kinds[key])]
    if said:
        return said
    named = (("source", sources), ("version", versions))
    said += [f"{key} {table[key]!r} is not under [{key}s]" for key, known in named if table[key] not in known]
    if said:
        return said
    costs = table.get("costs", {})
    said += [f"unknown cost {key!r}" for key in costs if key not in _COSTS]
    said += [f"cost {key} = {v!r}" for key, v in costs.items() if key in _COSTS and not _is(v, _COSTS[key])]
    data = versions[table["version"]]["data"]
    known = catalogue()[data].views if data in catalogue() else ()
    said += [f"{data} has no view {view!r}" for view in table.get("views", []) if view not in known and data != OTHER]
    return said + _broken(table["percent"], bool(table.get("wrong")))


def _broken(percent: Mapping[str, Any], wrong: bool) -> list[str]:
    """What is wrong with the values themselves."""
    said = ["no values"] if not percent else []
    for name, value in percent.items():
        try:
            said += [f"{name} is written {parse(name)}"] if str(parse(name)) != name else []
        except UsageError as error:
            said.append(error.message)
        if not _is(value, float) or not 0 <= value <= 100:
            said.append(f"{name} = {value!r} is no percentage")
    if said or wrong:
        return said
    broken = invariants.broken({name: value / 100 for name, value in percent.items()})
    return [f"{text}: mark it wrong" for text in broken]


def _is(value: Any, kind: type) -> bool:
    """Whether a value of TOML is of that kind; whole numbers are numbers, and booleans are not."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is list:
        return isinstance(value, list) and all(isinstance(v, str) and v for v in value)
    return isinstance(value, kind) and (kind is not str or bool(value))
