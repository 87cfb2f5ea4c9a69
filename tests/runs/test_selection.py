"""What tuning tries: every combination once, the usual ones first, in groups that share a fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xmcbench.method import MethodInfo, param
from xmcbench.methods.popularity import Popularity
from xmcbench.runs.selection import combinations, fits, grid_of
from xmcbench.runs.spec import RunSpec


@dataclass(frozen=True)
class Params:
    cost: float = param(1.0, "d", "s", tune=(0.3, 1.0, 3.0, 9.0))
    beam: int = param(10, "d", "s", query=(10, 20), tune=(10, 20))
    rounds: int = param(3, "d", "s")


class Toy(Popularity):
    info = MethodInfo("toy", "for tests", "other", "1", parameters=Params)


def spec(**given: Any) -> RunSpec:
    return RunSpec("toy", Toy, Params(**given), "d", None, 0, 5, grid_of(Toy.info, given))


def test_combinations_begin_with_the_defaults_and_go_outward() -> None:
    found = [tuple(one.values()) for one in combinations(spec())]
    assert found == [(1.0, 10), (0.3, 10), (1.0, 20), (3.0, 10), (0.3, 20), (3.0, 20), (9.0, 10), (9.0, 20)]


def test_what_differs_in_query_parameters_alone_is_one_group() -> None:
    found = [[tuple(one.values()) for one in group] for group in fits(spec())]
    assert found == [[(cost, 10), (cost, 20)] for cost in (1.0, 0.3, 3.0, 9.0)]
    assert fits(spec(cost=3.0)) == [[{"beam": 10}, {"beam": 20}]]


def test_without_a_grid_there_is_nothing_to_fit() -> None:
    assert fits(RunSpec("toy", Toy, Params(), "d", None, 0, 5)) == []
    assert fits(spec(cost=1.0, beam=10)) == []
