from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from xmcbench.errors import UsageError
from xmcbench.method import Bounds, Inputs, Method, MethodInfo, NoParams, TrainData, check_bounds, param
from xmcbench.methods.popularity import Popularity
from xmcbench.runs.registry import BUILT_IN, get
from xmcbench.testing.describing import info_problems

X = sp.csr_matrix(np.arange(12, dtype=np.float32).reshape(4, 3))
Y = sp.csr_matrix(np.eye(4, 5, dtype=np.float32))
TEXTS = ["a", "b", "c", "d"]
DATA = TrainData(X, TEXTS, list("vwxyz"), 5, Y)


@given(st.lists(st.integers(-4, 3), max_size=6))
def test_rows_picks_the_same_rows_everywhere_in_that_order(which: list[int]) -> None:
    part = DATA.rows(np.array(which, dtype=int))
    assert np.array_equal(part.features.toarray(), X.toarray()[which])
    assert np.array_equal(part.labels.toarray(), Y.toarray()[which])
    assert list(part.texts or ()) == [TEXTS[i] for i in which]
    assert (part.label_texts, part.n_labels, part.n_rows) == (DATA.label_texts, 5, len(which))


@given(st.slices(4))
def test_rows_of_a_slice(which: slice) -> None:
    part = DATA.inputs().rows(which)
    assert type(part) is Inputs
    assert np.array_equal(part.features.toarray(), X.toarray()[which])
    assert list(part.texts or ()) == TEXTS[which]


@pytest.mark.parametrize("which", [[True, False, False, True], [False] * 4])
def test_rows_of_a_mask(which: list[bool]) -> None:
    part = DATA.rows(np.array(which))
    kept = np.flatnonzero(which)
    assert np.array_equal(part.features.toarray(), X.toarray()[kept])
    assert list(part.texts or ()) == [TEXTS[i] for i in kept]


def test_rows_without_features_or_without_texts() -> None:
    only_texts = Inputs(None, TEXTS, None, 5)
    assert (only_texts.n_rows, only_texts.rows(slice(1, 3)).n_rows) == (4, 2)
    only_features = Inputs(X, None, None, 5)
    assert only_features.rows(np.array([2])).texts is None
    assert Inputs(None, None, None, 5).n_rows == 0


def test_inputs_of_training_data_carry_no_labels() -> None:
    assert not hasattr(DATA.inputs(), "labels")


@dataclass(frozen=True)
class Params:
    width: int = param(3, "how wide", "ours: a guess", query=(3, 5))
    depth: int = param(2, "how deep", "paper, table 1", tune=(1, 2))


def test_query_and_tunable_parameters_are_those_with_values() -> None:
    info = MethodInfo("m", "s", "tree", "1", parameters=Params)
    assert info.query_parameters() == {"width": (3, 5)}
    assert info.tunable_parameters() == {"depth": (1, 2)}
    assert MethodInfo("m", "s", "tree", "1").query_parameters() == {}
    assert Params() == Params(3, 2)
    assert dataclasses.fields(Params)[1].metadata["source"] == "paper, table 1"


@pytest.mark.parametrize(
    ("bounds", "said", "good", "bad"),
    [
        (Bounds(above=0), "above 0", (1, 1e-9), (0, -1)),
        (Bounds(least=2), "at least 2", (2, 3), (1, 1.999)),
        (Bounds(least=0, below=1), "at least 0 and below 1", (0, 0.5), (1, -0.1)),
        (Bounds(least=0, most=1.5), "at least 0 and at most 1.5", (0, 1.5), (1.6,)),
    ],
)
def test_bounds(bounds: Bounds, said: str, good: tuple[float, ...], bad: tuple[float, ...]) -> None:
    assert str(bounds) == said
    assert all(bounds.hold(value) for value in good)
    assert not any(bounds.hold(value) for value in (*bad, math.nan, math.inf, -math.inf))


@dataclass(frozen=True)
class Bounded:
    rate: float = param(1.0, "how fast", "ours: a guess", above=0)
    depth: int | None = param(None, "how deep", "ours: a guess", least=1, none="as deep as it gets")
    name: str = param("a", "what it is called", "ours: a guess")


def test_what_a_parameter_declares_is_in_its_metadata() -> None:
    declared = param(0, "d", "ours: a test", least=0, below=2, control=True, query=(0, 1)).metadata
    assert declared["bounds"] == Bounds(least=0, below=2)
    assert (declared["control"], declared["query"], declared["tune"]) == (True, (0, 1), ())
    assert param(0, "d", "ours: a test").metadata["bounds"] is None
    with pytest.raises(TypeError, match="lest"):
        param(0, "d", "ours: a test", lest=0)


def test_values_out_of_bounds_are_refused_and_none_is_not() -> None:
    check_bounds("m", Bounded())
    check_bounds("m", Bounded(rate=1e-9, depth=1))
    with pytest.raises(UsageError, match=r"^m: rate is 0, must be above 0"):
        check_bounds("m", Bounded(rate=0))
    with pytest.raises(UsageError, match=r"^m: depth is 0, must be at least 1"):
        check_bounds("m", Bounded(depth=0))
    with pytest.raises(UsageError, match=r"^m: rate is nan, must be a finite number, above 0"):
        check_bounds("m", Bounded(rate=math.nan))


def test_infos_do_not_share_what_could_change() -> None:
    info: Any = MethodInfo("m", "s", "tree", "1")
    with pytest.raises(TypeError):
        info.seconds["icd10cm"] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.name = "n"


def test_the_protocol_is_checked_at_run_time() -> None:
    assert isinstance(Popularity(NoParams()), Method)
    assert not isinstance(object(), Method)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_what_built_in_methods_offer_to_tune_is_sound_and_small(name: str) -> None:
    info = get(name).info
    assert info_problems(info) == []
    assert math.prod(map(len, info.tunable_parameters().values())) <= 9
