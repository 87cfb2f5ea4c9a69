"""Resolve a name to a method, a data set, a metric, or several of these."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmcbench.data.catalogue import Entry
    from xmcbench.method import Method
    from xmcbench.metrics import Definition


@dataclass(frozen=True)
class Meanings:
    """Everything with the same name."""

    method: type[Method] | None = None
    dataset: Entry | None = None
    metric: tuple[Definition, ...] = ()


def look_up(name: str) -> Meanings:
    """All meanings of a name. Only methods are imported.

    Raises
    ------
    UsageError : no method, data set or metric has that name; the hint offers similar names of all kinds.
    XmcError : the method can't be imported.
    """
    from xmcbench.data.inventory import described
    from xmcbench.errors import unknown
    from xmcbench.runs import registry

    datasets = _datasets()
    is_method = name in registry.sources() or re.search(r"\.py:\w+$", name) is not None
    meanings = Meanings(
        method=registry.get(name) if is_method else None,
        dataset=described(name) if name.casefold().startswith("synthetic[") else datasets.get(name.casefold()),
        metric=_metric(name),
    )
    if meanings == Meanings():
        from xmcbench.metrics.names import METRICS

        raise unknown("method, data set or metric", name, {*registry.sources(), *datasets, *METRICS})
    return meanings


def _datasets() -> dict[str, Entry]:
    from xmcbench.data.catalogue import catalogue

    return {name.casefold(): entry for entry in catalogue().values() for name in (entry.name, *entry.aliases)}


def _metric(text: str) -> tuple[Definition, ...]:
    """The definition of a full name such as "PSP(norm=none)@5", or all variants of a bare name such as "PSP"."""
    from xmcbench.errors import UsageError
    from xmcbench.metrics import describe, parse

    variants = tuple(d for d in describe() if d.metric.casefold() == text.casefold())
    if variants:
        return variants
    try:
        return (parse(text).definition,)
    except UsageError:
        return ()
