"""One rule for every comparison."""

from __future__ import annotations

from typing import Any

import pytest

from tests.minimal import minimal_raw
from xmcbench.comparison.compare import compare, judge, tolerance_of
from xmcbench.records import record_file
from xmcbench.records.record import Record


@pytest.mark.parametrize(
    ("got", "verdict"),
    [(0.5, "OK"), (0.4991, "OK"), (0.4986, "OKISH"), (0.4984, "FAIL"), (0.5014, "OKISH"), (0.5016, "IMPROVED")],
)
def test_the_rule(got: float, verdict: str) -> None:
    assert judge(0.5, got, 0.001) == verdict


def record(value: float = 0.5, *, seed: int = 0, deterministic: bool = False, **changes: Any) -> Record:
    """Of what is given for its data set or method, the rest is as in the others."""
    base = minimal_raw(seed=seed, environment={"device": "cpu"})
    base |= {"metrics": [{"name": "P@1", "value": value, "version": 1}], **changes}
    base["method"] = {**minimal_raw()["method"], "deterministic": deterministic, **changes.get("method", {})}
    base["dataset"] = {**minimal_raw()["dataset"], **changes.get("dataset", {})}
    return record_file.of(base)


def test_a_deterministic_method_has_no_room() -> None:
    assert tolerance_of(record(deterministic=True), "P@1", []) == 1e-9
    assert compare(record(deterministic=True), record(0.4999, deterministic=True))[0].verdict == "FAIL"


def test_three_seeds_give_the_tolerance() -> None:
    seeds = [record(0.50, seed=0), record(0.52, seed=1), record(0.48, seed=2)]
    assert tolerance_of(seeds[0], "P@1", seeds) == pytest.approx(0.04)
    assert tolerance_of(seeds[0], "P@1", seeds[:2]) == 0.005
    assert compare(seeds[0], record(0.47), seeds)[0].verdict == "OK"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dataset": {"content_hash": "b"}}, "other data"),
        ({"environment": {"device": "cuda"}}, "other kind of device"),
        ({"metrics": [{"name": "P@1", "value": 0.5, "version": 2}]}, "other metric definition"),
        ({"metrics": []}, "no value"),
    ],
)
def test_what_cannot_be_compared_is_unknown(changes: dict[str, Any], why: str) -> None:
    verdict = compare(record(), record(**changes))[0]
    assert (verdict.verdict, verdict.why) == ("UNKNOWN", why)


def test_seeds_of_a_tuned_run_are_one_family_whatever_each_chose() -> None:
    def tuned(value: float, seed: int, cost: float, grid: list[float]) -> Record:
        tuning = {"grid": {"cost": grid}, "trials": []}
        method = {"parameters": {"cost": cost, "rounds": 3}}
        return record(value, seed=seed, selection={"tuning": tuning}, method=method)

    usual = [0.3, 1.0, 3.0]
    seeds = [tuned(0.50, 0, 1.0, usual), tuned(0.52, 1, 3.0, usual), tuned(0.48, 2, 0.3, usual)]
    assert compare(seeds[0], seeds[1], seeds)[0].tolerance == pytest.approx(0.04)
    others = [*seeds[:2], tuned(0.48, 2, 1.0, [1.0, 9.0])]
    assert compare(seeds[0], seeds[1], others)[0].tolerance == 0.005
