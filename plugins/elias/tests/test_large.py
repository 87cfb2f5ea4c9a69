"""The ways that only large data take, all at once on small data: a whole run, its kept model and its predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xmcbench_elias.params import HUGE

import xmcbench as xb
from xmcbench.data import load
from xmcbench.records.store import Store

LIMITS = {
    "xmcbench.sparse.centroids.IN_MEMORY": 0,  # centroids are in files
    "xmcbench.sparse.centroids.PRODUCTS": 500,  # and summed in blocks
    "xmcbench.sparse.kmeans.GATHERED": 500,
    "xmcbench.methods.tree.growth.BLOCK_WORK": 2000,  # a level of a tree has many checkpoints
    "xmcbench.methods.training.CHECKPOINT_EVERY": 0.0,
    "xmcbench.tables.optim.SHARED": 0,  # a second moment per row
    "xmcbench.dense.index.MANY": 1,  # lists of label vectors
    "xmcbench_elias.params.REGIMES": ((0, {**HUGE, "leaf": 10}),),
    "xmcbench_elias.ranking.linear.BALANCED": 0,
    "xmcbench_elias.ranking.linear.WORK": 0.0,  # no one-vs-rest
    "xmcbench_elias.training.graph.PRODUCTS": 500,
    "xmcbench_elias.training.building.LABELS": 16,
    "xmcbench_elias.training.dual.BLOCK": 16,
    "xmcbench_elias.search.predict.CELLS": 500,
}
EPOCHS = "dual_epochs=2,stage1_epochs=2,stage2_epochs=2,finish_epochs=1"
DATASET = "synthetic[labels=120,rows=1200,test=150,texts=false]"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LIMITS.items():
        monkeypatch.setattr(name, value)


@pytest.mark.parametrize("method", [f"elias[{EPOCHS},width=32]", "ance[epochs=2,warm_up=1]", "parabel", "bonsai"])
def test_a_run_that_takes_the_ways_of_large_data(large: None, tmp_path: Path, method: str) -> None:
    run, floor = xb.run([method, "popularity"], dataset=DATASET, results=tmp_path, keep_models=True, progress=False)
    assert run.status == "ok", run.reason
    assert run.scores["P@1"] > 1.5 * floor.scores["P@1"]
    model = xb.load_model(tmp_path / "models" / run.records[0].run_id)
    again = model.predict(features=load(DATASET).test_inputs().features, k=10)
    assert np.array_equal(again.topk.ids, Store(tmp_path).predictions(run.records[0]).ids[:, :10])
