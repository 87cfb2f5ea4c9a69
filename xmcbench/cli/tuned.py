"""Describe tuning to the user: the grid before the run, the selected parameters after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmcbench.results.record import Record
    from xmcbench.runs.plan import RunSpec


def announced(plan: Sequence[RunSpec]) -> list[str]:
    """One line with the grid per method to tune, and one line for methods with nothing to tune."""
    from xmcbench.runs.plan import spell
    from xmcbench.runs.selection import BY, combinations, fits

    lines = []
    for spec in {spec.label: spec for spec in plan if spec.grid}.values():
        grid = " × ".join(f"{name} {'|'.join(map(spell, values))}" for name, values in spec.grid or ())
        n_combinations, n_fits = len(combinations(spec)), len(fits(spec))
        count = f"{n_combinations} combinations" + (f" from {n_fits} fits" if n_fits < n_combinations else "")
        lines.append(
            f"tuning {spec.label}: {grid}, {count}; the best {BY} on validation rows is fitted as a normal run"
        )
    if untunable := list(dict.fromkeys(spec.label for spec in plan if spec.grid == ())):
        lines.append(f"nothing to tune: {', '.join(untunable)}")
    return lines


def chosen(record: Record) -> str:
    """The selected parameters, number of combinations, rows and failures of a tuned run; "" for other runs."""
    from xmcbench.runs.selection import BY
    from xmcbench.runs.tuning import spell_values

    tuning, rows = record.selection.tuning, record.selection.rows
    if tuning is None or record.status != "ok":
        return ""
    trials = tuning.trials
    best = {name: record.method.parameters[name] for name in tuning.grid}
    score = next(trial.score for trial in trials if trial.parameters == best and trial.score is not None)
    text = f"{spell_values(best)}, the best {BY} of {len(trials)} combinations on {rows:,} validation rows: "
    text += f"{100 * score:.2f}"
    default_score = trials[0].score
    if trials[0].parameters == best:
        text += ", at the defaults"
    elif default_score is not None:
        text += f", {100 * default_score:.2f} at the defaults"
    if failed := [trial for trial in trials if trial.score is None]:
        reason = " ".join(str(failed[0].reason).split())
        text += f"; {len(failed)} failed, {spell_values(failed[0].parameters)}: {reason}"
    return text
