"""Texts and numbers as the page shows them, the same in its tables and in its data."""

from __future__ import annotations

import html
import math
from urllib.parse import quote

from xmcbench.board.cells import NONE
from xmcbench.board.model import Costs, Table
from xmcbench.escaping import clean

# costs as the page shows them: title, unit, field of `Costs`, such units in one of the field's
COSTS = (
    ("Fit", "s", "fit_seconds", 1.0),
    ("Predict", "ms a row", "predict_ms_per_row", 1.0),
    ("One query", "ms", "query_p50_ms", 1.0),
    ("Memory", "MiB", "peak_rss_bytes", 2**-20),
    ("Model", "MiB", "model_bytes", 2**-20),
    ("Slow query (99 %)", "ms", "query_p99_ms", 1.0),
)
NAMELESS = "(no name)"  # in place of a blank label
TIMES = ("s", "ms", "ms a row")  # units of what takes longer on a busy machine
IN_TABLE = 5  # the first of them; the others stand on a method's page
DIGITS = 3  # of costs; two runs differ by more


def text(value: object) -> str:
    """Text from outside: no control or direction characters, no markup."""
    return html.escape(clean(value))


def name(label: str) -> str:
    """A label as text that can be seen and clicked."""
    return text(label if clean(label).strip() else NAMELESS)


def shown(table: Table) -> str:
    """What a table shows of its data set: one view of it, or what others printed alone."""
    return table.view if table.rows else "published"


def heading(table: Table) -> str:
    """A table's title; data sets have a table for each view."""
    return f"{clean(table.title)}, {clean(shown(table))}"


def identity(table: Table) -> str:
    """A table's name in ids and addresses: "/" stands between data set and view, and in neither."""
    return "/".join(quote(clean(part), safe="") for part in (table.dataset, table.view))


def address(table: Table, place: str = "") -> str:
    """Where links to a table, or to a place of it, lead; browsers undo one quoting to find the id."""
    return "#table=" + quote(identity(table), safe="/") + place


def scrolling(label: str, table: str) -> str:
    """A table in a box of its own, which scrolls where the table is too wide, by keyboard too; `label` is text."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}">\n{table}\n</div>'


def machine_name(machine: str, threads: int | None) -> str:
    """A machine class as the page names it; with other threads costs are others, too."""
    return machine if threads is None else f"{machine}, {threads} thread{'' if threads == 1 else 's'}"


def costs(of: Costs) -> list[float | None]:
    """One number for each of `COSTS`, rounded to what is shown."""
    return [rounded(getattr(of, field), scale) for _, _, field, scale in COSTS]


def rounded(value: float | None, scale: float = 1.0) -> float | None:
    """Three digits; what isn't finite is unknown."""
    return None if value is None or not math.isfinite(value) else float(f"{value * scale:.{DIGITS}g}")


def number(value: float | None) -> str:
    """A rounded number without exponent: 0.00137, 21.4, 25,300; an en dash where unknown."""
    if value is None:
        return NONE
    decimals = 0 if value == 0 else max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"
