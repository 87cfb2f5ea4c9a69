"""Plain text of table cells, the same for Markdown, CSV and LaTeX; each format escapes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from xmcbench.board.model import Costs, Row, Table, Value
from xmcbench.errors import counted

NONE = "–"
NAMED = 4  # rows named as tied with the best one
Machine = tuple[str, int | None]  # class of machines by its description, and the threads that were given


def percent(value: float | None) -> str:
    """A fraction as percent with two decimals, as usual in the field."""
    return NONE if value is None else f"{100 * value:.2f}"


def measured(value: Value) -> str:
    """Value, and "± sd" if there are several seeds."""
    return percent(value.value) + ("" if value.sd is None else f" ± {100 * value.sd:.2f}")


def rank(row: Row, metric: str) -> str:
    """The rank of a row, "2" or "1–3", or a dash if it is not ranked."""
    place = row.ranks.get(metric)
    if place is None:
        return NONE
    return str(place.best) if place.tied == 0 else f"{place.best}–{place.worst}"


def ties(row: Row, metric: str) -> str:
    """How many rows no test separates from a row, "tied with 2"; "" if there are none, or it is not ranked."""
    place = row.ranks.get(metric)
    return f"tied with {place.tied}" if place is not None and place.tied else ""


def ranked(table: Table, metric: str) -> list[int]:
    """Positions of the rows that a metric ranks, by its value, best first."""
    places = [i for i, row in enumerate(table.rows) if row.ranks.get(metric) is not None]
    return sorted(places, key=lambda i: -(table.rows[i].values[metric].value or 0.0))


def leader(table: Table, metric: str) -> str:
    """The row of the best value, and those that no test separates from it: "elias", "elias, tied with ovr and ance"."""
    places = ranked(table, metric)
    if not places:
        return NONE
    first, *others = places
    found = {i: table.difference(metric, first, i) for i in others}
    tied = [table.rows[i].label for i, each in found.items() if each is not None and not each.significant]
    if len(tied) > NAMED:
        tied = [*tied[: NAMED - 1], f"{len(tied) - NAMED + 1} others"]
    label = table.rows[first].label
    return label if not tied else f"{label}, tied with {listed(tied)}"


def listed(texts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *some, last = texts
    return f"{', '.join(some)} and {last}" if some else last


def interval(value: Value) -> str:
    """The 95 % interval, "61.20–63.40", or a dash."""
    if value.low is None or value.high is None:
        return NONE
    return f"{100 * value.low:.2f}–{100 * value.high:.2f}"


def cost(costs: Costs | None) -> list[str]:
    """Fit seconds, milliseconds per row, milliseconds per query, MiB of memory and of the model; "*" after times of a
    busy machine."""
    if costs is None:
        return [NONE] * 5
    star = "*" if costs.busy else ""

    def number(value: float | None, digits: int, mark: str = star) -> str:
        return NONE if value is None else f"{value:,.{digits}f}{mark}"

    mib = [None if size is None else size / 2**20 for size in (costs.peak_rss_bytes, costs.model_bytes)]
    times = [number(costs.fit_seconds, 1), number(costs.predict_ms_per_row, 3), number(costs.query_p50_ms, 2)]
    return [*times, number(mib[0], 0, ""), number(mib[1], 1, "")]


COSTS = ("fit s", "ms/row", "query p50 ms", "peak MiB", "model MiB")


def machines(rows: Iterable[Row]) -> list[Machine]:
    """The machine classes of the rows, most frequent first; costs are compared only within one of them."""
    classes = Counter((costs.machine, costs.threads) for row in rows for costs in row.costs)
    return sorted(classes, key=lambda key: (-classes[key], key[0], key[1] or 0))


def machine_name(machine: Machine) -> str:
    """A machine class as text; the number of threads is part of it, since costs depend on it."""
    name, threads = machine
    return name if threads is None else f"{name}, {counted(threads, 'thread')}"


def on_machine(row: Row, machine: Machine | None) -> Costs | None:
    """The row's costs on one machine class."""
    return next((costs for costs in row.costs if (costs.machine, costs.threads) == machine), None)
