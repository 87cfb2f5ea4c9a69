"""The outcomes of expected scores: a line each, a table, JSON, and the error message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xmcbench.cli.terminal import percent, print_table, styled
from xmcbench.comparison.compare import FAIL, IMPROVED, OK, OKISH, UNKNOWN, Verdict
from xmcbench.errors import counted
from xmcbench.escaping import safe

if TYPE_CHECKING:
    from rich.console import Console

    from xmcbench.comparison.regression import Outcome

STYLE = {OK: "green", OKISH: "yellow", IMPROVED: "cyan", FAIL: "bold red", UNKNOWN: "yellow"}
ORDER = (FAIL, UNKNOWN, OKISH, IMPROVED)
SHOWN = 6  # metrics per entry in the table: the others usually fail for the same reason


def line(outcome: Outcome) -> str:
    """One outcome as one line of rich markup."""
    judged = sum(v.verdict != UNKNOWN for v in outcome.verdicts)
    status = safe(outcome.why) if outcome.why else f"{judged} of {len(outcome.verdicts)} metrics judged"
    return f"{_marked(outcome.verdict)} · {safe(outcome.expected)} · {status}"


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print the metrics outside their tolerance, in percent, then the number of entries per verdict."""
    titles = ("method", "data set", "metric", "expected", "got", "difference", "tolerance", "verdict")
    rows: list[Sequence[object]] = []
    for outcome in outcomes:
        outside = [v for v in outcome.verdicts if v.verdict != OK]
        worst = sorted(outside, key=lambda v: ORDER.index(v.verdict))  # stable: keeps the order of the record
        rows += [_cells(outcome, verdict) for verdict in worst[:SHOWN]]
        if len(worst) > SHOWN:
            rows.append(["", "", f"{len(worst) - SHOWN} more", *[""] * 5])
    if rows:
        console.print("not within tolerance, percent")
        print_table([titles, *rows], right=titles[3:7], drop=("difference",), console=console)
        console.print("--json has all metrics of all entries")
    counts = Counter(outcome.verdict for outcome in outcomes)
    summary = ", ".join(f"{counts[word]} {_marked(word)}" for word in STYLE if counts[word])
    console.print(f"{len(outcomes)} expected {'entry' if len(outcomes) == 1 else 'entries'}: {summary}")
    if counts[IMPROVED]:
        console.print("some scores improved: update the expected scores, or a later fall goes unnoticed")


def _cells(outcome: Outcome, v: Verdict) -> list[object]:
    entry = outcome.expected
    difference = None if v.got is None or v.expected is None else v.got - v.expected
    return [
        *(entry.method, f"{entry.dataset} ({entry.view})", v.metric),
        *(percent(v.expected), percent(v.got), percent(difference, sign=True), percent(v.tolerance)),
        styled(v.verdict + (f" ({v.why})" if v.why else ""), STYLE[v.verdict]),
    ]


def as_json(outcome: Outcome) -> Mapping[str, object]:
    """One outcome for --json."""
    entry = outcome.expected
    return {
        **{name: getattr(entry, name) for name in ("method", "dataset", "view", "k", "seed")},
        "expected_record": entry.record,
        "record": None if outcome.record is None else outcome.record.run_id,
        "verdict": outcome.verdict,
        "why": outcome.why,
        "metrics": [vars(verdict) for verdict in outcome.verdicts],
    }


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
    count = f"{len(fell)} of {len(outcomes)} expected entries fell, {len(unjudged)} could not be judged"
    hint = "Entries that could not be judged count as failed: see the reasons above."
    if fell:
        hint = "If the change is intended, raise the method's version and update the expected scores: CONTRIBUTING.md."
    return "\n".join([count, *fell, *unjudged]), hint


def _fell(outcome: Outcome) -> str:
    """Describe the first metric that fell (P@1 comes first), and count the others."""
    first, *more = [v for v in outcome.verdicts if v.verdict == FAIL]
    others = f", and {counted(len(more), 'more metric')}" if more else ""
    values = f"{percent(first.got)} where {percent(first.expected)} ± {percent(first.tolerance)} is expected"
    return f"FAIL: {outcome.expected}: {first.metric} {values}{others}"


def _marked(verdict: str) -> str:
    return f"[{STYLE[verdict]}]{verdict}[/]"
