"""Estimates of what runs need, and the runs that are skipped because of them."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from xmcbench.errors import XmcError
from xmcbench.method import Facts, Footprint, Machine, MethodInfo, param
from xmcbench.runs.footprint import COMPILING, ROW, advice, of_run, smaller_values, too_large
from xmcbench.runs.spec import RunSpec

GIB = 1 << 30
PROCESS = GIB // 4
MACHINE = Machine(2, "cpu")
DATA = Facts("d", "bow", 1000, 100, 50, 300, frozenset({"features"}), entries=7000, test_entries=700, pairs=2000)


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process takes is measured again and again; here it takes this."""
    monkeypatch.setattr("xmcbench.runs.footprint.BASE", PROCESS)


@dataclass(frozen=True)
class Params:
    trees: int = param(8, "GiB that it needs", "ours: a test", above=0, tune=(4, 8, 16))
    kind: Literal["dense", "sparse"] = param("dense", "dense needs twice that", "ours: a test")
    share: float = param(0.5, "changes no need", "ours: a test", most=5)
    seed: int = param(64, "changes no need", "ours: a test")


class Greedy:
    """A method whose need is known by its parameters alone."""

    info = MethodInfo("greedy", "for tests", "floor", "1", parameters=Params)

    def __init__(self, params: Any) -> None:
        self.params = params

    def footprint(self, data: Facts, machine: Machine) -> Any:
        return Footprint(GIB * self.params.trees * (2 if self.params.kind == "dense" else 1), disk=7)


class Silent(Greedy):
    footprint = None  # type: ignore[assignment]


class Wrong(Greedy):
    def footprint(self, data: Facts, machine: Machine) -> Any:
        return Footprint(-1)


class Texts(Greedy):
    def footprint(self, data: Facts, machine: Machine) -> Any:
        return "16 GiB"


def spec(method: Any = Greedy, grid: Any = None, **values: Any) -> RunSpec:
    return RunSpec("greedy", method, Params(**values), "d", None, 0, 10, grid)


def test_a_runs_need_is_the_methods_and_the_data_and_the_predictions() -> None:
    """7,700 features and 2,200 labels of 8 bytes, 1,100 rows of 16; 100 rows × 10 labels of 8 bytes, twice."""
    harness = 8 * 7700 + 8 * 2200 + 16 * 1100 + 2 * 8000 + 100 * ROW
    need = of_run(spec(), DATA, MACHINE)
    assert need is not None
    assert need.memory == PROCESS + harness + 16 * GIB
    assert need.disk == 8000 + 100 * 200 + 7


class Tiny(Greedy):
    def footprint(self, data: Facts, machine: Machine) -> Any:
        return Footprint(1)


def test_the_first_run_on_a_machine_compiles() -> None:
    tiny, greedy = of_run(spec(Tiny), DATA, MACHINE), of_run(spec(trees=1), DATA, MACHINE)
    assert tiny is not None
    assert greedy is not None
    assert greedy.memory - tiny.memory == 2 * GIB - COMPILING


def test_a_tuned_run_needs_what_its_largest_combination_needs() -> None:
    tuned, largest = (of_run(one, DATA, MACHINE) for one in (spec(grid=(("trees", (4, 8, 16)),)), spec(trees=16)))
    assert tuned == largest


def test_without_an_estimate_a_run_always_starts(tmp_path: Path) -> None:
    assert of_run(spec(Silent), DATA, MACHINE) is None
    assert too_large(spec(Silent), DATA, MACHINE, 1, tmp_path) is None


@pytest.mark.parametrize("method", [Wrong, Texts])
def test_a_wrong_estimate_is_named(method: Any) -> None:
    with pytest.raises(XmcError, match="footprint returned"):
        of_run(spec(method), DATA, MACHINE)


def test_what_does_not_fit_is_refused_with_the_parameter_that_helps(tmp_path: Path) -> None:
    assert too_large(spec(), DATA, MACHINE, 17 * GIB, tmp_path) is None
    said = too_large(spec(), DATA, MACHINE, 12 * GIB, tmp_path)
    assert said == (
        "needs about 16.3 GiB of memory, and 12.0 GiB are the limit (--memory); trees=4 would need about 8.3 GiB"
    ), "of trees=4 and kind=sparse, which need the same, the first"


def test_the_smallest_change_that_fits_is_named() -> None:
    assert advice(spec(trees=9), DATA, MACHINE, 10 * GIB, None) == "kind=sparse would need about 9.3 GiB"


def test_where_no_single_parameter_is_enough_the_best_is_named() -> None:
    said = advice(spec(), DATA, MACHINE, GIB, None)
    assert said.startswith("even trees=1 would need about 2.3 GiB: use fewer rows")
    assert (
        advice(spec(trees=1, kind="sparse"), DATA, MACHINE, GIB, GIB)
        == "no parameter lowers that enough: use fewer rows or labels, or a larger --memory"
    )


def test_numbers_that_are_not_whole_go_up_and_down() -> None:
    assert [value for _, value in smaller_values(spec()) if value.share == 5.0], "ten times 0.5"
    assert not [value for _, value in smaller_values(spec()) if value.share > 5], "as far as its bounds allow"


def test_without_a_limit_what_is_available_counts(tmp_path: Path) -> None:
    said = too_large(spec(trees=1 << 20), DATA, MACHINE, None, tmp_path)
    assert said is not None
    assert "are available; trees=" in said


def test_too_little_disk_is_refused_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(20_000))
    said = too_large(spec(), replace(DATA, n_test=0), MACHINE, 17 * GIB, tmp_path / "not" / "there")
    assert said is None
    said = too_large(spec(), DATA, MACHINE, 17 * GIB, tmp_path / "not" / "there")
    assert said is not None
    assert said.startswith("writes up to 27 KiB (model, checkpoints, predictions), and 20 KiB are free on the disk")
