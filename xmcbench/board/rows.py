"""An entry → a row of the table model: values over seeds, flags, the command that repeats it."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from xmcbench.board.costs import costs_of
from xmcbench.board.entries import Entry, K, is_external
from xmcbench.board.model import Row, Run, Value
from xmcbench.results import record as records

FLOOR = "popularity"  # the method every plan holds: what scores without reading the input

Record = Mapping[str, Any]


def row_of(
    entry: Entry,
    names: Sequence[str],
    ends: Mapping[str, tuple[float | None, float | None]],
    ranks: Mapping[str, int | None],
    separated: Mapping[str, int],
    flags: Sequence[str],
) -> Row:
    """One row of a table.

    Parameters
    ----------
    names : metrics it shows, those of slices too. ends : of the intervals that are known over all seeds.
    ranks, separated : by tested metric. flags : those that came from looking at other rows; its own are added.
    """
    record = entry.newest
    method = record["method"]
    return Row(
        label=entry.label,
        name=method["name"],
        family=method.get("family") or "unknown",
        version=str(method.get("version")),
        origin=method.get("origin") or "unknown",
        parameters=dict(method.get("parameters") or {}),
        selection=selection_of(record),
        values={name: value_of(entry.runs, name, ends.get(name)) for name in names},
        ranks=dict(ranks),
        separated=dict(separated),
        costs=costs_of(entry.all_runs),
        flags=[*flags, *_own_flags(entry)],
        command=command_of(entry),
        runs=[_run(run, names) for run in entry.all_runs],
        floor=method["name"] == FLOOR and not is_external(record),
    )


def value_of(runs: Sequence[Record], name: str, ends: tuple[float | None, float | None] | None) -> Value:
    """Mean and spread over seeds; without `ends` of all seeds, the one run's own interval if there is one run."""
    values = [value for run in runs if (value := records.metric(run, name)) is not None]
    if len(values) < len(runs) or not values:
        return Value(None, seeds=len(values))
    if ends is None and len(runs) == 1:
        own = next(entry for entry in runs[0]["metrics"] if entry["name"] == name)
        ends = own.get("low"), own.get("high")
    low, high = ends or (None, None)
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Value(statistics.fmean(values), low, high, sd, len(values))


def selection_of(record: Record) -> str:
    """How parameters and epochs were chosen, in a sentence."""
    selection = record["selection"]
    tried, split = selection.get("tried"), selection.get("split")
    if is_external(record):
        return f"chosen on {split}, {selection.get('by')}"
    if split == "none":
        return "nothing was selected: parameters as given, no early stopping"
    what = selection.get("what") or "what the method selects"
    by = f" by {selection['by']}" if selection.get("by") else ""
    rows = "validation rows" if selection.get("rows") is None else f"{selection['rows']:,} validation rows ({split})"
    many = f", {tried} configurations tried" if tried and tried > 1 else ""
    return f"{what} chosen on {rows}{by}{many}"


def command_of(entry: Entry) -> str:
    """What a reader types to repeat a row: the label is what `xmcbench run` takes. "" for predictions from outside, and
    for a method in somebody's file: a command that a record brings along is nothing to be copied into a shell."""
    record = entry.newest
    method, data = record["method"], record["dataset"]
    if is_external(record) or "sha256" in (record["code"].get("method") or {}):
        return ""
    words = ["xmcbench", "run", method["label"], "--dataset", data["name"]]
    if data["view"] and not data["name"].startswith("synthetic"):  # which has one view
        words += ["--view", data["view"]]
    seeds = sorted({run["seed"] for run in entry.runs if run["seed"] is not None})
    if seeds not in ([], [0]):
        words += ["--seeds", ",".join(map(str, seeds))]
    if record["k"] != K:
        words += ["--k", str(record["k"])]
    if record["environment"].get("device") not in (None, "cpu"):
        words += ["--device", record["environment"]["device"]]
    return shlex.join(words)


def _own_flags(entry: Entry) -> list[str]:
    record, flags = entry.newest, []
    random = not record["method"].get("deterministic")
    if random and len(entry.runs) == 1:
        flags.append("single seed")
    if is_external(record):
        flags.append("external predictions")
    if record["selection"].get("split") in (None, "unknown"):
        flags.append("selection split unknown")
    costs = costs_of(entry.all_runs)
    if costs and costs[0].busy:
        flags.append("busy machine")
    if any(run["code"].get("dirty") for run in entry.runs):
        flags.append("changed code")
    return flags


def _run(run: Record, names: Sequence[str]) -> Run:
    return Run(
        run_id=run["run_id"],
        seed=run["seed"],
        started_utc=str(run["started_utc"]),
        commit=run["code"].get("commit"),
        machine=run["environment"].get("machine_class", {}).get("costs"),
        predictions_sha256=(run.get("predictions") or {}).get("sha256"),
        values={name: records.metric(run, name) for name in names if ":" not in name},
        others_cpu=run["costs"].get("others_cpu"),
    )
