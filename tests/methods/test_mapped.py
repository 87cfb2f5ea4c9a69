"""Loaded models of linear methods are mapped: processes that serve one share its memory."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.methods.subject import same
from xmcbench.context import RunContext
from xmcbench.methods.knn import Knn
from xmcbench.methods.ovr import Ovr
from xmcbench.methods.tree import Bonsai, Parabel, XrLinear
from xmcbench.testing.worlds import tiny


def arrays_of(value: Any) -> list[np.ndarray]:
    """All arrays in the tuples and lists of a model."""
    if isinstance(value, np.ndarray):
        return [value]
    return [array for part in value for array in arrays_of(part)] if isinstance(value, tuple | list) else []


def is_mapped(array: np.ndarray) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


@pytest.mark.parametrize("kind", [Parabel, Bonsai, XrLinear, Ovr, Knn])
def test_a_loaded_model_is_mapped_and_predicts_the_same(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmcbench.npz_files.MAPPED", 0)
    data, ctx = tiny(), RunContext(tmp_path)
    method, again = kind(kind.info.parameters()), kind(kind.info.parameters())
    method.fit(data.train_data(), ctx)
    method.save(tmp_path)
    again.load(tmp_path)
    arrays = [array for value in vars(again).values() for array in arrays_of(value) if array.size]
    assert len(arrays) > 3
    assert all(is_mapped(array) for array in arrays)
    top, expected = (one.predict(data.test_inputs(), 10, ctx) for one in (again, method))
    assert same(top, expected)
