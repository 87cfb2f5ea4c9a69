"""How rows and differences look in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from xmcbench.board.cells import NONE, measured
from xmcbench.board.markdown import code, escaped
from xmcbench_elias.deciles import PARTS
from xmcbench_elias.results_plan import Board, command
from xmcbench_elias.results_runs import NOT_KEPT, NOT_RUN, Gap, Measured, gap


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; rows that are shorter than its head get empty cells. Cells are Markdown."""
    lines = [list(head), ["---"] * len(head)]
    lines += [[*row, *[""] * (len(head) - len(row))] for row in rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def name_of(board: Board) -> str:
    """A board's name as a title."""
    return escaped(f"{board.dataset} ({board.view})")


def row(one: Measured, names: Sequence[str]) -> list[str]:
    """Title, number of seeds, and the value of each metric with its interval."""
    values = [_value(one, name) for name in names] if one.runs else [NOT_RUN]
    return [escaped(one.title), str(len(one.runs)), *values]


def difference(a: Measured, b: Measured, names: Sequence[str]) -> list[str]:
    """Title, number of seeds of both, and b − a in each metric with its interval."""
    gaps = [gap(a, b, name) for name in names]
    seeds = max((one.seeds for one in gaps), default=0)
    cells = [gaps[0].why] if len({one.why for one in gaps}) == 1 and gaps[0].why else map(_gap, gaps)
    return [escaped(f"{plain(b.title)} − {plain(a.title)}"), str(seeds), *cells]


def plain(title: str) -> str:
    """A step's title where no other step stands above it: "stage 2" for "+ stage 2"."""
    return title.removeprefix("+ ")


def marked(rows: Sequence[Measured]) -> list[Measured]:
    """The rows of one table; of elias, those that aren't of the newest version among them have it in their title."""
    old = _versions(rows)[:-1]
    return [
        replace(one, title=f"{one.title} (version {one.version})") if _is_elias(one) and one.version in old else one
        for one in rows
    ]


def mixed(rows: Sequence[Measured]) -> list[str]:
    """A line under a table whose rows are of several versions of elias."""
    versions = escaped(", ".join(_versions(rows)))
    return [f"- **Mixed versions** of elias, {versions}: not to be compared."] if len(_versions(rows)) > 1 else []


def below(rows: Sequence[Measured], board: Board, seeds: Sequence[int]) -> list[str]:
    """Lines under a table of one board: runs that failed, and the commands that make what is missing."""
    lines = [f"- {escaped(text)}" for text in dict.fromkeys(text for one in rows for text in one.remarks)]
    missing: dict[tuple[int, ...], list[str]] = {}
    for one in rows:
        if one.missing:
            missing.setdefault(one.missing, []).append(one.text)
    for some, texts in missing.items():
        which = "" if some == tuple(seeds) else f", seeds {', '.join(map(str, some))}"
        lines.append(f"- {NOT_RUN}{which}: {code(command(list(dict.fromkeys(texts)), board, some))}")
    return lines


def ranges_of(ranges: Sequence[tuple[int, int]]) -> list[str]:
    """Titles of ten columns: training rows of their labels, where they are known."""
    if not ranges:
        return [f"decile {number}" for number in range(1, PARTS + 1)]
    return [f"{most:,}" if fewest == most else f"{most:,} to {fewest:,}" for fewest, most in ranges]


def interval(value: float, low: float, high: float) -> str:
    """A difference of fractions, in points."""
    return f"{100 * value:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})".replace("-", "−")


def _value(one: Measured, name: str) -> str:
    if name not in one.values:
        return NONE
    value = one.values[name]
    known = value.low is not None and value.high is not None
    return measured(value, interval=True) + ("" if known else f" [{NOT_KEPT}]")


def _gap(one: Gap) -> str:
    found = one.difference
    if found is None or found.value is None or found.low is None or found.high is None:
        return one.why or NONE
    return interval(found.value, found.low, found.high)


def _versions(rows: Sequence[Measured]) -> list[str]:
    """Versions of elias among the rows, oldest first."""
    found = {one.version for one in rows if one.version is not None and _is_elias(one)}
    return sorted(found, key=lambda text: (int(text) if text.isdecimal() else -1, text))


def _is_elias(one: Measured) -> bool:
    return bool(one.runs) and one.runs[0]["method"]["name"] == "elias"
