"""What `xmcbench run` prints about tuning, per run, and at the end: tables of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xmcbench.cli.terminal import duration, percent, print_table, styled
from xmcbench.errors import counted
from xmcbench.escaping import one_line, safe

if TYPE_CHECKING:
    from rich.console import Console

    from xmcbench.records.record import Record
    from xmcbench.runs.spec import RunSpec

METRICS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@5", "R@100")
DROP = ("PSP@1", "P@3", "MiB", "ms/row", "R@100")  # to fit into 80 characters
STATUS_STYLE = {"ok": "green", "skipped": "yellow", "interrupted": "yellow"}


def announced(plan: Sequence[RunSpec]) -> list[str]:
    """One line with the grid per method to tune, and one line for methods with nothing to tune."""
    from xmcbench.runs.selection import BY, combinations, fits
    from xmcbench.runs.spec import spell

    lines = []
    for spec in {spec.label: spec for spec in plan if spec.grid}.values():
        grid = " × ".join(f"{name} {'|'.join(map(spell, values))}" for name, values in spec.grid or ())
        n_combinations, n_fits = len(combinations(spec)), len(fits(spec))
        count = counted(n_combinations, "combination")
        count += f" from {counted(n_fits, 'fit')}" if n_fits < n_combinations else ""
        rule = f"the best {BY} on validation rows is fitted as a normal run"
        lines.append(f"tuning {spec.label}: {grid}, {count}; {rule}")
    if untunable := dict.fromkeys(spec.label for spec in plan if spec.grid == ()):
        lines.append(f"nothing to tune: {', '.join(untunable)}")
    return lines


def line(record: Record, reused: bool = False) -> str:
    """One finished run as one line of rich markup; `print_results` shows the reason of a failure."""
    style, costs, p1 = STATUS_STYLE.get(record.status, "red"), record.costs, record.metric("P@1")
    seed = f", seed {record.seed}" if record.seed and not record.method.deterministic else ""  # 0 is the usual one
    parts = [f"[{style}]{record.status}[/]", f"{safe(record.method.label)} on {safe(record.dataset.name)}{seed}"]
    if p1 is not None:
        parts.append(f"P@1 {percent(p1)}")
    if costs.fit_seconds is not None:
        parts.append(f"fit {duration(costs.fit_seconds)}")
    if (costs.compile_seconds or 0.0) >= 0.05 and not reused:
        parts.append(f"compiling {duration(costs.compile_seconds)}, once")
    if costs.tune_seconds is not None:
        parts.append(f"tuning {duration(costs.tune_seconds)}")
    if reused:
        parts.append("[dim]already done, not run again[/]")
    return " · ".join(parts)


def print_results(console: Console, records: Sequence[Record]) -> None:
    """Print a table of metrics in percent per data set, with the best reachable values and the failed runs below."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        data = record.dataset
        groups.setdefault((f"{data.name} ({data.view})", data.content_hash), []).append(record)
    for (title, _), group in groups.items():
        successful = [record for record in group if record.status == "ok"]
        if successful:
            console.print(f"[bold]{safe(title)}, percent[/]")
            _print_scores(console, successful)
        for record in group:
            if text := chosen(record):
                console.print(safe(f"{_name(record)}: {text}"))
            if record.status != "ok":
                console.print(f"{line(record)}: {safe(one_line(record.reason or ''))}")
        noted: dict[str, list[str]] = {}
        for record in successful:
            for note in dict.fromkeys([*record.noted("scoring"), *record.noted("remarks")]):
                noted.setdefault(note, []).append(_name(record))
        for note, runs in noted.items():
            of = "" if len(runs) == len(successful) else f"{'; '.join(runs)}: "  # a note on all runs names none
            console.print(safe(f"note: {of}{note}"))


def _name(record: Record) -> str:
    """The label of a run, with its seed if the results depend on it."""
    return record.method.label + ("" if record.method.deterministic else f", seed {record.seed}")


def _print_scores(console: Console, records: Sequence[Record]) -> None:
    """The usual metrics that the records have, else their first ones; the best P@1 comes first."""
    first = records[0]
    names = [one.name for one in first.metrics]
    names = [name for name in METRICS if name in names] or names[: len(METRICS)]
    titles = ("method", "seed", *names, "fit", "ms/row", "MiB")
    rows: list[Sequence[object]] = [
        _cells(r, names) for r in sorted(records, key=lambda r: -(r.metric(names[0]) or 0.0) if names else 0.0)
    ]
    best = {one.name: one.best for one in first.metrics}
    optimum = first.best_reachable or {}  # synthetic data: the optimum given the generating distribution
    for label, values in (("best reachable", best), ("optimal predictor", optimum)):
        if values:
            cells = [percent(values[name]) if name in values else "" for name in names]
            rows.append([styled(cell, "dim") for cell in (label, "", *cells, "", "", "")])
    print_table([titles, *rows], right=titles[1:], drop=DROP, console=console)


def _cells(record: Record, names: Sequence[str]) -> list[str]:
    costs, n_test = record.costs, max(record.dataset.n_test, 1)
    return [
        record.method.label,
        "" if record.method.deterministic else str(record.seed),
        *(percent(record.metric(name)) for name in names),
        duration(costs.fit_seconds),
        "–" if costs.predict_seconds is None else f"{1e3 * costs.predict_seconds / n_test:.2f}",
        "–" if costs.model_bytes is None else f"{costs.model_bytes / 2**20:.1f}",
    ]


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
    tried, on = counted(len(trials), "combination"), counted(rows or 0, "validation row")
    text = f"{spell_values(best)}, the best {BY} of {tried} on {on}: "
    text += percent(score)
    if trials[0].parameters == best:
        text += ", at the defaults"
    elif trials[0].score is not None:
        text += f", {percent(trials[0].score)} at the defaults"
    if failed := [trial for trial in trials if trial.score is None]:
        reason = one_line(failed[0].reason)
        text += f"; {len(failed)} failed, {spell_values(failed[0].parameters)}: {reason}"
    return text
