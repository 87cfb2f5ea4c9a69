"""Texts and numbers of the page, the same in its tables and in its JSON.

The templates call these functions as `text`; they clean and escape what the functions return. The scripts rely on the
order of rows (`ordered`) and of machine classes (`cells.machines`).
"""

from __future__ import annotations

import itertools
import math
from urllib.parse import quote

from markupsafe import Markup, escape

from xmcbench.board.cells import NONE
from xmcbench.board.model import BY, FLAGS, Costs, PublishedRow, Row, Table
from xmcbench.board.protocol import described, is_propensity_scored
from xmcbench.escaping import clean

# title, unit on the page, field of `Costs`, factor from the field's unit to the page's
COSTS = (
    ("Fit", "s", "fit_seconds", 1.0),
    ("Predict", "ms per row", "predict_ms_per_row", 1.0),
    ("Query median", "ms", "query_p50_ms", 1.0),
    ("Query 99th percentile", "ms", "query_p99_ms", 1.0),
    ("Memory", "MiB", "peak_rss_bytes", 2**-20),
    ("Model", "MiB", "model_bytes", 2**-20),
)
TIMES = ("s", "ms", "ms per row")  # units of costs that a busy machine increases
FRONT = (BY, "P@1", "PSP@5", "R@100")  # metrics that the table shows at first, in this order
DIGITS = 3  # significant digits of costs
HASH = 12  # shown characters of commits and hashes
NAMELESS = "(no name)"  # in place of a blank label


def is_ranked(table: Table, row: Row) -> bool:
    """Whether a row has a rank for any metric; true for all rows of a table without tests."""
    return not table.tested or any(row.ranks.get(metric) is not None for metric in table.tested)


def ordered(table: Table) -> list[Row]:
    """The ranked rows, then the others."""
    return sorted(table.rows, key=lambda row: not is_ranked(table, row))


def bodies(table: Table) -> list[tuple[bool, list[Row]]]:
    """The parts of the table's body, ranked rows and others: whether they are ranked, and the rows."""
    return [(ranked, [*rows]) for ranked, rows in itertools.groupby(ordered(table), lambda row: is_ranked(table, row))]


def columns(table: Table) -> list[str]:
    """The metrics of the table, those that it shows at first before the others."""
    return [name for name in FRONT if name in table.metrics] + [name for name in table.metrics if name not in FRONT]


def front(table: Table) -> int:
    """Number of metrics that the table shows at first."""
    return sum(name in table.metrics for name in FRONT) or min(len(FRONT), len(table.metrics))


def shown(table: Table) -> str:
    """The view of a table, or "published" if it has only published values."""
    return table.view if table.rows else "published"


def heading(table: Table) -> str:
    """A table's title with its view."""
    return f"{table.title}, {shown(table)}"


def identity(table: Table) -> str:
    """A table's name in ids and addresses: data set and view, separated by the only "/"."""
    return "/".join(quote(clean(part), safe="") for part in (table.dataset, table.view))


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


def address(table: Table, place: str = "") -> str:
    """Link to a table, or to a place in it; quoted once more than the id, since browsers unquote a link once."""
    return "#table=" + quote(identity(table), safe="/") + place


def breakable(label: str) -> Markup:
    """A label, never blank, with permitted line breaks before its parameters."""
    name = escape(clean(label if clean(label).strip() else NAMELESS))
    return name.replace("[", Markup("<wbr>[")).replace(",", Markup(",<wbr>"))


def facts(table: Table) -> list[str]:
    """The facts of a data set that are known."""
    known = table.facts
    counts = ("training rows", known.n_train), ("test rows", known.n_test), ("labels", known.n_labels)
    items = [f"{count:,} {what}" for what, count in (*counts, ("features", known.n_features)) if count is not None]
    if known.propensity:
        items.append("propensities A, B = " + ", ".join(map(str, known.propensity)))
    if known.revision is not None:
        items.append(f"revision {known.revision}")
    if known.content_hash:
        items.append(f"content hash {known.content_hash.removeprefix('sha256:')[:HASH]}")
    return items


def reason(row: Row) -> str:
    """Why a row has no rank, from its flags."""
    reasons = [FLAGS[flag].removesuffix(": not ranked") for flag in row.flags if "not ranked" in FLAGS.get(flag, "")]
    return "; ".join(reasons) or "the tests have no numbers for it"


def cost_cells(of: Costs | None) -> list[tuple[str, bool]]:
    """For each cost of the table: its number, and whether a busy machine increased it."""
    if of is None:
        return [(NONE, False)] * len(COSTS)
    numbers = zip(COSTS, costs(of), strict=True)
    return [(number(cost), of.busy and cost is not None and unit in TIMES) for (_, unit, *_), cost in numbers]


def metrics_of(table: Table) -> list[str]:
    """The metrics of the published values."""
    return table.published_metrics


def notes(table: Table) -> list[str]:
    """Data versions and sources of the published values, which are long and shared, so each is listed once."""
    return list(dict.fromkeys(note for row in table.published for note in (row.data_version, row.source) if note))


def protocol(row: PublishedRow) -> str:
    """How published values were made, in words, with the split."""
    split = [] if row.protocol.split is None else [f"split: {row.protocol.split}"]
    return "; ".join([described(row.protocol, row.values), *split])


def mark(row: PublishedRow, metric: str) -> str:
    """Why a published value can't be compared with any other one; "" if nothing forbids it."""
    if row.verdict == "wrong at its source":
        return "wrong"
    return "other PSP" if row.protocol.psp == "other" and is_propensity_scored(metric) else ""
