"""Which runs make a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xmcbench.board.entries import entries_of, failures_of, tables_of
from xmcbench.results.record import Record
from xmcbench.results.store import Store

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


def test_the_newer_version_is_the_row(folder: Path, new_run: NewRun) -> None:
    ten = new_run("tree", method={"version": "10"})
    new_run("tree", method={"version": "9"})  # run later, of an older source
    assert ids(folder) == {"tree": [ten.run_id]}


def test_a_newer_version_with_other_parameters_is_the_row_too(folder: Path, new_run: NewRun) -> None:
    new_run("tree", method={"version": "1", "parameters": {"cost": 1.0, "folds": 3}})
    now = new_run("tree", method={"version": "2", "parameters": {"cost": 1.0, "effort": 1.0}})
    old = new_run("tree[beam=5]", method={"version": "1", "parameters": {"cost": 1.0, "beam": 5}})  # not run anew yet
    assert ids(folder) == {"tree": [now.run_id], "tree[beam=5]": [old.run_id]}


def test_of_predictions_from_outside_the_last_brought_is_the_row(folder: Path, new_run: NewRun) -> None:
    new_run("My method", seed=None, method={"version": "fff", "family": "external"})
    last = new_run("My method", seed=None, method={"version": "abc", "family": "external"})
    assert ids(folder) == {"My method": [last.run_id]}


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


def test_a_methods_file_in_two_states_is_one_row_and_two_distributions_are_two(folder: Path, new_run: NewRun) -> None:
    def by(**code: str) -> dict[str, Any]:
        return {"commit": None, "dirty": None, "method": code}

    new_run("mine", code=by(target="exp.py", sha256="aa"), seed=0)
    last = new_run("mine", code=by(target="exp.py", sha256="bb"), seed=1)
    new_run("theirs", code=by(target="a:M", origin="xmcbench-a"))
    new_run("theirs", code=by(target="b:M", origin="xmcbench-b"))
    entries = entries_of(Store(folder).records())
    assert [(e.label, len(e.runs)) for e in entries] == [("mine", 1), ("theirs", 1), ("theirs", 1)]
    assert entries[0].newest.run_id == last.run_id


def test_runs_are_ordered_by_time_whatever_the_zone_it_is_written_in(folder: Path, new_run: NewRun) -> None:
    late = new_run("tree", started_utc="2026-01-01T12:00:00+00:00")
    new_run("tree", started_utc="2026-01-01T13:00:00+02:00")
    assert ids(folder) == {"tree": [late.run_id]}


def test_predictions_that_another_took_the_name_of_are_told(folder: Path, new_run: NewRun) -> None:
    new_run("Alice", seed=None, method={"version": "fff", "family": "external"})
    new_run("Alice", seed=None, method={"version": "abc", "family": "external"})
    everything = Store(folder).records()
    assert failures_of(everything, entries_of(everything)) == [
        "Alice: not shown: 1 earlier file of predictions under this name"
    ]


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
