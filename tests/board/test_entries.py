"""Which runs make a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from xmcbench.board.entries import entries_of, failures_of, tables_of
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs import registry

NewRun = Callable[..., Record]


def ids(folder: Path) -> dict[str, list[str]]:
    return {e.label: [r.run_id for r in e.runs] for e in entries_of(Store(folder).records())}


def test_seeds_are_one_row_and_the_newest_run_of_a_seed_counts(folder: Path, new_run: NewRun) -> None:
    new_run("tree", seed=1)
    old, new, other = new_run("tree", seed=0), new_run("tree", seed=0), new_run("tree", seed=None)
    (entry,) = entries_of(Store(folder).records())
    assert [r.seed for r in entry.runs] == [None, 0, 1]
    assert [r.run_id for r in entry.runs] == [other.run_id, new.run_id, "0001-tree"]
    assert old.run_id in [r.run_id for r in entry.all_runs]  # it counts for costs
    assert entry.newest.run_id == other.run_id


def test_a_run_that_is_superseded_or_failed_is_no_row(folder: Path, new_run: NewRun) -> None:
    first = new_run("tree")
    second = new_run("tree", supersedes=first.run_id)
    new_run("tree", status="timeout", reason="too long")
    assert ids(folder) == {"tree": [second.run_id]}


HERE = registry.get("tree").info.version


def test_the_version_that_is_installed_takes_the_place_of_those_before(folder: Path, new_run: NewRun) -> None:
    now = new_run("tree", method={"version": HERE})
    new_run("tree", method={"version": "0"})  # run later, of an older source
    assert ids(folder) == {"tree": [now.run_id]}


def test_the_installed_version_with_other_parameters_is_the_row_too(folder: Path, new_run: NewRun) -> None:
    new_run("tree", method={"version": "0", "parameters": {"cost": 1.0, "folds": 3}})
    now = new_run("tree", method={"version": HERE, "parameters": {"cost": 1.0, "effort": 1.0}})
    old = new_run("tree[beam=5]", method={"version": "0", "parameters": {"cost": 1.0, "beam": 5}})  # not run anew yet
    assert ids(folder) == {"tree": [now.run_id], "tree[beam=5]": [old.run_id]}


def test_a_version_that_nobody_knows_hides_no_row(folder: Path, new_run: NewRun) -> None:
    ours, gone = new_run("tree", method={"version": HERE}), new_run("gone", method={"version": "1"})
    claimed = [new_run(label, method={"version": "99"}) for label in ("tree", "gone")]
    labels = {"tree": ours, "gone": gone, "tree (version 99)": claimed[0], "gone (version 99)": claimed[1]}
    assert ids(folder) == {label: [run.run_id] for label, run in labels.items()}


def test_predictions_from_outside_never_take_the_name_of_others(folder: Path, new_run: NewRun) -> None:
    first = new_run("My method", seed=None, method={"version": "fff", "family": "external"})
    last = new_run("My method", seed=None, method={"version": "abc", "family": "external"})
    assert ids(folder) == {"My method": [first.run_id], "My method (file abc)": [last.run_id]}


@pytest.mark.parametrize("supersedes", [False, True])
def test_a_repeat_with_other_values_is_a_row_of_its_own(folder: Path, new_run: NewRun, supersedes: bool) -> None:
    """Whoever wrote it, and whichever date it has: no record changes the values of a row."""
    fixed: dict[str, Any] = {"method": {"deterministic": True}}
    honest = [new_run("tree", np.arange(200) < 100, **fixed) for _ in range(2)]
    names = honest[1].run_id if supersedes else None
    for date in ("2025-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"):
        new_run("tree", np.arange(200) < 180, started_utc=date, supersedes=names, **fixed)
    rows = {frozenset(r.run_id for r in e.all_runs) for e in entries_of(Store(folder).records())}
    assert frozenset(r.run_id for r in honest) in rows
    assert len(rows) == 2


@pytest.mark.parametrize("change", ["version", "no rows", "no value", "selected"])
def test_a_further_seed_that_would_take_a_rank_away_is_a_row_of_its_own(
    folder: Path, new_run: NewRun, change: str
) -> None:
    honest = new_run("tree", np.arange(200) < 100)
    other = new_run("tree", np.arange(200) < 100, seed=1)
    metrics = {
        "version": [msgspec.structs.replace(m, version=0) for m in other.metrics],
        "no value": [m for m in other.metrics if m.name != "PSP@5"],
    }
    changes = {
        "no rows": {"board": None, "rows": None},
        "selected": {"selection": msgspec.structs.replace(other.selection, split="test")},
    }
    changed = changes.get(change) or {"metrics": metrics[change]}
    (folder / "records" / f"{other.run_id}.json").unlink()
    Store(folder).add(record_file.changed(other, **changed))
    assert [len(e.runs) for e in entries_of(Store(folder).records())] == [1, 1]
    assert ids(folder)["tree"] == [honest.run_id]


def test_what_differs_in_more_than_the_seed_is_another_row(folder: Path, new_run: NewRun) -> None:
    gpu = {"device": "cuda", "machine_class": {"scores": "cuda", "costs": "G"}, "threads": {"given": 2}}
    new_run("tree")
    new_run("tree[beam=5]", method={"parameters": {"beam": 5}})
    new_run("tree", dataset={"content_hash": "sha256:b"})
    new_run("tree", environment=gpu)
    new_run("tree", method={"family": "external"})
    new_run("tree", k=5)
    entries = entries_of(Store(folder).records())
    assert [e.label for e in entries] == ["tree", "tree", "tree", "tree (k=5)", "tree on cuda", "tree[beam=5]"]


def test_a_methods_file_in_two_states_and_two_distributions_are_two_rows(folder: Path, new_run: NewRun) -> None:
    def by(**code: str) -> dict[str, Any]:
        return {"commit": None, "dirty": None, "method": code}

    new_run("mine", code=by(target="exp.py", sha256="aa"), seed=0)
    new_run("mine", code=by(target="exp.py", sha256="bb"), seed=1)
    new_run("theirs", code=by(target="a:M", origin="xmcbench-a"))
    new_run("theirs", code=by(target="b:M", origin="xmcbench-b"))
    entries = entries_of(Store(folder).records())
    assert [(e.label, len(e.runs)) for e in entries] == [
        ("mine", 1),
        ("mine (file bb)", 1),
        ("theirs", 1),
        ("theirs", 1),
    ]


def test_runs_are_ordered_by_time_whatever_the_zone_it_is_written_in(folder: Path, new_run: NewRun) -> None:
    late = new_run("tree", started_utc="2026-01-01T12:00:00+00:00")
    new_run("tree", started_utc="2026-01-01T13:00:00+02:00")
    assert ids(folder) == {"tree": [late.run_id]}


def test_tables_are_by_data_set_and_view(folder: Path, new_run: NewRun) -> None:
    new_run("tree", dataset={"name": "z"})
    new_run("tree", dataset={"view": "title"})
    new_run("tree")
    assert list(tables_of(Store(folder).records())) == [("toy", "bow"), ("toy", "title"), ("z", "bow")]


def test_a_method_without_a_row_has_a_reason(folder: Path, new_run: NewRun) -> None:
    new_run("tree", status="error", reason="it broke")
    new_run("tree")
    new_run("slow", status="error", reason="it broke")
    new_run("slow", status="timeout", reason="after 60 s")
    new_run("shy", status="skipped")
    everything = Store(folder).records()
    assert failures_of(everything, entries_of(everything)) == ["shy: skipped", "slow: timeout (after 60 s)"]
