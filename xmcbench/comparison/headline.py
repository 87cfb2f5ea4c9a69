"""One sentence on a comparison: which side is better, by how much, how sure that is, and what it costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xmcbench.amounts import duration, p_value, percent
from xmcbench.comparison.paired import BETTER, INCONCLUSIVE, SAME, UNKNOWN, WORSE, Gap
from xmcbench.records.busy import measured

if TYPE_CHECKING:
    from xmcbench.records.record import Record

METRIC = "nDCG@5"  # of the sentence, where both sides have it
Pair = tuple[float | None, float | None]  # of A and B
CLAIMS = {
    BETTER: "{b} (B) is better than {a} (A)",
    WORSE: "{b} (B) is worse than {a} (A)",
    INCONCLUSIVE: "no difference between {b} (B) and {a} (A) can be shown",
    SAME: "{b} (B) and {a} (A) are the same in every row",
    UNKNOWN: "{b} (B) can't be judged against {a} (A)",
}


@dataclass(frozen=True)
class Costs:
    """Medians over the runs of A and of B, None where unknown, as on boards: runs on a busy machine count only where
    there are no others.

    `why` says why the times can't be compared, or is "". `busy`: whether the machine was busy in all runs of A, of B.
    """

    fit_seconds: Pair
    ms_per_row: Pair
    model_bytes: Pair
    why: str
    busy: tuple[bool, bool] = (False, False)


def costs_of(runs_a: Sequence[Record], runs_b: Sequence[Record]) -> Costs:
    """The costs of both sides; times are comparable on one machine with one number of threads."""
    (counting_a, busy_a), (counting_b, busy_b) = measured(runs_a), measured(runs_b)

    def medians(cost: Callable[[Record], float | None]) -> Pair:
        known = [[value for run in runs if (value := cost(run)) is not None] for runs in (counting_a, counting_b)]
        a, b = (float(statistics.median(values)) if values else None for values in known)
        return a, b

    def per_row(run: Record) -> float | None:
        seconds, rows = run.costs.predict_seconds, run.dataset.n_test
        return None if seconds is None or not rows else 1000 * seconds / rows

    environments = [run.environment for run in (*runs_a, *runs_b)]
    why = ""
    if any(one.machine_class.costs is None for one in environments):
        why = "the machine of a run is unknown"
    elif len({one.machine_class.costs for one in environments}) > 1:
        why = "the runs are from different machines"
    elif len({one.threads.given for one in environments}) > 1:
        why = "the runs had different numbers of threads"
    fit, size = medians(lambda run: run.costs.fit_seconds), medians(lambda run: run.costs.model_bytes)
    return Costs(fit, medians(per_row), size, why, (busy_a, busy_b))


def main_gap(gaps: Sequence[Gap]) -> Gap | None:
    """The gap of `METRIC` if it has a verdict, else the first that has one, else that of `METRIC` or the first."""
    ordered = sorted(gaps, key=lambda gap: (gap.verdict == UNKNOWN, gap.metric != METRIC))
    return ordered[0] if ordered else None


def headline(runs_a: Sequence[Record], runs_b: Sequence[Record], gaps: Sequence[Gap]) -> str:
    """The sentence, without a full stop; its claim ends at the first colon and space."""
    gap, first, second = main_gap(gaps), runs_a[0], runs_b[0]
    verdict = UNKNOWN if gap is None else gap.verdict
    claim = CLAIMS[verdict].format(a=first.method.label, b=second.method.label)
    if first.dataset.content_hash == second.dataset.content_hash:
        claim = f"on {first.dataset.name}, {claim}"
    size, costs = _size(gap, _seeds(runs_a, runs_b)), ", ".join(_costs(costs_of(runs_a, runs_b)))
    return f"{claim}: {size}" + (f"; {costs}" if costs else "")


def _size(gap: Gap | None, seeds: str) -> str:
    if gap is None:
        return "the runs have no metrics"
    if gap.difference is None:
        return gap.why
    if gap.verdict == SAME:
        return f"{gap.metric} {percent(gap.got)}" + (f" ({seeds})" if seeds else "")
    facts = []
    if gap.low is not None and gap.p_adjusted is not None:
        interval = f"95 % interval {percent(gap.low, sign=True)} to {percent(gap.high, sign=True)}"
        facts.append(f"{interval}, adjusted p {p_value(gap.p_adjusted)}")
    facts += [text for text in (gap.why, seeds) if text]
    size = f"{gap.metric} {percent(gap.got)} against {percent(gap.expected)}"
    return f"{size}, {percent(gap.difference, sign=True)} points" + (f" ({'; '.join(facts)})" if facts else "")


def _seeds(runs_a: Sequence[Record], runs_b: Sequence[Record]) -> str:
    """The seeds that were compared; those of a deterministic method say nothing."""
    sides = {
        side: [str(run.seed) for run in runs if not run.method.deterministic and run.seed is not None]
        for side, runs in (("A", runs_a), ("B", runs_b))
    }
    by_seeds: dict[str, list[str]] = {}
    for side, seeds in sides.items():
        if seeds:
            by_seeds.setdefault(f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)}", []).append(side)
    if len(by_seeds) == 1:
        return next(iter(by_seeds))
    return ", ".join(f"{seeds} of {of[0]}" for seeds, of in by_seeds.items())


def _costs(costs: Costs) -> list[str]:
    """The costs of B against those of A that are known for both."""
    fit = _cost(costs.fit_seconds, duration, busy=costs.busy)
    per_row = _cost(costs.ms_per_row, lambda ms: f"{ms:.2f}", " ms per row", costs.busy)
    size = _cost(costs.model_bytes, lambda n: f"{n / 2**20:.1f}", " MiB")
    if costs.why:
        fit, per_row = f"times are not compared, since {costs.why}" if fit or per_row else "", ""
    else:
        fit, per_row = fit and f"fit {fit}", per_row and f"prediction {per_row}"
    return [part for part in (fit, per_row, size and f"model {size}") if part]


def _cost(pair: Pair, shown: Callable[[float], str], unit: str = "", busy: tuple[bool, bool] = (False, False)) -> str:
    """ "50 s (busy machine) against 2.0 s (25 ×)", or "" if one of both is unknown."""
    a, b = pair
    if a is None or b is None:
        return ""
    mark_a, mark_b = (" (busy machine)" if one else "" for one in busy)
    text = f"{shown(b)}{mark_b} against {shown(a)}{unit}{mark_a}"
    if not all(any(digit in shown(value) for digit in "123456789") for value in (a, b)):
        return text  # a ratio to what is shown as 0 would say nothing
    return f"{text} ({b / a:,.0f} ×)" if b / a >= 10 else f"{text} ({b / a:.2g} ×)"
