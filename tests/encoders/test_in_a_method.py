"""Transformers, trained and frozen, inside a method: fitted, kept, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xmcbench.context import RunContext
from xmcbench.methods.ance import Ance
from xmcbench.methods.ance.params import AnceParams
from xmcbench.testing import worlds


@pytest.mark.parametrize("frozen", [False, True])
def test_fit_save_load_predict(tiny: Path, tmp_path: Path, frozen: bool) -> None:
    world = worlds.tiny(n_train=300, n_test=20)
    params = AnceParams(encoder=str(tiny), frozen=frozen, max_length=32, epochs=1, batch=32, precision="float32")
    method, ctx = Ance(params), RunContext(tmp_path / "run")
    method.fit(world.train_data(), ctx)
    (tmp_path / "model").mkdir()
    method.save(tmp_path / "model")
    again = Ance(params)
    again.load(tmp_path / "model")
    one, other = (each.predict(world.test_inputs(), 5, RunContext(tmp_path)) for each in (method, again))
    one.check(20, world.n_labels)
    np.testing.assert_array_equal(one.ids, other.ids)
    np.testing.assert_array_equal(one.scores, other.scores)
