"""A table as Markdown, and the page that lists all tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xmcbench.board import cells
from xmcbench.board.model import BUSY, BY, FLAGS, Board, Table
from xmcbench.board.protocol import described
from xmcbench.escaping import Markdown, code, markdown

VALUES = "_published"  # after a table's name in the file of its published values; no table's name has an underscore
READING = (
    "Rows are in the order of their values. A *rank* is the interval of places that the tests leave to a row: from "
    "1 + the number of rows that are significantly better to the number of rows without those that are significantly "
    "worse. A row is *tied* with the rows that no test separates from it, which says nothing of those rows among "
    "themselves. The tests are paired randomisation tests over test documents, with near-duplicates kept together, and "
    "with Holm's correction over all pairs of a table and metric at 5 %. Values are percent: the mean over seeds, "
    "± the standard deviation over seeds. Intervals are 95 % bootstrap intervals over documents. The tests are for the "
    "seeds that were run; they say nothing about other data."
)


def index(board: Board, names: Sequence[str]) -> str:
    """The list of tables; `names` are the tables' files without their suffix."""
    lines = ["# Leaderboards", "", f"Made from {board.records} records by `xmcbench board build`.", ""]
    lines += [f"The best by {BY}, and the methods that no test separates from it; `index.html` is the page.", ""]
    head = ("data set", "view", "train", "test", "labels", "methods", "best", "tables")
    rows: list[Sequence[object]] = []
    only_published = []
    for table, name in zip(board.tables, names, strict=True):
        if not table.rows:
            only_published.append(f"[{markdown(table.title)}](tables/{name}.md)")
            continue
        links = ", ".join(f"[{kind}](tables/{name}.{kind})" for kind in ("md", "csv", "tex"))
        links += f", [published](tables/{name}{VALUES}.csv)" if table.published else ""
        rows.append(
            [table.title, table.view, *_counts(table), len(table.rows), cells.leader(table, table.by), Markdown(links)]
        )
    lines += [*_grid(head, rows), ""]
    if only_published:
        lines += [f"Data sets with published values only: {', '.join(only_published)}.", ""]
    lines += _part("Records that are refused or not ranked", [f"- {markdown(note)}" for note in board.notes])
    return "\n".join([*lines, "## How to read the tables", "", READING, ""])


def table(table: Table) -> str:
    """One table with its costs, published values, failures and commands."""
    train, test, labels = _counts(table)
    counts = f"{train} training and {test} test documents, {labels} labels, revision {markdown(table.facts.revision)}."
    lines = [f"# {markdown(table.title)}, view {markdown(table.view)}", "", counts, ""]
    lines += [*_scores(table), ""]
    used = [flag for flag in FLAGS if any(flag in row.flags for row in table.rows)]
    lines += [f"- **{flag}**: {markdown(FLAGS[flag])}" for flag in used] + [""] * bool(used)
    lines += [*_intervals(table), *_slices(table), *_costs(table), *_published(table)]
    lines += _part("Methods without results", [f"- {markdown(text)}" for text in table.failures])
    lines += _part("Commands that repeat the rows", [f"- {code(row.command)}" for row in table.rows if row.command])
    lines += _part("How to read this table", [READING] if table.rows else [])
    return "\n".join(lines)


def _part(title: str, lines: Sequence[str]) -> list[str]:
    """A part of the page under its own heading; nothing if it has no lines."""
    return [f"## {title}", "", *lines, ""] if lines else []


def _counts(table: Table) -> list[str]:
    """Numbers of training documents, test documents and labels."""
    facts = table.facts
    return ["?" if count is None else f"{count:,}" for count in (facts.n_train, facts.n_test, facts.n_labels)]


def _scores(table: Table) -> list[str]:
    """Values, and below them the intervals: together in one table, they would be wider than a screen."""
    head = [f"rank by {table.by}" if table.by else "rank", "method", *table.metrics, "flags"]
    rows = [
        [
            ", ".join(filter(None, [cells.rank(row, table.by), cells.ties(row, table.by)])),
            row.label + (" (floor)" if row.floor else ""),
            *(Markdown(cells.measured(row.values[name])) for name in table.metrics),
            ", ".join(row.flags),
        ]
        for row in table.rows
    ]
    best = ["", Markdown("*best reachable*"), *(cells.percent(table.ceilings.get(name)) for name in table.metrics), ""]
    return _grid(head, [*rows, best])


def _intervals(table: Table) -> list[str]:
    """Intervals and ranks by each metric that is tested."""
    head = ["method", *(title for name in table.tested for title in (f"{name}, 95 %", "rank"))]
    rows = [
        [
            row.label,
            *(text for name in table.tested for text in (cells.interval(row.values[name]), cells.rank(row, name))),
        ]
        for row in table.rows
    ]
    return _part("Intervals and ranks", _grid(head, rows) if table.tested else [])


def _slices(table: Table) -> list[str]:
    names = [name for part in table.slices.values() for name in part]
    rows = [[row.label, *(cells.percent(row.values[name].value) for name in names)] for row in table.rows]
    grid = _grid(["method", *names], rows)
    return _part("Values on parts of the labels or documents", grid if names else [])


def _costs(table: Table) -> list[str]:
    lines = []
    for machine in cells.machines(table.rows):
        rows = [
            [row.label, *(Markdown(text) for text in cells.cost(costs))]
            for row in table.rows
            if (costs := cells.on_machine(row, machine)) is not None
        ]
        lines += _part(f"Costs on {markdown(cells.machine_name(machine))}", _grid(["method", *cells.COSTS], rows))
        if any("*" in "".join(map(str, row[1:])) for row in rows):
            lines += [f"\\* {FLAGS[BUSY]}.", ""]
    return lines


def _published(table: Table) -> list[str]:
    rows = [
        [
            row.method,
            ", ".join(f"{name} {100 * value:.2f}" for name, value in row.values.items()),
            described(row.protocol, row.values),
            row.protocol.split,
            row.source,
            row.data_version,
            row.verdict,
            ", ".join(f"{name} {100 * gap:+.2f}" for name, gap in (row.gaps or {}).items()),
            row.why,
            row.costs,
        ]
        for row in table.published
    ]
    head = ("method", "published", "protocol", "split", "source", "data", "verdict", "ours − published", "why", "costs")
    return _part("Published values", _grid(head, rows) if rows else [])


def _grid(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table; every cell that is not `Markdown` is shown as text."""
    return ["| " + " | ".join(map(markdown, row)) + " |" for row in (head, ["---"] * len(head), *rows)]
