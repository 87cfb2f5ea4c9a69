"""Label scores, edges cut and label frequencies, held against numbers found by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from xmcbench_elias.network.model import EMPTY, EliasModel
from xmcbench_elias.params import Sizes
from xmcbench_elias.results.edges import CutModel, edge_facts, label_scores
from xmcbench_elias.search.predict import by_torch
from xmcbench_elias.search.searcher import Searcher

from xmcbench.context import RunContext
from xmcbench.encoders.bow import BowEncoder
from xmcbench.metrics import Evaluation, Truth, evaluate
from xmcbench.testing.worlds import tiny
from xmcbench.topk import TopK


def small_model() -> EliasModel:
    """Two clusters of at most three of four labels, weights by hand: softmax times β, 3 and 2 entries, at most 1."""
    generator = torch.Generator().manual_seed(0)
    entries = torch.tensor([[0, 1, 2], [3, 0, 4]])  # 4 is padding
    model = EliasModel(BowEncoder(2, 2, generator), entries, 4, 10.0, 1.0, generator)
    model.adjacency = torch.nn.Parameter(torch.tensor([[0.6, 0.32, 0.08], [0.7, 0.3, 0.5]]).log())
    return model


def test_cut_keeps_the_weights_of_other_edges() -> None:
    model = small_model()
    assert torch.allclose(model.log_entries().exp(), torch.tensor([[1.0, 0.96, 0.24], [1.0, 0.6, 0.0]]))
    cut = CutModel(model, 0.5)
    assert cut.entries.tolist() == [[0, 1, 4], [3, 0, 4]]
    assert torch.allclose(cut.log_entries().exp(), torch.tensor([[1.0, 0.96, 0.0], [1.0, 0.6, 0.0]]))
    assert cut.log_entries()[0, 2] == EMPTY
    assert model.entries.tolist() == [[0, 1, 2], [3, 0, 4]]  # the model is what it was


@pytest.mark.parametrize(("threshold", "left"), [(0.0, {0, 1, 2, 3}), (0.5, {0, 1, 3}), (0.97, {0, 3}), (2.0, set())])
def test_both_searches_find_the_labels_that_have_edges_left(threshold: float, left: set[int]) -> None:
    cut = CutModel(small_model(), threshold)
    phi = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    for found in (Searcher(cut)(phi.numpy(), 4, 2, 4), by_torch(cut, phi, 4, 2, 4)):
        assert [set(row[row >= 0].tolist()) for row in found.ids] == [left] * 5


def test_edge_facts_by_hand(tmp_path: Path) -> None:
    model, first = small_model(), small_model()
    first.adjacency, first.entries = None, torch.tensor([[0, 2, 4], [1, 3, 4]])  # label 1 started in the other cluster
    data = tiny(n_train=20, n_test=10, n_labels=4, n_features=2)
    whole: Any = SimpleNamespace(models=[model], first=first, label_counts=np.array([8.0, 4, 2, 2], np.float32))
    ctx, size, truth = RunContext(tmp_path, query={"beam": 2}), Sizes(2, 2, 3, 2, 4), Truth.of(data)

    def score(top: TopK) -> Evaluation:
        return evaluate(top, truth, samples=0)

    told = edge_facts(whole, data.test_inputs(), score, size, ctx)
    assert told is not None
    cut = [(row.threshold, row.share_cut) for row in told.cut]
    assert cut == [(0.0, 0.0), (0.1, 0.0), (0.25, 0.2), (0.5, 0.2), (0.9, 0.4)]
    assert told.cut[0].r100 == 1.0  # both clusters are searched
    true = data.test.labels.toarray() > 0
    assert told.cut[3].r100 == pytest.approx((true[:, [0, 1, 3]].sum(axis=1) / true.sum(axis=1)).mean())
    assert told.stage1_kept == 0.5  # label 1 has left its cluster, label 2 is there with 0.24
    parts = told.deciles  # 1.6 of 16 training occurrences each: label 0 has five deciles
    clusters = [2.0] * 5 + [1.0] * 2 + [(0.2 + 0.2) / 0.6] + [0.5] * 2  # label 2, at 0.24, is a member of none
    assert [part.clusters for part in parts] == pytest.approx(clusters)
    assert [part.labels for part in parts] == pytest.approx([0.2] * 5 + [0.4] * 2 + [0.6] + [0.8] * 2)
    assert (parts[7].fewest, parts[7].most) == (2, 4)
    assert label_scores(whole, data.test_inputs(), size, ctx) == {"stage1": 4.0, "model": 4.0, "shortlist": 4.0}
    narrow = RunContext(tmp_path, query={"beam": 1})
    assert label_scores(whole, data.test_inputs(), size, narrow)["stage1"] == 2.0  # one cluster has two labels
    whole.models = [model, model]
    assert label_scores(whole, data.test_inputs(), size, ctx)["model"] == 8.0
    assert ctx.notes == {}
    whole.models = [first]
    assert edge_facts(whole, data.test_inputs(), score, size, ctx) is None
