"""The graph: counts by hand, own labels always kept, κ respected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.params import EliasParams, sizes
from xmcbench_elias.training import graph
from xmcbench_elias.training.graph import clustering_rows, graph_rows

from xmcbench.encoders.bow import BowEncoder


def test_clustering_by_hand() -> None:
    rows = clustering_rows(np.array([1, 0, 1, 1], np.int32), 4)
    assert rows.tolist() == [[1, 4, 4], [0, 2, 3], [4, 4, 4], [4, 4, 4]]


def test_graph_by_hand() -> None:
    visits = sp.csr_matrix(np.array([[1.0, 0.5], [0.2, 1.0], [0.0, 1.0]]))
    labels = sp.csr_matrix(np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]], np.float32))
    clusters = np.array([0, 1, 1, 0], np.int32)  # label 3 has no training row: only its own entry
    entries, counts = graph_rows(visits, labels, clusters, 3)
    assert entries.tolist() == [[0, 3, 1], [1, 2, 0]]
    np.testing.assert_allclose(counts, [[1.0, 0.0, 0.2], [2.0, 1.0, 0.5]])
    assert graph_rows(visits, labels, clusters, 2)[0].tolist() == [[0, 3], [1, 2]]
    assert graph_rows(visits, labels, clusters, 1)[0].tolist() == [[0, 3], [1, 2]]  # two labels of their own each


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), kappa=st.integers(1, 15), balanced=st.booleans())
def test_own_labels_stay_and_rows_are_short(seed: int, kappa: int, balanced: bool) -> None:
    rng = np.random.default_rng(seed)
    clusters = (rng.permutation(np.arange(12) % 4) if balanced else rng.integers(0, 4, 12)).astype(np.int32)
    labels = sp.random(30, 12, 0.2, "csr", np.float32, random_state=rng)
    labels.data[:] = 1
    visits = sp.random(30, 4, 0.5, "csr", random_state=rng)
    entries, counts = graph_rows(visits, labels, clusters, kappa)
    dense = (labels.T @ visits).toarray()
    assert entries.shape[1] <= max(kappa, int(np.bincount(clusters).max()))
    for cluster, row in enumerate(entries.tolist()):
        shown = [label for label in row if label < 12]
        own = set(np.flatnonzero(clusters == cluster).tolist())
        assert len(set(shown)) == len(shown)
        assert set(shown[: len(own)]) == own
        others = sorted(set(np.flatnonzero(dense[:, cluster]).tolist()) - own, key=lambda x: (-dense[x, cluster], x))
        assert shown[len(own) :] == others[: max(kappa - len(own), 0)]
        np.testing.assert_allclose(counts[cluster, : len(shown)], dense[shown, cluster], rtol=1e-6)


@pytest.mark.parametrize("products", [1, 50, 300])
def test_blocks_of_clusters_do_not_show(products: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(products)
    clusters = rng.integers(0, 9, 40).astype(np.int32)  # cluster 9 has no labels
    labels = sp.random(60, 40, 0.1, "csr", np.float32, random_state=rng)
    labels.data[:] = 1
    visits = sp.random(60, 10, 0.4, "csr", random_state=rng)
    whole = graph_rows(visits, labels, clusters, 6)
    blocks: list[int] = []
    best_entries = graph._best_entries

    def counted(counts: sp.csr_matrix, *given: Any) -> Any:
        blocks.append(counts.shape[0])
        return best_entries(counts, *given)

    monkeypatch.setattr(graph, "PRODUCTS", products)
    monkeypatch.setattr(graph, "_best_entries", counted)
    entries, counts = graph_rows(visits, labels, clusters, 6)
    assert np.array_equal(entries, whole[0])
    assert np.array_equal(counts, whole[1])
    assert sum(blocks) == 10
    assert len(blocks) > 1 or products == 300
    assert max(blocks) == 1 or products > 1


def model(entries: list[list[int]], n_labels: int) -> EliasModel:
    generator = torch.Generator().manual_seed(0)
    encoder = BowEncoder(5, 4, generator)
    return EliasModel(encoder, torch.tensor(entries), n_labels, 10.0, 0.15, generator)


def test_adjacency_leaves_padding_out() -> None:
    network = model([[0, 1, 3], [2, 3, 3], [3, 3, 3]], 3)
    assert network.owners().tolist() == [0, 0, 1]
    network.adjacency = torch.nn.Parameter(torch.tensor([[0.0, 0.0, 50.0], [1.0, 9.0, 9.0], [0.0, 0.0, 0.0]]))
    values = network.log_entries().exp()
    assert values.tolist() == [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    values.sum().backward()
    assert network.adjacency.grad is not None
    assert bool(network.adjacency.grad.isfinite().all())


def test_owner_is_the_cluster_of_largest_value() -> None:
    network = model([[0, 1], [1, 0], [1, 2]], 4)
    network.adjacency = torch.nn.Parameter(torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    assert network.owners().tolist() == [0, 1, 2, -1]  # label 1: equal in clusters 1 and 2, the lower one


def test_sizes_follow_the_papers_ratios() -> None:
    paper = sizes(EliasParams(leaf=100, train_beam=20, shortlist_leaves=20), 670_091)
    assert (paper.clusters, paper.beam) == (8192, 20)
    assert paper.shortlist == 20 * paper.leaf
    assert paper.kappa == 10 * paper.leaf
    for n_labels in (4_271, 46_881):
        found = sizes(EliasParams(), n_labels)
        assert found.beam / found.clusters <= 0.1
        assert found.clusters * found.leaf >= n_labels
    assert sizes(EliasParams(), 3).clusters == 1
