"""How expected scores and what became of them are told: a line each, a table, and what to do about it."""

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
SHOWN = 6  # metrics of one entry: more say the same again, and a fault in a shared part is of many entries
NUMBERS = ("expected", "got", "difference", "tolerance")  # columns
ANEW = "If the change is meant, raise the method's version and write expected scores anew: CONTRIBUTING.md."


def line(outcome: Outcome) -> str:
    """One entry in one line of rich's markup."""
    known = sum(v.verdict != UNKNOWN for v in outcome.verdicts)
    said = safe(outcome.why) if outcome.why else f"{known} of {len(outcome.verdicts)} metrics judged"
    return f"{_styled(outcome.verdict)} · {safe(outcome.expected)} · {said}"


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Metrics that are not within their tolerance, in percent, then how many entries have which verdict."""
    out = [(outcome, [v for v in outcome.verdicts if v.verdict != OK]) for outcome in outcomes]
    if any(verdicts for _, verdicts in out):
        table = Table(title="not within tolerance, percent", title_justify="left", box=None)
        for column in ("method", "data set", "metric", "expected", "got", "difference", "tolerance", "verdict"):
            table.add_column(column, justify="right" if column in NUMBERS else "left", no_wrap=column in NUMBERS)
        for outcome, verdicts in out:
            worst = sorted(verdicts, key=lambda v: ORDER.index(v.verdict))  # in the order of the record otherwise
            for verdict in worst[:SHOWN]:
                table.add_row(*_cells(outcome, verdict))
            if len(worst) > SHOWN:
                table.add_row("", "", f"{len(worst) - SHOWN} more")
        console.print(table)
        console.print("--json has all metrics of all entries", soft_wrap=True)
    counts = Counter(outcome.verdict for outcome in outcomes)
    said = ", ".join(f"{counts[word]} {_styled(word)}" for word in STYLE if counts[word])
    console.print(f"{len(outcomes)} expected entries: {said}", soft_wrap=True)
    if counts[IMPROVED]:
        console.print("what improved can fall again unseen until expected scores are written anew", soft_wrap=True)


def _cells(outcome: Outcome, v: Verdict) -> list[str]:
    entry = outcome.expected
    gap = None if v.got is None or v.expected is None else v.got - v.expected
    return [
        *(safe(entry.method), safe(f"{entry.dataset} ({entry.view})"), safe(v.metric)),
        *(_percent(v.expected), _percent(v.got), _percent(gap, sign=True), _percent(v.tolerance)),
        _styled(v.verdict) + (f" ({safe(v.why)})" if v.why else ""),
    ]


def settle(outcomes: Sequence[Outcome], *, data_may_be_missing: bool) -> tuple[str, str] | None:
    """Message and hint where the check does not pass.

    It passes where no metric fell and every entry had one judged: a check that compares nothing must not pass. An
    entry whose data set isn't here is forgiven where that may be, once anything else was judged.
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
    return "\n".join([count, *fell, *unjudged]), ANEW


def _fell(outcome: Outcome) -> str:
    """The first metric that fell, which is P@1 if that did, and how many more."""
    first, *more = [v for v in outcome.verdicts if v.verdict == FAIL]
    rest = f", and {len(more)} metrics more" if more else ""
    values = f"{_percent(first.got)} where {_percent(first.expected)} ± {_percent(first.tolerance)} is expected"
    return f"FAIL: {outcome.expected}: {first.metric} {values}{rest}"


def _styled(verdict: str) -> str:
    return f"[{STYLE[verdict]}]{verdict}[/]"


def _percent(value: float | None, *, sign: bool = False) -> str:
    """Two decimals, or the power of ten of what they would hide."""
    if value is None:
        return "–"
    form = ".2f" if value == 0 or abs(value) >= 5e-5 else ".1e"
    return format(100 * value, ("+" if sign else "") + form)
