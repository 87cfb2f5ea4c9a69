"""A table as Markdown, and the page that lists all tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from xmcbench.board import cells
from xmcbench.board.model import FLAGS, Board, Table
from xmcbench.escaping import clean

READING = (
    "Rows share a rank where a test can't separate them, or a chain of such rows joins them: every row of a better "
    "rank is significantly better than every row of a worse one, and each beats so many rows, those of its own rank "
    "among them. The tests are paired randomisation tests over the "
    "test documents, near-duplicates taken together, with Holm's correction over all pairs of a table and metric at "
    "5 %. Values are percent: mean over seeds, ± standard deviation over seeds, and the 95 % bootstrap interval over "
    "documents. The tests are over documents, for the seeds that were run; they say nothing of other data."
)


def escaped(text: object) -> str:
    """Text with Markdown's special characters escaped: no markup, no HTML, no new cell, one line."""
    return re.sub(r"([\\`*_{}\[\]<>&|#!~$])", r"\\\1", clean(text)).replace("\\<", "&lt;").replace("\\>", "&gt;")


def code(text: object) -> str:
    """Text as a code span: the fence is longer than any run of backticks in the text."""
    plain = clean(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", plain)), default=0))
    space = " " if "`" in plain else ""
    return f"{fence}{space}{plain}{space}{fence}"


def index(board: Board, names: Sequence[str]) -> str:
    """The list of tables; `names` are the tables' files without their suffix."""
    lines = ["# Leaderboards", "", f"From {board.records} records. `xmcbench board build` makes these files anew.", ""]
    head = ("data set", "view", "train", "test", "labels", "rows", "first by rank", "tables")
    rows = []
    only_published = []
    for table, name in zip(board.tables, names, strict=True):
        if not table.rows:
            only_published.append(f"[{escaped(table.title)}](tables/{name}.md)")
            continue
        facts = table.facts
        first = ", ".join(row.label for row in table.rows if table.tested and row.ranks.get(table.tested[0]) == 1)
        counts = map(_count, (facts.n_train, facts.n_test, facts.n_labels))
        links = ", ".join(f"[{kind}](tables/{name}.{kind})" for kind in ("md", "csv", "tex"))
        cells_text = [escaped(cell) for cell in (table.title, table.view, *counts, len(table.rows), first)]
        rows.append([*cells_text, links])
    lines += [*_grid(head, rows), ""]
    if only_published:
        lines += [f"Published values alone, no record: {', '.join(only_published)}.", ""]
    return "\n".join([*lines, "## Reading them", "", READING, ""])


def table(table: Table) -> str:
    """One table with its costs, published values, failures and commands."""
    facts = table.facts
    counts = (
        f"{_count(facts.n_train)} training and {_count(facts.n_test)} test documents, {_count(facts.n_labels)} labels"
    )
    lines = [f"# {escaped(table.title)}, view {escaped(table.view)}", "", f"{counts}, revision {facts.revision}.", ""]
    lines += [*_scores(table), ""]
    used = [flag for flag in FLAGS if any(flag in row.flags for row in table.rows)]
    lines += [f"- **{flag}**: {FLAGS[flag]}" for flag in used] + [""] * bool(used)
    lines += [*_slices(table), *_costs(table), *_published(table)]
    lines += _part("Without a row", [f"- {escaped(text)}" for text in table.failures])
    lines += _part("Repeating it", [f"- {code(row.command)}" for row in table.rows if row.command])
    lines += _part("Reading it", [READING] if table.rows else [])
    return "\n".join(lines)


def _part(title: str, lines: Sequence[str]) -> list[str]:
    """A part of the page under its own heading; nothing if it has no lines."""
    return [f"## {title}", "", *lines, ""] if lines else []


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _scores(table: Table) -> list[str]:
    first = table.tested[0] if table.tested else ""
    head = ["rank", "beats", "method", *table.metrics, "flags"]
    rows = [
        [
            *([cells.rank(row, first), cells.beats(row, first)] if first else [cells.NONE] * 2),
            escaped(row.label) + (" (floor)" if row.floor else ""),
            *(cells.measured(row.values[name], interval=name in table.tested) for name in table.metrics),
            ", ".join(row.flags),
        ]
        for row in table.rows
    ]
    best = ["", "", "*best reachable*", *(cells.percent(table.ceilings.get(name)) for name in table.metrics), ""]
    return _grid(head, [*rows, best])


def _slices(table: Table) -> list[str]:
    names = [name for part in table.slices.values() for name in part]
    rows = [[escaped(row.label), *(cells.percent(row.values[name].value) for name in names)] for row in table.rows]
    grid = _grid(["method", *map(escaped, names)], rows)
    return _part("By part of the labels or documents", grid if names else [])


def _costs(table: Table) -> list[str]:
    lines = []
    for machine in cells.machines(table):
        threads = "" if machine[1] is None else f", {machine[1]} threads"
        rows = [
            [escaped(row.label), *cells.cost(costs)]
            for row in table.rows
            if (costs := cells.on_machine(row, machine)) is not None
        ]
        lines += _part(f"Costs on {escaped(machine[0])}{threads}", _grid(["method", *cells.COSTS], rows))
        if any("*" in "".join(row[1:]) for row in rows):
            lines += ["\\* other processes, or compiling kernels, took over a tenth of the time: it is too long.", ""]
    return lines


def _published(table: Table) -> list[str]:
    rows = [
        [
            escaped(row.method),
            escaped(", ".join(f"{name} {100 * value:.2f}" for name, value in row.values.items())),
            escaped(row.source),
            escaped(row.data_version),
            row.verdict,
            ", ".join(f"{name} {100 * gap:+.2f}" for name, gap in (row.gaps or {}).items()),
            escaped(row.why),
            escaped(row.costs),
        ]
        for row in table.published
    ]
    head = ("method", "published", "source", "data", "verdict", "ours − published", "why", "costs, as printed")
    return _part("Published values", _grid(head, rows) if rows else [])


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
