"""Costs stay within one machine, and times of a busy one say so."""

from __future__ import annotations

from collections.abc import Callable

from xmcbench.board.costs import costs_of
from xmcbench.records.record import Record

NewRun = Callable[..., Record]
OTHER = {"device": "cpu", "machine_class": {"scores": "cpu", "costs": "B CPU"}, "threads": {"given": 8}}


def test_medians_of_one_machine(new_run: NewRun) -> None:
    runs = [new_run("tree", seed=i, costs={"fit_seconds": s}) for i, s in enumerate((1.0, 9.0, 2.0))]
    runs.append(new_run("tree", seed=3, costs={"fit_seconds": 100.0}, environment=OTHER))
    newer, older = costs_of(runs)
    assert (newer.machine, newer.threads, newer.runs, newer.fit_seconds) == ("B CPU", 8, 1, 100.0)
    assert (older.machine, older.threads, older.runs, older.fit_seconds) == ("A CPU, 2 cores, 8 GiB", 2, 3, 2.0)
    assert older.predict_ms_per_row == 1000 * 0.5 / 200
    assert older.model_bytes is None


def test_runs_of_a_busy_machine_count_only_where_there_are_no_others(new_run: NewRun) -> None:
    busy = new_run("tree", seed=0, costs={"fit_seconds": 50.0, "others_cpu": 0.4})
    quiet = new_run("tree", seed=1, costs={"fit_seconds": 5.0, "others_cpu": 0.01})
    unknown = new_run("tree", seed=2, costs={"fit_seconds": 7.0, "others_cpu": None})
    (both,), (alone,) = costs_of([busy, quiet, unknown]), costs_of([busy])
    assert (both.fit_seconds, both.busy, both.runs) == (6.0, False, 2)
    assert (alone.fit_seconds, alone.busy, alone.runs) == (50.0, True, 1)


def test_a_run_on_no_machine_costs_nothing_known(new_run: NewRun) -> None:
    assert costs_of([new_run("file", environment={})]) == []


def test_a_run_that_compiled_its_kernels_is_none_to_time(new_run: NewRun) -> None:
    first = new_run("tree", seed=0, costs={"fit_seconds": 18.0, "compile_seconds": 16.0})
    second = new_run("tree", seed=1, costs={"fit_seconds": 1.0, "compile_seconds": 0.01})
    (alone,), (both,) = costs_of([first]), costs_of([first, second])
    assert (alone.busy, both.busy, both.fit_seconds) == (True, False, 1.0)
    apart = new_run("tree", costs={"fit_seconds": 2.0, "compile_seconds": 16.0, "compile_excluded": True})
    (alone,) = costs_of([apart])
    assert (alone.busy, alone.fit_seconds) == (False, 2.0), "times without compilation are as good as any"
