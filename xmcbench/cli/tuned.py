"""What a user is told of tuning: what will be tried, and what was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmcbench.runs.plan import RunSpec


def announced(plan: Sequence[RunSpec]) -> list[str]:
    """A line for each method that will be tuned, with what is tried, and one for those with nothing to tune."""
    from xmcbench.runs.grid import BY, combinations, fits
    from xmcbench.runs.plan import spell

    lines = []
    for spec in {spec.label: spec for spec in plan if spec.grid}.values():
        grid = " × ".join(f"{name} {'|'.join(map(spell, values))}" for name, values in spec.grid or ())
        tried, fitted = len(combinations(spec)), len(fits(spec))
        count = f"{tried} combinations" + (f" from {fitted} fits" if fitted < tried else "")
        lines.append(
            f"tuning {spec.label}: {grid}, {count}; the best {BY} on validation rows is fitted as a normal run"
        )
    if idle := list(dict.fromkeys(spec.label for spec in plan if spec.grid == ())):
        lines.append(f"nothing to tune: {', '.join(idle)}")
    return lines


def chosen(record: Mapping[str, Any]) -> str:
    """What was chosen in a record's run, of how many, on which rows, and what failed; "" where nothing was tuned."""
    from xmcbench.runs.grid import BY
    from xmcbench.runs.tuning import told

    selection = record["selection"]
    tuning = selection.get("tuning")
    if tuning is None or record["status"] != "ok":
        return ""
    trials = tuning["trials"]
    best = {name: record["method"]["parameters"][name] for name in tuning["grid"]}
    score = next(trial["score"] for trial in trials if trial["parameters"] == best)
    text = f"{told(best)}, the best {BY} of {len(trials)} combinations on {selection['rows']:,} validation rows: "
    text += f"{100 * score:.2f}"
    usual = trials[0]["score"]
    if trials[0]["parameters"] == best:
        text += ", at the defaults"
    elif usual is not None:
        text += f", {100 * usual:.2f} at the defaults"
    if failed := [trial for trial in trials if trial["score"] is None]:
        reason = " ".join(str(failed[0]["reason"]).split())
        text += f"; {len(failed)} failed, {told(failed[0]['parameters'])}: {reason}"
    return text
