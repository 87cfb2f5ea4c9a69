"""Plain text of table cells, the same for Markdown, CSV and LaTeX; each format escapes it."""

from __future__ import annotations

from xmcbench.board.model import Costs, Row, Table, Value

NONE = "–"


def percent(value: float | None) -> str:
    """A fraction as percent with two decimals, as usual in the field."""
    return NONE if value is None else f"{100 * value:.2f}"


def measured(value: Value, *, interval: bool) -> str:
    """Value, "± sd" if there are several seeds, and on request the 95 % interval."""
    text = percent(value.value)
    if value.sd is not None:
        text += f" ± {100 * value.sd:.2f}"
    if interval and value.low is not None and value.high is not None:
        text += f" [{100 * value.low:.2f}, {100 * value.high:.2f}]"
    return text


def rank(row: Row, metric: str) -> str:
    """The rank of a row, or a dash if it is not ranked."""
    place = row.ranks.get(metric)
    return NONE if place is None else str(place)


def beats(row: Row, metric: str) -> str:
    """Number of rows that this row is significantly better than, including rows of the same rank."""
    return NONE if row.ranks.get(metric) is None else str(row.separated.get(metric, 0))


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


def machines(table: Table) -> list[tuple[str, int | None]]:
    """(machine, threads) of the rows, most frequent first; costs are compared only within one of them."""
    classes = [(costs.machine, costs.threads) for row in table.rows for costs in row.costs]
    return sorted(set(classes), key=lambda key: (-classes.count(key), key[0], key[1] or 0))


def on_machine(row: Row, machine: tuple[str, int | None] | None) -> Costs | None:
    """The row's costs on one machine class."""
    return next((costs for costs in row.costs if (costs.machine, costs.threads) == machine), None)
