"""Formatting of texts and numbers for the page, the same in its tables and in its JSON."""

from __future__ import annotations

import html
import math
from urllib.parse import quote

from xmcbench.board.cells import NONE
from xmcbench.board.model import Costs, Table
from xmcbench.escaping import clean

# title, unit on the page, field of `Costs`, factor from the field's unit to the page's
COSTS = (
    ("Fit", "s", "fit_seconds", 1.0),
    ("Predict", "ms a row", "predict_ms_per_row", 1.0),
    ("One query", "ms", "query_p50_ms", 1.0),
    ("Memory", "MiB", "peak_rss_bytes", 2**-20),
    ("Model", "MiB", "model_bytes", 2**-20),
    ("Slow query (99 %)", "ms", "query_p99_ms", 1.0),
)
NAMELESS = "(no name)"  # in place of a blank label
TIMES = ("s", "ms", "ms a row")  # units of costs that a busy machine increases
IN_TABLE = 5  # number of `COSTS` in the table; a method's page has all
DIGITS = 3  # significant digits of costs


def text(value: object) -> str:
    """Text from a record as HTML: no control or direction characters, no markup."""
    return html.escape(clean(value))


def name(label: str) -> str:
    """A label as HTML that is never blank."""
    return text(label if clean(label).strip() else NAMELESS)


def shown(table: Table) -> str:
    """The view of a table, or "published" if it has only published values."""
    return table.view if table.rows else "published"


def heading(table: Table) -> str:
    """A table's title with its view."""
    return f"{clean(table.title)}, {clean(shown(table))}"


def identity(table: Table) -> str:
    """A table's name in ids and addresses: data set and view, separated by the only "/"."""
    return "/".join(quote(clean(part), safe="") for part in (table.dataset, table.view))


def address(table: Table, place: str = "") -> str:
    """Link to a table, or to a place in it; quoted once more than the id, since browsers unquote a link once."""
    return "#table=" + quote(identity(table), safe="/") + place


def scrolling(label: str, table: str) -> str:
    """A table in a box that scrolls, also by keyboard, if the table is too wide; `label` is plain text."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}">\n{table}\n</div>'


def machine_name(machine: str, threads: int | None) -> str:
    """A machine class as text; the number of threads is part of it, since costs depend on it."""
    return machine if threads is None else f"{machine}, {threads} thread{'' if threads == 1 else 's'}"


def costs(of: Costs) -> list[float | None]:
    """One number for each of `COSTS`, rounded as shown."""
    return [rounded(getattr(of, field), scale) for _, _, field, scale in COSTS]


def rounded(value: float | None, scale: float = 1.0) -> float | None:
    """Rounded to three significant digits; None if not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value * scale:.{DIGITS}g}")


def number(value: float | None) -> str:
    """A rounded number without exponent: 0.00137, 21.4, 25,300; an en dash if unknown."""
    if value is None:
        return NONE
    decimals = 0 if value == 0 else max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"
