"""The JSON of the page: the numbers of the table model as its scripts read them.

Numbers are rounded as shown, lists stand in for records with many repeats, and texts from records are list elements,
never keys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from xmcbench.board import cells, fits, html_text, overview
from xmcbench.board.colours import colours as colours_of
from xmcbench.board.html_text import COSTS, HASH, TIMES, columns, heading, identity, ordered, rounded
from xmcbench.board.model import FLAGS, LEVEL, Board, Row, Run, Table, Value
from xmcbench.board.protocol import FIELDS

MOST_PAIRED = 40  # ranked rows of a table whose differences the page has: 780 pairs for each metric


def of(board: Board) -> object:
    """The board as JSON-serialisable lists and dicts; tables in the order of `overview.in_order`."""
    costs = [[title, unit, unit in TIMES] for title, unit, *_ in COSTS]
    tables = [_table(table) for table in overview.in_order(board)]
    families = {row.family for table in board.tables for row in table.rows}
    colours = [[name, colour] for name, colour in colours_of(families).items() if name in families]
    words = {"families": colours, "costs": costs, "flags": FLAGS, "level": LEVEL, "protocol": FIELDS}
    return {**words, "tables": tables, "overview": _overview(board)}


def _overview(board: Board) -> dict[str, object]:
    """Mean ranks and costs, a line for each label: whether it is shown at first, mean ranks, mean cost, boards,
    and how many of those are of busy machines."""
    tables = overview.in_order(board)
    metrics = list(dict.fromkeys(name for table in tables for name in [table.by, *table.tested] if name))
    metrics = metrics or list(dict.fromkeys(name for table in tables for name in table.metrics))
    counting = {name: overview.counting(board, name) for name in metrics}
    ranks = {name: {s.label: s for s in overview.standings(counting[name], name)} for name in metrics}
    counted = counting[metrics[0]] if metrics else []
    machine = next(iter(cells.machines(row for table in counted for row in table.rows)), None)
    lines = []
    for label in dict.fromkeys(row.label for table in tables for row in table.rows):
        rows = [row for table in tables for row in table.rows if row.label == label]
        usual = overview.is_usual(rows[0]) and (len(rows) > 1 or len(tables) == 1)
        standings = [ranks[name].get(label) for name in metrics]
        means = [None if s is None else [float(f"{s.best:.2f}"), float(f"{s.worst:.2f}"), s.tables] for s in standings]
        fits = overview.fits(counted, label, machine) if machine else []
        mean = overview.geometric_mean([fit.fit_seconds or 0.0 for fit in fits])
        lines.append([label, int(usual), means, rounded(mean), len(fits), sum(fit.busy for fit in fits)])
    return {
        "metrics": metrics,
        "boards": [len(counting[name]) for name in metrics],
        "machine": cells.machine_name(machine) if machine else "",
        "lines": lines,
    }


def _table(table: Table) -> dict[str, object]:
    parts = [name for names in table.slices.values() for name in names]
    shown = columns(table)
    metrics = list(dict.fromkeys([*shown, *parts]))
    at = {name: i for i, name in enumerate(metrics)}
    tested = [name for name in table.tested if name in at]
    return {
        "id": identity(table),
        "title": heading(table),
        "name": [table.dataset, html_text.shown(table)],
        "small": int(overview.is_small(table)),
        "shown": len(shown),  # number of metrics with a column
        "front": html_text.front(table),  # number of those that are visible at first
        "metrics": metrics,
        "tested": [at[name] for name in tested],
        "by": table.tested.index(table.by) if table.tested else 0,
        "parts": [[part, [at[name] for name in names]] for part, names in table.slices.items()],
        "machines": [cells.machine_name(each) for each in cells.machines(table.rows)],
        "pairs": [_pairs(table, name) for name in tested],
        "rows": [_row(table, row, metrics, tested) for row in ordered(table)],
        "fits": _fits(table),
        "protocols": [[getattr(row.protocol, name) for name in FIELDS] for row in table.published],  # to filter by
    }


def _fits(table: Table) -> list[list[object]]:
    """Each fit with rows of several settings: its label, the query parameters that differ, and for each row its place
    in `rows` and its setting."""
    place = {id(row): i for i, row in enumerate(ordered(table))}
    found: list[list[object]] = []
    for rows in fits.by_fit(ordered(table)):
        if len(rows) > 1 and (names := fits.varying(rows)):
            settings = [[place[id(row)], fits.setting(row, names)] for row in rows]
            found.append([fits.label_of(rows[0]), ", ".join(names), settings])
    return found


def _pairs(table: Table, metric: str) -> list[float | None] | None:
    """The differences of all pairs of ranked rows in their order on the page: value, ends of the interval in hundredths
    of a point, and p, one after the other; None if there are too many."""
    of_row = {id(row): i for i, row in enumerate(table.rows)}
    ranked = [of_row[id(row)] for row in ordered(table) if row.ranks.get(metric) is not None]
    if len(ranked) > MOST_PAIRED:
        return None
    flat: list[float | None] = []
    for n, i in enumerate(ranked):
        for j in ranked[n + 1 :]:
            found = table.difference(metric, i, j)
            if found is None:
                flat += [None] * 4
            else:
                flat += [None if part is None else round(1e4 * part) for part in found[:3]]
                flat.append(_short(found.p))
    return flat


def _short(p: float) -> float:
    """p as shown: to two digits, 0 below 0.0001."""
    return 0 if p < 1e-4 else 1 if p == 1 else float(f"{p:.2g}")


def _row(table: Table, row: Row, metrics: Sequence[str], tested: Sequence[str]) -> dict[str, object]:
    as_it_is = ("label", "name", "family", "version", "origin", "selection", "command", "floor", "flags")
    classes = cells.machines(table.rows)
    return {
        **{name: getattr(row, name) for name in as_it_is},
        "parameters": [[name, json.dumps(value, ensure_ascii=False)] for name, value in row.parameters.items()],
        "values": [_value(row.values.get(name)) for name in metrics],
        "ranks": [row.ranks.get(name) for name in tested],
        "costs": [[classes.index((c.machine, c.threads)), int(c.busy), c.runs, *html_text.costs(c)] for c in row.costs],
        "runs": [_run(run, columns(table)) for run in row.runs],
    }


def _value(value: Value | None) -> list[float | None] | None:
    if value is None or value.value is None:
        return None
    return [*map(_percent, (value.value, value.low, value.high, value.sd)), value.seeds]


def _run(run: Run, metrics: Sequence[str]) -> list[object]:
    """Run id, seed, start, commit, machine, hash of the predictions, CPU of others, then the values of `metrics`."""
    commit, sha256 = (run.commit or "")[:HASH], (run.predictions_sha256 or "")[:HASH]
    values = [_percent(run.values.get(metric)) for metric in metrics]
    return [run.run_id, run.seed, run.started_utc, commit, run.machine or "", sha256, rounded(run.others_cpu), *values]


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else float(f"{100 * fraction:.2f}")
