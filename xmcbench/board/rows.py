"""Makes a row of the table model from an entry: values over seeds, flags, and the command that repeats it."""

from __future__ import annotations

import re
import shlex
import statistics
from collections.abc import Collection, Mapping, Sequence

from xmcbench.board.costs import costs_of
from xmcbench.board.entries import Entry, K
from xmcbench.board.evidence import Evidence
from xmcbench.board.fits import key_of
from xmcbench.board.model import BUSY, Place, Row, Run, Value
from xmcbench.records.record import Record

UNRANKED = {"other data lineage", "other metric version", "contradicts others", "selected on test"}  # flags
LABEL = r"\w[\w.-]*(\[[^\[\]]*\])?"  # a name, not an option nor "file.py:Class", with parameters
FLOOR = "popularity"  # the baseline in every plan: a method that does not read the input


def row_of(
    entry: Entry,
    names: Sequence[str],
    ends: Mapping[str, tuple[float | None, float | None]],
    ranks: Mapping[str, Place | None],
    flags: Sequence[str],
) -> Row:
    """One row of a table.

    Parameters
    ----------
    names : metrics of the table, including slices. ends : metric → interval over all seeds, where known.
    ranks : by tested metric. flags : see `flags_of`.
    """
    record = entry.newest
    method = record.method
    return Row(
        label=entry.label,
        name=method.name,
        family=method.family or "unknown",
        version=method.version,
        origin=method.origin or "unknown",
        parameters=dict(method.parameters),
        selection=selection_of(record),
        values={name: value_of(entry.runs, name, ends.get(name)) for name in names},
        ranks=dict(ranks),
        costs=costs_of(entry.all_runs),
        flags=list(flags),
        command=command_of(entry),
        runs=[_run(run, names) for run in entry.all_runs],
        floor=method.name == FLOOR and not record.is_external,
        fit=key_of(record),
    )


def value_of(runs: Sequence[Record], name: str, ends: tuple[float | None, float | None] | None) -> Value:
    """Mean and spread over seeds; without `ends`, a single run's value gets the interval on record."""
    values = [value for run in runs if (value := run.metric(name)) is not None]
    if len(values) < len(runs) or not values:
        return Value(None, seeds=len(values))
    if ends is None and len(runs) == 1:
        metric = next(metric for metric in runs[0].metrics if metric.name == name)
        ends = metric.low, metric.high
    low, high = ends or (None, None)
    sd = statistics.stdev(values) if len(values) > 1 else None
    return Value(statistics.fmean(values), low, high, sd, len(values))


def selection_of(record: Record) -> str:
    """How parameters and epochs were chosen, as a sentence."""
    selection = record.selection
    tried, split = selection.tried, selection.split
    if record.is_external:
        return f"chosen on {split}, {selection.by}"
    if split == "none":
        return "nothing was chosen: parameters as given, no early stopping"
    what = selection.what or "parameters or epochs"
    by = f" by {selection.by}" if selection.by else ""
    rows = "validation rows" if selection.rows is None else f"{selection.rows:,} validation rows ({split})"
    count = f", {tried} configurations tried" if tried and tried > 1 else ""
    return f"{what} chosen on {rows}{by}{count}"


def command_of(entry: Entry) -> str:
    """The command that repeats a row, made from the method's label.

    "" for external predictions and for a method in a file, since a command must not make a reader run a record's file,
    and where a text of the record would be read as an option.
    """
    record = entry.newest
    method, data, device = record.method, record.dataset, record.environment.device
    if record.is_external or record.code.method.sha256 is not None or not re.fullmatch(LABEL, method.label):
        return ""
    if any(text.startswith("-") for text in (data.name, data.view, device or "")):
        return ""
    words = ["xmcbench", "run", method.label, "--dataset", data.name]
    if data.view and not data.name.startswith("synthetic"):  # synthetic data sets have one view
        words += ["--view", data.view]
    seeds = sorted({run.seed for run in entry.runs if run.seed is not None})
    if seeds not in ([], [0]):
        words += ["--seeds", ",".join(map(str, seeds))]
    if record.k != K:
        words += ["--k", str(record.k)]
    if device not in (None, "cpu"):
        words += ["--device", str(device)]
    return shlex.join(words)


def flags_of(
    row: Evidence, content: str, versions: Mapping[str, int], names: Sequence[str], disputed: Collection[str]
) -> list[str]:
    """Keys of `model.FLAGS` for a row.

    Parameters
    ----------
    content : content hash of the table's data. versions : newest version of each metric's definition on the board.
    names : metrics of the table. disputed : ids of runs that contradict most others on their data.
    """
    entry, newest = row.entry, row.entry.newest
    versions_used = {(m.name, m.version) for run in entry.runs for m in run.metrics if m.name in names}
    costs = costs_of(entry.all_runs)
    holds = {
        "other data lineage": entry.content != content,
        "selected on test": newest.selection.split == "test",
        "other metric version": any(version != versions.get(name) for name, version in versions_used),
        # paired tests need the same documents in the same groups, which another version of xmcbench may have changed
        "contradicts others": entry.content == content and any(run.run_id in disputed for run in entry.runs),
        "no per-row numbers": not row.metrics,
        "single seed": not newest.method.deterministic and len(entry.runs) == 1,
        "external predictions": newest.is_external,
        "selection split unknown": newest.selection.split in (None, "unknown"),
        BUSY: bool(costs) and costs[0].busy,
        "changed code": any(run.code.dirty for run in entry.runs),
    }
    return [flag for flag, it_holds in holds.items() if it_holds]


def _run(run: Record, names: Sequence[str]) -> Run:
    return Run(
        run_id=run.run_id,
        seed=run.seed,
        started_utc=run.started_utc,
        commit=run.code.commit,
        machine=run.environment.machine_class.costs,
        predictions_sha256=None if run.predictions is None else run.predictions.sha256,
        values={name: run.metric(name) for name in names if ":" not in name},
        others_cpu=run.costs.others_cpu,
    )
