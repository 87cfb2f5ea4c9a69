"""Markdown cells and tables of values and differences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from xmcbench.board.cells import NONE, measured
from xmcbench.escaping import code, markdown
from xmcbench_elias.results.plan import Board, command
from xmcbench_elias.results.runs import NOT_KEPT, NOT_RUN, Measured, gap


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table of Markdown cells; rows shorter than the head get empty cells."""
    padded = ([*row, *[""] * (len(head) - len(row))] for row in rows)
    return ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *padded)]


def name_of(board: Board) -> str:
    """A board's name as a title."""
    return markdown(f"{board.dataset} ({board.view})")


def row(one: Measured, names: Sequence[str]) -> list[str]:
    """Title, number of seeds, and the value of each metric with its interval."""
    values = [_value(one, name) for name in names] if one.runs else [NOT_RUN]
    return [markdown(one.title), str(len(one.runs)), *values]


def difference(a: Measured, b: Measured, names: Sequence[str]) -> list[str]:
    """Title, number of seeds of both, and b − a in each metric with its interval."""
    gaps = [gap(a, b, name) for name in names]
    cells = [one.why or interval(one.value, one.low, one.high) for one in gaps]
    if gaps[0].why and len(set(cells)) == 1:
        cells = cells[:1]
    seeds = max((one.seeds for one in gaps), default=0)
    return [markdown(f"{plain(b.title)} − {plain(a.title)}"), str(seeds), *cells]


def plain(title: str) -> str:
    """A step's title without reference to the step before: "stage 2" for "+ stage 2"."""
    return title.removeprefix("+ ")


def marked(rows: Sequence[Measured]) -> list[Measured]:
    """The rows of one table; titles of elias rows that are not of the newest version include their version."""
    older = _versions(rows)[:-1]
    return [
        replace(one, title=f"{one.title} (version {one.version})") if one.is_elias and one.version in older else one
        for one in rows
    ]


def mixed(rows: Sequence[Measured]) -> list[str]:
    """A warning below a table with rows of several versions of elias."""
    versions = _versions(rows)
    names = markdown(", ".join(versions))
    return [f"- **Mixed versions** of elias, {names}: do not compare them."] if len(versions) > 1 else []


def below(rows: Sequence[Measured], board: Board, seeds: Sequence[int]) -> list[str]:
    """Lines below a table of one board: failed runs, and the commands of missing runs."""
    lines = [f"- {markdown(text)}" for text in dict.fromkeys(text for one in rows for text in one.remarks)]
    missing: dict[tuple[int, ...], list[str]] = {}
    for one in rows:
        if one.missing:
            missing.setdefault(one.missing, []).append(one.text)
    for seeds_missing, texts in missing.items():
        seeds_text = "" if seeds_missing == tuple(seeds) else f", seeds {', '.join(map(str, seeds_missing))}"
        lines.append(f"- {NOT_RUN}{seeds_text}: {code(command(list(dict.fromkeys(texts)), board, seeds_missing))}")
    return lines


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A difference of fractions, in points; a dash if it is unknown."""
    if value is None or low is None or high is None:
        return NONE
    return f"{100 * value:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})".replace("-", "−")


def _value(one: Measured, name: str) -> str:
    if name not in one.values:
        return NONE
    value = one.values[name]
    if value.low is None or value.high is None:
        return f"{measured(value)} [{NOT_KEPT}]"
    return f"{measured(value)} [{100 * value.low:.2f}, {100 * value.high:.2f}]"


def _versions(rows: Sequence[Measured]) -> list[str]:
    """Versions of elias among the rows, oldest first."""
    versions = {one.version for one in rows if one.version is not None and one.is_elias}
    return sorted(versions, key=lambda text: (int(text) if text.isdecimal() else -1, text))
