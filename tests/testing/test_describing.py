"""What a method must say of itself, and which of its parameters are wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from tests.testing.plain import Plain
from xmcbench.method import MethodInfo, param
from xmcbench.testing.describing import info_problems


@dataclass(frozen=True)
class Undocumented:
    alpha: float = 0.1
    beta: int = param(1, "", "ours")
    gamma: int = param(1, "d", "s", query=(1, 2.0))


@dataclass(frozen=True)
class Odd:
    rate: float = param(float("inf"), "d", "s")
    decay: float = param(1, "d", "s")
    curve: float = param(1.0, "d", "s", query=(1.0, float("nan")))
    layers: list[int] = param(None, "d", "s")  # noqa: RUF009
    mode: Literal["mean", "max"] = param("sum", "d", "s")
    cost: float = param(1.0, "d", "s", tune=(0.3, 3.0, 3.0))
    steps: int = param(1, "d", "s", tune=(1, 2.0))


@dataclass(frozen=True)
class Even:
    beam: int | None = param(None, "labels looked at; None: all", "s", query=(None, 5, 30))
    mode: Literal["mean", "max"] = param("mean", "d", "s", query=("mean", "max"))
    top: Literal[1, 2] | None = param(None, "d", "s")


@dataclass
class Thawed:
    alpha: float = param(0.1, "d", "s")


@dataclass(frozen=True)
class OutOfBounds:
    rate: float = param(0.0, "d", "s", above=0)
    beam: int = param(5, "d", "s", least=1, query=(0, 5))


@dataclass(frozen=True)
class NoDefault:
    alpha: float


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Two Words"}, ["name 'Two Words'"]),
        ({"comparable": True}, ["comparable scores need a meaning"]),
        ({"scores": "a\nb"}, ["scores must be one line"]),
        ({"name": "a--b"}, ["name 'a--b'"]),
        ({"summary": ""}, ["summary"]),
        ({"summary": "two\nlines"}, ["summary"]),
        ({"family": "forest"}, ["family 'forest' is none of floor, tree"]),
        ({"version": ""}, ["version"]),
        ({"version": 1}, ["version"]),
        ({"citation": "Smith 2020"}, ["BibTeX"]),
        ({"needs": ("images",)}, ["images"]),
        ({"devices": ()}, ["devices"]),
        ({"devices": ("tpu",)}, ["tpu"]),
        ({"deterministic": True, "seeded": False}, ["contradict"]),
        ({"parameters": Thawed}, ["frozen"]),
        ({"parameters": NoDefault}, ["alpha has no default"]),
        ({"parameters": OutOfBounds}, ["rate: 0.0 is not above 0, its own bounds", "beam: 0 is not at least 1"]),
        (
            {"parameters": Undocumented},
            ["alpha has no doc", "alpha has no source", "beta has no doc", "query values (1, 2.0)"],
        ),
        (
            {"parameters": Odd},
            [
                "rate: default inf is not a finite float",
                "decay: default 1 is not a finite float",
                "query values (1.0, nan) are not all finite float",
                "layers: list[int] is not made of",
                "mode: default 'sum' is not a finite Literal['mean', 'max']",
                "cost: default 1.0 is not among the values to tune (0.3, 3.0, 3.0)",
                "cost: values to tune (0.3, 3.0, 3.0) repeat themselves",
                "steps: values to tune (1, 2.0) are not all finite int",
            ],
        ),
        ({"name": "X", "version": ""}, ["name 'X'", "version"]),
    ],
)
def test_incomplete_info_is_named(change: dict[str, Any], said: list[str]) -> None:
    problems = "; ".join(info_problems(dataclasses.replace(Plain.info, **change)))
    for text in said:
        assert text in problems


def test_complete_info_has_no_problem() -> None:
    good = MethodInfo(name="a-b2", summary="s", family="tree", version="1", citation="@article{x}")
    assert info_problems(good) == []
    assert info_problems(dataclasses.replace(good, parameters=Even)) == []
