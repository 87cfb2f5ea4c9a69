"""Processes that are about to do different things are refused before they start; rank 0 says which and how."""

from __future__ import annotations

from typing import Any

import pytest

from xmcbench.errors import UsageError, XmcError
from xmcbench.processes import Ranks
from xmcbench.runs.agreement import agree, compared, facts_of, refuse_undivided
from xmcbench.runs.plan import make_plan
from xmcbench.testing.worlds import tiny

SEED = {"xmcbench": "1.0", "seeds": "0"}


class Told(Ranks):
    """A rank that gets given answers from the others."""

    def __init__(self, rank: int, *others: dict[str, Any]) -> None:
        self.rank, self.count, self.nodes = rank, 1 + len(others), ["one", "two", "three"]
        self.others = list(others)

    def exchange(self, value: object) -> list[Any]:
        self.others.insert(self.rank, value)  # type: ignore[arg-type]
        return self.others


def answer(error: str = "", **facts: str) -> dict[str, Any]:
    return {"facts": SEED | facts, "error": error}


@pytest.mark.parametrize("rank", [0, 1])
def test_equal_processes_agree(rank: int) -> None:
    told = Told(rank, answer(), answer())
    agree(told, SEED)
    assert told.others == [answer()] * 3  # what this process told is between what the others did


def test_a_difference_names_rank_node_and_both_values() -> None:
    message = "rank 2 on three differs from rank 0 on one: xmcbench 1.1 instead of 1.0; seeds 3 instead of 0"
    with pytest.raises(UsageError, match=message) as caught:
        agree(Told(0, answer(), answer(xmcbench="1.1", seeds="3")), SEED)
    assert "rank 1" not in str(caught.value)
    with pytest.raises(UsageError, match="data of x none instead of abc"):
        agree(Told(0, answer()), SEED | {"data of x": "abc"})


def test_many_differences_are_counted() -> None:
    with pytest.raises(UsageError, match="c 1 instead of none and 2 more differences"):
        agree(Told(0, answer(a="1", b="1", c="1", d="1", e="1")), SEED)


def test_an_error_of_another_process_is_told_by_rank_0() -> None:
    with pytest.raises(XmcError, match="rank 1 on two: no such file"):
        agree(Told(0, answer("no such file")), SEED)


def test_rank_0_raises_its_own_error_and_the_others_end_without_one() -> None:
    with pytest.raises(XmcError, match="mine"), compared(Told(0, answer("mine"))):
        raise XmcError("mine")
    for own in (Told(1, answer("mine")), Told(1, answer(seeds="2"))):
        with pytest.raises(SystemExit) as ended, compared(own) as facts:
            facts |= SEED
        assert ended.value.code == 0
    with pytest.raises(SystemExit), compared(Told(1, answer())):
        raise XmcError("of rank 1")


def test_alone_nothing_is_compared() -> None:
    with compared(None) as facts:
        assert facts == {}
        facts["seeds"] = "0"
    refuse_undivided(make_plan(["popularity", "xrlinear"], ["x"]), None)


def test_methods_that_are_not_divided_are_refused_and_the_baseline_is_not() -> None:
    ranks = Told(0, answer())
    refuse_undivided(make_plan(["elias"], ["x"]), ranks)
    with pytest.raises(UsageError, match="knn, xrlinear: not trained by several processes, and 2 were started"):
        refuse_undivided(make_plan(["elias", "knn", "xrlinear"], ["x"]), ranks)


def test_facts_hold_all_that_results_depend_on() -> None:
    data = tiny()

    def facts(*methods: str, seed: int = 0, device: str = "cpu") -> dict[str, str]:
        plan = make_plan(methods, ["x"], seeds=[seed])
        return facts_of(plan, {(data.name, data.view): data}, device)

    base = facts("elias")
    assert base == facts("elias")
    changed = {"seeds": facts("elias", seed=1), "methods with parameters": facts("elias[beam=7]")}
    for name, other in changed.items():
        assert {key for key in base if base[key] != other[key]} == {name}
    assert base[f"data of {data.name} ({data.view})"] == data.content_hash[:16]
    assert base["kind of device"] == "cpu"
    assert base["torch"] != "none"
