"""The floor, by hand and under the contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.context import RunContext
from xmcbench.errors import DataError
from xmcbench.method import Inputs, NoParams, TrainData
from xmcbench.methods.popularity import Popularity
from xmcbench.testing.contract import contract_cases


@pytest.fixture
def fitted(tmp_path: Path) -> tuple[Popularity, RunContext]:
    labels = sp.csr_matrix(np.array([[0, 1, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], np.float32))
    method, ctx = Popularity(NoParams()), RunContext(tmp_path)
    method.fit(TrainData(None, ["a", "b", "c", "d"], None, 4, labels), ctx)
    return method, ctx


def test_by_falling_count_then_id(fitted: tuple[Popularity, RunContext]) -> None:
    method, ctx = fitted
    top = method.predict(Inputs(None, ["x", "y"], None, 4), 3, ctx)
    assert top.ids.tolist() == [[1, 0, 3]] * 2
    assert top.scores.tolist() == [[0.5, 0.25, 0.25]] * 2
    top.check(2, 4)
    assert method.predict(Inputs(None, ["x"], None, 4), 9, ctx).ids.tolist() == [[1, 0, 3, 2]]
    assert method.predict(Inputs(None, [], None, 4), 2, ctx).ids.shape == (0, 2)


def test_fitted_again(fitted: tuple[Popularity, RunContext]) -> None:
    method, ctx = fitted
    inputs = Inputs(None, ["x"], None, 4)
    method.predict(inputs, 4, ctx)
    method.fit(TrainData(None, ["a"], None, 4, sp.csr_matrix(np.array([[0, 0, 1, 0]], np.float32))), ctx)
    assert method.predict(inputs, 1, ctx).ids.tolist() == [[2]]


def test_saved_and_loaded(fitted: tuple[Popularity, RunContext], tmp_path: Path) -> None:
    method, ctx = fitted
    method.save(tmp_path)
    other = Popularity(NoParams())
    other.load(tmp_path)
    rows = Inputs(None, ["x"], None, 4)
    assert np.array_equal(method.predict(rows, 4, ctx).ids, other.predict(rows, 4, ctx).ids)
    file = tmp_path / "popularity.npz"
    for damaged in (file.read_bytes()[:100], b"", b"nonsense"):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"popularity\.npz"):
            other.load(tmp_path)


@pytest.mark.contract
@pytest.mark.parametrize("case", contract_cases("popularity"), ids=lambda case: case.title)
def test_contract(case: Callable[[], str]) -> None:
    case()
