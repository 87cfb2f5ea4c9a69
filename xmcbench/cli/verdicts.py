"""Print the outcomes of expected scores: a line each, a table, and the error message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from xmcbench.cli.show import safe
from xmcbench.comparison.compare import FAIL, IMPROVED, OK, OKISH, UNKNOWN, Verdict

if TYPE_CHECKING:
    from xmcbench.comparison.regression import Outcome

STYLE = {OK: "green", OKISH: "yellow", IMPROVED: "cyan", FAIL: "bold red", UNKNOWN: "yellow"}
ORDER = (FAIL, UNKNOWN, OKISH, IMPROVED)
SHOWN = 6  # metrics per entry in the table: the others usually fail for the same reason
NUMBERS = ("expected", "got", "difference", "tolerance")  # columns
UPDATE_HINT = "If the change is intended, raise the method's version and update the expected scores: CONTRIBUTING.md."


def line(outcome: Outcome) -> str:
    """One outcome as one line of rich markup."""
    judged = sum(v.verdict != UNKNOWN for v in outcome.verdicts)
    status = safe(outcome.why) if outcome.why else f"{judged} of {len(outcome.verdicts)} metrics judged"
    return f"{_styled(outcome.verdict)} · {safe(outcome.expected)} · {status}"


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print the metrics outside their tolerance, in percent, then the number of entries per verdict."""
    outside = [(outcome, [v for v in outcome.verdicts if v.verdict != OK]) for outcome in outcomes]
    if any(verdicts for _, verdicts in outside):
        table = Table(title="not within tolerance, percent", title_justify="left", box=None)
        for column in ("method", "data set", "metric", "expected", "got", "difference", "tolerance", "verdict"):
            table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=column in NUMBERS)
        for outcome, verdicts in outside:
            worst = sorted(verdicts, key=lambda v: ORDER.index(v.verdict))  # stable: keeps the order of the record
            for verdict in worst[:SHOWN]:
                table.add_row(*_cells(outcome, verdict))
            if len(worst) > SHOWN:
                table.add_row("", "", f"{len(worst) - SHOWN} more")
        console.print(table)
        console.print("--json has all metrics of all entries", soft_wrap=True)
    counts = Counter(outcome.verdict for outcome in outcomes)
    summary = ", ".join(f"{counts[word]} {_styled(word)}" for word in STYLE if counts[word])
    console.print(f"{len(outcomes)} expected entries: {summary}", soft_wrap=True)
    if counts[IMPROVED]:
        console.print(
            "some scores improved: update the expected scores, or a later fall goes unnoticed", soft_wrap=True
        )


def _cells(outcome: Outcome, v: Verdict) -> list[str]:
    entry = outcome.expected
    difference = None if v.got is None or v.expected is None else v.got - v.expected
    return [
        *(safe(entry.method), safe(f"{entry.dataset} ({entry.view})"), safe(v.metric)),
        *(_percent(v.expected), _percent(v.got), _percent(difference, sign=True), _percent(v.tolerance)),
        _styled(v.verdict) + (f" ({safe(v.why)})" if v.why else ""),
    ]


def settle(outcomes: Sequence[Outcome], *, data_may_be_missing: bool) -> tuple[str, str] | None:
    """The message and hint of a check that fails, or None if it passes.

    The check passes if no metric fell and every entry was judged: a check without comparison must not pass. With
    `data_may_be_missing`, an entry without its data set is ignored if any other entry was judged.
    """
    judged = any(not outcome.why for outcome in outcomes)
    fell = [_fell(outcome) for outcome in outcomes if outcome.verdict == FAIL]
    unjudged = [
        f"not judged: {outcome.expected}: {outcome.why}"
        for outcome in outcomes
        if outcome.why and not (outcome.no_data and data_may_be_missing and judged)
    ]
    if not fell and not unjudged:
        return None
    count = f"of {len(outcomes)} expected entries {len(fell)} fell, {len(unjudged)} could not be judged"
    return "\n".join([count, *fell, *unjudged]), UPDATE_HINT


def _fell(outcome: Outcome) -> str:
    """Describe the first metric that fell (P@1 comes first), and count the others."""
    first, *more = [v for v in outcome.verdicts if v.verdict == FAIL]
    others = f", and {len(more)} more metrics" if more else ""
    values = f"{_percent(first.got)} where {_percent(first.expected)} ± {_percent(first.tolerance)} is expected"
    return f"FAIL: {outcome.expected}: {first.metric} {values}{others}"


def _styled(verdict: str) -> str:
    return f"[{STYLE[verdict]}]{verdict}[/]"


def _percent(value: float | None, *, sign: bool = False) -> str:
    """Percent with two decimals, in scientific notation if they would hide the value."""
    if value is None:
        return "–"
    form = ".2f" if value == 0 or abs(value) >= 5e-5 else ".1e"
    return format(100 * value, ("+" if sign else "") + form)
