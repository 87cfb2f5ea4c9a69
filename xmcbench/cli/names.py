"""What a name means: a method, a data set, a metric, or more than one of them."""

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
    """Everything that goes by one name."""

    method: type[Method] | None = None
    dataset: Entry | None = None
    metric: tuple[Definition, ...] = ()


def look_up(name: str) -> Meanings:
    """All meanings of a name; methods are imported, nothing else is.

    Raises
    ------
    UsageError : no method, data set or metric has that name; the nearest one of all kinds is offered.
    XmcError : the method can't be imported.
    """
    from xmcbench.data.inventory import described
    from xmcbench.errors import unknown
    from xmcbench.runs import registry

    datasets = _datasets()
    is_method = name in registry.sources() or re.search(r"\.py:\w+$", name) is not None
    found = Meanings(
        method=registry.get(name) if is_method else None,
        dataset=described(name) if name.casefold().startswith("synthetic[") else datasets.get(name.casefold()),
        metric=_metric(name),
    )
    if found == Meanings():
        from xmcbench.metrics.names import METRICS

        raise unknown("method, data set or metric", name, {*registry.sources(), *datasets, *METRICS})
    return found


def _datasets() -> dict[str, Entry]:
    from xmcbench.data.catalogue import catalogue

    return {name.casefold(): entry for entry in catalogue().values() for name in (entry.name, *entry.aliases)}


def _metric(text: str) -> tuple[Definition, ...]:
    """The definition a full name such as "PSP(norm=none)@5" asks for, or every variant of a bare one such as "PSP"."""
    from xmcbench.errors import UsageError
    from xmcbench.metrics import describe, parse

    variants = tuple(d for d in describe() if d.metric.casefold() == text.casefold())
    if variants:
        return variants
    try:
        return (parse(text).definition,)
    except UsageError:
        return ()
