"""The sentence on a comparison, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from tests.minimal import minimal_raw
from xmcbench.comparison.headline import Costs, costs_of, headline, main_gap
from xmcbench.comparison.paired import Gap
from xmcbench.records import record_file
from xmcbench.records.record import Record

BETTER = Gap("nDCG@5", 0.8572, 0.8629, 0.0057, 0.001, 0.0104, 0.001, 0.012, 18, 9, "better")
MIB = 2**20


def run(label: str, seed: int | None = 0, machine: str | None = "m", threads: int = 2, **changes: Any) -> Record:
    """A run with costs as given: fit_seconds, predict_seconds (of 4 rows), model_bytes."""
    names = ("fit_seconds", "predict_seconds", "model_bytes", "others_cpu")
    costs = {name: changes.pop(name, None) for name in names}
    fixed = changes.pop("deterministic", False)
    method = {**minimal_raw()["method"], "name": label, "label": label, "deterministic": fixed}
    dataset = {**minimal_raw()["dataset"], "name": "icd10cm", "n_test": 4, **changes.pop("dataset", {})}
    environment = {"machine_class": {"costs": machine}, "threads": {"given": threads}}
    raw = minimal_raw(f"{label}-{seed}", seed=seed, method=method, dataset=dataset, environment=environment)
    return record_file.of({**raw, "costs": costs})


A = [run("tree", seed, fit_seconds=2.0, predict_seconds=0.0028, model_bytes=MIB) for seed in (0, 1)]
B = [
    run("elias", seed, fit_seconds=s, predict_seconds=0.0164, model_bytes=20 * MIB)
    for seed, s in ((0, 40.0), (1, 60.0))
]


def test_size_interval_seeds_and_costs_are_in_one_sentence() -> None:
    assert headline(A, B, [Gap("P@1", 0.5, 0.4, -0.1, verdict="worse"), BETTER]) == (
        "on icd10cm, elias (B) is better than tree (A): nDCG@5 86.29 against 85.72, +0.57 points (95 % interval +0.10 "
        "to +1.04, adjusted p 0.0120; seeds 0, 1); fit 50 s against 2.0 s (25 ×), prediction 4.10 against 0.70 ms per "
        "row (5.9 ×), model 20.0 against 1.0 MiB (20 ×)"
    )


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (
            Gap("nDCG@5", 0.5, 0.4, -0.1, -0.2, -0.05, 0.0, 0.0, 0, 9, "worse"),
            "on icd10cm, y (B) is worse than x (A): nDCG@5 40.00 against 50.00, -10.00 points (95 % interval -20.00 to "
            "-5.00, adjusted p <1e-308; seed 0)",
        ),
        (
            Gap("nDCG@5", 0.5, 0.6, 0.1, -0.1, 0.3, 0.2, 1.0, 5, 4, "inconclusive"),
            "on icd10cm, no difference between y (B) and x (A) can be shown: nDCG@5 60.00 against 50.00, +10.00 points "
            "(95 % interval -10.00 to +30.00, adjusted p 1.0000; seed 0)",
        ),
        (
            Gap("nDCG@5", 0.5, 0.5, 0.0, 0.0, 0.0, 1.0, 1.0, 0, 0, "same"),
            "on icd10cm, y (B) and x (A) are the same in every row: nDCG@5 50.00 (seed 0)",
        ),
        (
            Gap("nDCG@5", 0.5, 0.6, 0.1, why="no rows to pair"),
            "on icd10cm, y (B) can't be judged against x (A): nDCG@5 60.00 against 50.00, +10.00 points (no rows to "
            "pair; seed 0)",
        ),
        (
            Gap("nDCG@5", 0.5, None, why="no value in B"),
            "on icd10cm, y (B) can't be judged against x (A): no value in B",
        ),
        (None, "on icd10cm, y (B) can't be judged against x (A): the runs have no metrics"),
    ],
)
def test_a_sentence_for_each_verdict(gap: Gap | None, expected: str) -> None:
    assert headline([run("x")], [run("y")], [] if gap is None else [gap]) == expected


def test_seeds_that_differ_are_named_by_side_and_those_of_deterministic_runs_not_at_all() -> None:
    assert "; seed 5 of A, seed 9 of B)" in headline([run("x", 5)], [run("y", 9)], [BETTER])
    assert "; seeds 3, 4)" in headline([run("x", 0, deterministic=True)], [run("y", 3), run("y", 4)], [BETTER])
    fixed = [run("x", 0, deterministic=True)], [run("y", None, deterministic=True)]
    assert headline(*fixed, [BETTER]).endswith("adjusted p 0.0120)")


def test_runs_on_other_data_name_none() -> None:
    other = run("y", dataset={"content_hash": "another"})
    gap = Gap("nDCG@5", 0.5, 0.6, 0.1, why="other data")
    assert headline([run("x")], [other], [gap]).startswith("y (B) can't be judged against x (A): nDCG@5 60.00")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"machine": "n"}, "the runs are from different machines"),
        ({"machine": None}, "the machine of a run is unknown"),
        ({"threads": 1}, "the runs had different numbers of threads"),
    ],
)
def test_times_of_different_machines_are_not_compared_and_sizes_are(changes: dict[str, Any], why: str) -> None:
    b = run("elias", 0, fit_seconds=9.0, model_bytes=3 * MIB, **changes)
    assert costs_of(A[:1], [b]).why == why
    assert headline(A[:1], [b], [BETTER]).endswith(
        f"; times are not compared, since {why}, model 3.0 against 1.0 MiB (3 ×)"
    )


def test_costs_are_medians_and_unknown_ones_are_left_out() -> None:
    runs = [run("y", seed, fit_seconds=seconds) for seed, seconds in ((0, 1.0), (1, 5.0), (2, 30.0))]
    assert costs_of(A, runs) == Costs((2.0, 5.0), (0.7, None), (MIB, None), "")
    assert headline(A, runs, [BETTER]).endswith("; fit 5.0 s against 2.0 s (2.5 ×)")
    assert headline([run("x")], [run("y", machine=None)], [BETTER]).endswith("seed 0)"), "no costs at all"


def test_times_of_a_busy_machine_are_marked_as_on_boards() -> None:
    busy = run("elias", 0, fit_seconds=546.0, predict_seconds=0.0164, model_bytes=2 * MIB, others_cpu=0.4)
    assert headline(A[:1], [busy], [BETTER]).endswith(
        "; fit 9 min 6 s (busy machine) against 2.0 s (273 ×), prediction 4.10 (busy machine) against 0.70 ms per row "
        "(5.9 ×), model 2.0 against 1.0 MiB (2 ×)"
    )
    assert "fit 2.0 s against 9 min 6 s (busy machine) (0.0037 ×)" in headline([busy], A[:1], [BETTER])
    quiet = run("elias", 1, fit_seconds=40.0, others_cpu=0.1)
    assert costs_of(A, [busy, quiet]).fit_seconds == (2.0, 40.0)
    assert headline(A[:1], [busy, quiet], [BETTER]).endswith("; fit 40 s against 2.0 s (20 ×)")


def test_what_is_shown_as_0_has_no_ratio() -> None:
    instant = run("popularity", fit_seconds=0.001, predict_seconds=0.0, model_bytes=100)
    for pair in (([instant], A[:1]), (A[:1], [instant])):
        said = headline(*pair, [BETTER])
        assert "×" not in said
        assert "0.0 s" in said


def test_the_sentence_is_by_ndcg_at_5_if_that_was_judged() -> None:
    p1, unknown = Gap("P@1", 0.1, 0.2, 0.1, verdict="same"), Gap("nDCG@5", 0.1, None, why="no value in B")
    assert main_gap([p1, BETTER]) is BETTER
    assert main_gap([unknown, p1]) is p1
    assert main_gap([Gap("P@1", None, 0.1), unknown]) is unknown
    assert main_gap([]) is None
