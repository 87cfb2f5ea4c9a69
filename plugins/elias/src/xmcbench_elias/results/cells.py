"""Markdown cells and tables of values and differences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from xmcbench.board.cells import NONE, measured
from xmcbench.board.markdown import code, escaped
from xmcbench_elias.results.deciles import PARTS
from xmcbench_elias.results.plan import Board, command
from xmcbench_elias.results.runs import NOT_KEPT, NOT_RUN, Gap, Measured, gap


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table of Markdown cells; rows shorter than the head get empty cells."""
    lines = [list(head), ["---"] * len(head)]
    lines += [[*row, *[""] * (len(head) - len(row))] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def name_of(board: Board) -> str:
    """A board's name as a title."""
    return escaped(f"{board.dataset} ({board.view})")


def row(measured_row: Measured, names: Sequence[str]) -> list[str]:
    """Title, number of seeds, and the value of each metric with its interval."""
    values = [_value(measured_row, name) for name in names] if measured_row.runs else [NOT_RUN]
    return [escaped(measured_row.title), str(len(measured_row.runs)), *values]


def difference(a: Measured, b: Measured, names: Sequence[str]) -> list[str]:
    """Title, number of seeds of both, and b − a in each metric with its interval."""
    gaps = [gap(a, b, name) for name in names]
    seeds = max((one.seeds for one in gaps), default=0)
    cells = [gaps[0].why] if len({one.why for one in gaps}) == 1 and gaps[0].why else map(_gap, gaps)
    return [escaped(f"{plain(b.title)} − {plain(a.title)}"), str(seeds), *cells]


def plain(title: str) -> str:
    """A step's title without reference to the step before: "stage 2" for "+ stage 2"."""
    return title.removeprefix("+ ")


def marked(rows: Sequence[Measured]) -> list[Measured]:
    """The rows of one table; titles of elias rows that are not of the newest version include their version."""
    older = _versions(rows)[:-1]
    return [
        replace(one, title=f"{one.title} (version {one.version})") if _is_elias(one) and one.version in older else one
        for one in rows
    ]


def mixed(rows: Sequence[Measured]) -> list[str]:
    """A warning below a table with rows of several versions of elias."""
    versions = escaped(", ".join(_versions(rows)))
    return [f"- **Mixed versions** of elias, {versions}: do not compare them."] if len(_versions(rows)) > 1 else []


def below(rows: Sequence[Measured], board: Board, seeds: Sequence[int]) -> list[str]:
    """Lines below a table of one board: failed runs, and the commands of missing runs."""
    lines = [f"- {escaped(text)}" for text in dict.fromkeys(text for one in rows for text in one.remarks)]
    missing: dict[tuple[int, ...], list[str]] = {}
    for one in rows:
        if one.missing:
            missing.setdefault(one.missing, []).append(one.text)
    for seeds_missing, texts in missing.items():
        seeds_text = "" if seeds_missing == tuple(seeds) else f", seeds {', '.join(map(str, seeds_missing))}"
        lines.append(f"- {NOT_RUN}{seeds_text}: {code(command(list(dict.fromkeys(texts)), board, seeds_missing))}")
    return lines


def ranges_of(ranges: Sequence[tuple[int, int]]) -> list[str]:
    """Titles of ten columns: the range of training rows of their labels, if known."""
    if not ranges:
        return [f"decile {number}" for number in range(1, PARTS + 1)]
    return [f"{high:,}" if low == high else f"{high:,} to {low:,}" for low, high in ranges]


def interval(value: float, low: float, high: float) -> str:
    """A difference of fractions, in points."""
    return f"{100 * value:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})".replace("-", "−")


def _value(one: Measured, name: str) -> str:
    if name not in one.values:
        return NONE
    value = one.values[name]
    has_interval = value.low is not None and value.high is not None
    return measured(value, interval=True) + ("" if has_interval else f" [{NOT_KEPT}]")


def _gap(one: Gap) -> str:
    result = one.difference
    if result is None or result.value is None or result.low is None or result.high is None:
        return one.why or NONE
    return interval(result.value, result.low, result.high)


def _versions(rows: Sequence[Measured]) -> list[str]:
    """Versions of elias among the rows, oldest first."""
    versions = {one.version for one in rows if one.version is not None and _is_elias(one)}
    return sorted(versions, key=lambda text: (int(text) if text.isdecimal() else -1, text))


def _is_elias(one: Measured) -> bool:
    return bool(one.runs) and one.runs[0].method.name == "elias"
