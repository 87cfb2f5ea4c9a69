"""The start view: what the tables together say of each method, and the sentences that answer first questions.

A mean rank is an interval: the mean of a method's best places to the mean of its worst ones. No test compares means of
ranks, so that two methods count as tied here if their intervals overlap. Costs of two methods are compared only on the
same data set and machine class.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from xmcbench.board import cells
from xmcbench.board.model import BY, Board, Costs, Difference, Place, Row, Table

RARE = "PSP@5"  # the metric of rare labels
REFERENCE = "tree"  # the method that the best one is compared with: the cheap and usual choice
CLOSE = 0.01  # one point: as good for many uses
SMALL = 1000  # labels; a data set with fewer is small
NAMED = 3  # methods that a sentence names at most


class Standing(NamedTuple):
    """The mean rank of a method by one metric.

    `alone`: number of tables with this method alone in first place; `first`: where no test separates it from the first.
    """

    label: str
    best: float
    worst: float
    tables: int
    alone: int
    first: int


class Summary(NamedTuple):
    """One table in words: its best method, how that compares with another one, its costs, the best for rare labels."""

    table: Table
    best: str
    compared: str
    costs: str
    rare: str


class Ratio(NamedTuple):
    """A time of one method divided by that of another; `busy`: other programs used the machine during one of them."""

    value: float
    busy: bool


def in_order(board: Board) -> list[Table]:
    """Tables with rows, largest label space first, then those with only published values."""
    return sorted(board.tables, key=lambda t: (not t.rows, -(t.facts.n_labels or 0), t.dataset, t.view))


def is_small(table: Table) -> bool:
    """Whether the label space is small for the field."""
    return table.facts.n_labels is not None and table.facts.n_labels < SMALL


def is_usual(row: Row) -> bool:
    """Whether a row has default parameters or those of a preset."""
    return row.label == row.name or (row.label.startswith(f"{row.name}[preset=") and "," not in row.label)


def counting(board: Board, metric: str) -> list[Table]:
    """The tables that mean ranks are over: those that the metric ranks, without synthetic data if there is other."""
    ranked = [table for table in in_order(board) if cells.ranked(table, metric)]
    return [table for table in ranked if not table.dataset.startswith("synthetic")] or ranked


def standings(tables: Sequence[Table], metric: str) -> list[Standing]:
    """The mean rank of each method that has a rank, the best first."""
    places: dict[str, list[Place]] = {}
    for table in tables:
        for row in table.rows:
            if place := row.ranks.get(metric):
                places.setdefault(row.label, []).append(place)
    found = [
        Standing(
            label,
            statistics.fmean(place.best for place in of_label),
            statistics.fmean(place.worst for place in of_label),
            len(of_label),
            sum(place.worst == 1 for place in of_label),
            sum(place.best == 1 for place in of_label),
        )
        for label, of_label in places.items()
    ]
    return sorted(found, key=lambda each: (each.best + each.worst, each.label))


def sentences(board: Board) -> list[tuple[str, str]]:
    """Question and answer, each for all data sets together; none if nothing is ranked."""
    tables, rare = counting(board, BY), counting(board, RARE)
    answers = [
        ("Best overall", _best(tables, BY)),
        ("Best for rare labels", _best(rare, RARE)),
        ("Cheapest within one point of the best", _cheapest(tables)),
    ]
    return [(question, answer) for question, answer in answers if answer]


def summaries(board: Board) -> list[Summary]:
    """A summary of each table with ranks."""
    return [_summary(table) for table in in_order(board) if cells.ranked(table, table.by)]


def fits(tables: Sequence[Table], label: str, machine: cells.Machine) -> list[Costs]:
    """The method's costs on a machine class, one for each table where its seconds of a fit are known."""
    costs = [cells.on_machine(row, machine) for table in tables for row in table.rows if row.label == label]
    return [cost for cost in costs if cost is not None and cost.fit_seconds]


def geometric_mean(values: Sequence[float]) -> float | None:
    """The geometric mean of positive numbers; None if there are none."""
    return statistics.geometric_mean(values) if values else None


def _scope(tables: Sequence[Table]) -> str:
    """How many data sets, and how many tables if several are of one data set."""
    data_sets = len({table.dataset for table in tables})
    of = f"{data_sets} data set{'' if data_sets == 1 else 's'}"
    return of if data_sets == len(tables) else f"{len(tables)} boards of {of}"


def _best(tables: Sequence[Table], metric: str) -> str:
    """The method of the best mean rank among the usual methods that all tables rank."""
    usual = {row.label for table in tables for row in table.rows if is_usual(row) and not row.floor}
    all_of = [each for each in standings(tables, metric) if each.label in usual and each.tables == len(tables)]
    if not tables:
        return ""
    if not all_of:
        return f"No method with default parameters has a rank by {metric} on all of the {_scope(tables)}."
    best, *others = all_of
    compared = f"of {len(all_of)} methods that are ranked on all of the {_scope(tables)}"
    said = f"{best.label}, with a mean rank of {_span(best)} by {metric}: the best {compared}"
    if not others:
        said = f"{best.label}, the only method with a rank by {metric} on all of the {_scope(tables)}"
    where = f"no test separates it from the first on {best.first}, and on {best.alone} it is alone in first place"
    tied = [each for each in others if each.best <= best.worst]
    if tied:
        names = [f"{each.label} ({_span(each)})" for each in tied]
        if len(names) > NAMED:
            names = [*names[:NAMED], f"{len(names) - NAMED} others"]
        return f"{said}. {where.capitalize()}. Tied, since their mean ranks overlap: {cells.listed(names)}."
    following = f" The next is {others[0].label} ({_span(others[0])})." if others else ""
    return f"{said}. {where.capitalize()}.{following}"


def _cheapest(tables: Sequence[Table]) -> str:
    """The cheapest usual method within one point of the best on most tables, relative to the one most often so."""
    if not tables:
        return ""
    near = _near(tables)
    most = [label for label, count in near.items() if 2 * count > len(tables)]
    within = f"within one point of the best {BY}"
    if not most:
        return f"No method with default parameters is {within} on most of the {_scope(tables)}."
    ranked = [each.label for each in standings(tables, BY) if each.label in near]
    to = max(ranked, key=lambda label: near[label])  # of several, that of the best mean rank
    others = [label for label in ranked if label != to]
    means = {
        label: statistics.geometric_mean(one.value for one in found)
        for label in others
        if (found := _ratios(tables, label, to))
    }
    cheaper = [label for label in means if means[label] < 1]
    close = min((label for label in cheaper if label in most), key=lambda label: means[label], default=None)
    if close is not None:
        said = (
            f"{close}, {within} on {near[close]} of the {_scope(tables)}. Its fit takes {times(means[close])} the time"
        )
        return f"{said} of {to}, which is so close on {near[to]}{_where(tables, close, to)}."
    said = f"{to}, {within} on {near[to]} of the {_scope(tables)}."
    if not cheaper:
        return f"{said} No cheaper method is known."
    following = cheaper[0]
    cost = f"{near[following]} and takes {times(means[following])} its fit time{_where(tables, following, to)}"
    return f"{said} No cheaper method is so close on most of them: {following}, the next by mean rank, is on {cost}."


def _near(tables: Sequence[Table]) -> Counter[str]:
    """For each usual method, the number of tables where it is within one point of the best."""
    near: Counter[str] = Counter()
    for table in tables:
        rows = [table.rows[i] for i in cells.ranked(table, BY)]
        best = rows[0].values[BY].value or 0.0
        for row in rows:
            if is_usual(row) and not row.floor:
                near[row.label] += (row.values[BY].value or 0.0) >= best - CLOSE
    return near


def _where(tables: Sequence[Table], label: str, to: str) -> str:
    found = _ratios(tables, label, to)
    busy = sum(one.busy for one in found)
    marked = f"; on {busy} of them other programs used the machine" if busy else ""
    return f" (geometric mean over {len(found)} boards, each on one machine class{marked})"


def _ratios(tables: Sequence[Table], label: str, to: str) -> list[Ratio]:
    """Fit time of a method divided by that of another one, for each table with both on one machine class."""
    found = []
    for table in tables:
        rows = {row.label: row for row in table.rows}
        if label in rows and to in rows and (ratio := ratio_of(rows[label], rows[to], "fit_seconds")):
            found.append(ratio)
    return found


def ratio_of(row: Row, other: Row, time: str) -> Ratio | None:
    """A time of a row divided by that of another row on the same machine class; None if unknown on any."""
    for one in row.costs:
        same = cells.on_machine(other, (one.machine, one.threads))
        if same is not None and getattr(one, time) and getattr(same, time):
            return Ratio(getattr(one, time) / getattr(same, time), one.busy or same.busy)
    return None


def _summary(table: Table) -> Summary:
    places = cells.ranked(table, table.by)
    first, *others = places
    best = table.rows[first]
    leader = cells.leader(table, table.by).removeprefix(best.label)
    said = f"{best.label} {cells.percent(best.values[table.by].value)}{leader}"
    rare = ""
    if rarely := cells.ranked(table, RARE):
        top = table.rows[rarely[0]]
        rare = f"{top.label} {cells.percent(top.values[RARE].value)}"
        rare += cells.leader(table, RARE).removeprefix(top.label)
    if not others:
        return Summary(table, said, "no other method has a rank", "", rare)
    reference = next((i for i in others if table.rows[i].label == REFERENCE), others[0])
    other = table.rows[reference]
    found = table.difference(table.by, first, reference)
    compared = "" if found is None else f"{gap(found)} over {other.label}{_ends(found)}"
    if found is not None and not found.significant:
        compared += ", which no test separates"
    fit, predict = ratio_of(best, other, "fit_seconds"), ratio_of(best, other, "predict_ms_per_row")
    costs = [f"{times(fit.value)} its fit time"] if fit else []
    costs += [f"{times(predict.value)} its time per row"] if predict else []
    if (fit and fit.busy) or (predict and predict.busy):
        costs.append("busy machine")
    return Summary(table, said, compared, ", ".join(costs) or "not measured on the same machines", rare)


def gap(difference: Difference) -> str:
    """A difference in points, "+7.35"."""
    return f"{100 * difference.value:+.2f}".replace("-", "−")


def _ends(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return ""
    return f" ({100 * difference.low:.2f} to {100 * difference.high:.2f})".replace("-", "−")


def _span(standing: Standing) -> str:
    return "–".join(dict.fromkeys((f"{standing.best:.1f}", f"{standing.worst:.1f}")))


def times(ratio: float) -> str:
    """A ratio of costs to two digits: "41 ×", "1.3 ×", "0.083 ×"."""
    decimals = max(0, 1 - math.floor(math.log10(ratio)))
    return f"{ratio:,.{decimals}f} ×" if decimals < 6 else "less than 0.00001 ×"
