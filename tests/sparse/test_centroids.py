"""Label centroids: by hand, in every bit those of one product of all labels, in memory and in files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.data import load
from xmcbench.errors import TimeLimit
from xmcbench.sparse import centroids
from xmcbench.sparse.centroids import label_centroids, unit_sums
from xmcbench.sparse.csr import Csr, read_only, row_squares, scale_rows, unit_rows


def random_data(seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Features with negative numbers, empty rows and a row that cancels another; labels with and without rows."""
    rng = np.random.default_rng(seed)
    features = sp.random(90, 40, 0.2, "csr", random_state=seed, dtype=np.float32)
    features.data -= np.float32(0.3)
    features = sp.vstack([features, -features[:1], sp.csr_matrix((9, 40), dtype=np.float32)]).tocsr()
    labels = rng.random((100, 30)) < 0.1
    labels[:, 7], labels[[0, 90], 7], labels[:, 9] = False, True, False
    return features, sp.csr_matrix(labels.astype(np.float32))


def planted_data(options: str) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    train = load(f"synthetic[{options}]").train_data()
    return train.features, train.labels


DATA = {
    **{f"random {seed}": lambda seed=seed: random_data(seed) for seed in range(3)},
    "planted": lambda: planted_data("labels=100,rows=1000,test=200"),
    "amazon": lambda: planted_data("preset=amazon-670k,labels=700,rows=500,test=20,features=400"),
}


def all_at_once(features: sp.csr_matrix, labels: sp.csr_matrix) -> Csr:
    """The twin: one product of all labels, by columns, then both scalings."""
    lengths = np.sqrt(row_squares(read_only(features.indptr), features.data))
    shares = np.repeat(1 / np.where(lengths > 0, lengths, 1), np.diff(labels.indptr)).astype(np.float32)
    sums = (sp.csr_matrix((shares, labels.indices, labels.indptr), shape=labels.shape).T @ features).tocsr()
    sums.sort_indices()
    for _ in range(2):
        scale_rows(read_only(sums.indptr), sums.data)
    return Csr.of(sums)


def equal(one: Csr, other: Csr) -> bool:
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_by_hand(tmp_path: Path) -> None:
    features = sp.csr_matrix(np.array([[3, 4, 0], [0, 0, 2], [0, 0, 0]], np.float32))
    labels = sp.csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32))
    got = label_centroids(features, labels, tmp_path)
    assert got.indptr.tolist() == [0, 2, 5, 5, 5]
    assert got.indices.tolist() == [0, 1, 0, 1, 2]
    np.testing.assert_allclose(got.data, [0.6, 0.8, *np.array([0.6, 0.8, 1.0]) / np.sqrt(2)], atol=1e-6)


@pytest.mark.parametrize("products", [1, 300, 1 << 21])
@pytest.mark.parametrize("in_memory", [0, 1000, 1 << 27])
@pytest.mark.parametrize("name", DATA)
def test_blocks_and_files_change_no_bit(
    name: str, in_memory: int, products: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labels = DATA[name]()
    monkeypatch.setattr(centroids, "PRODUCTS", products)
    monkeypatch.setattr(centroids, "IN_MEMORY", in_memory)
    got = label_centroids(features, labels, tmp_path)
    assert equal(got, all_at_once(features, labels))
    assert not any(array.flags.writeable for array in got)
    assert os.listdir(tmp_path) == []


def test_dense_and_sparse_features_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = random_data(4)
    dense = np.random.default_rng(0).random((100, 8), np.float32)
    sums = sp.hstack([sp.csr_matrix(labels.T @ dense), labels.T @ unit_rows(features)], format="csr", dtype=np.float32)
    expected = Csr.of(unit_rows(sums))
    for products in (1, 500, 1 << 21):
        monkeypatch.setattr(centroids, "PRODUCTS", products)
        assert equal(unit_sums([dense, unit_rows(features)], labels, tmp_path), expected)


def test_features_are_left_alone(tmp_path: Path) -> None:
    features, labels = random_data(5)
    before = features.copy(), labels.copy()
    label_centroids(features, labels, tmp_path)
    assert (features != before[0]).nnz == 0
    assert (labels != before[1]).nnz == 0


def test_no_labels(tmp_path: Path) -> None:
    features, labels = random_data(6)
    assert [len(array) for array in label_centroids(features, labels[:, :0], tmp_path)] == [1, 0, 0]


def test_a_deadline_between_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(centroids, "PRODUCTS", 300)
    monkeypatch.setattr(centroids, "IN_MEMORY", 0)
    said: list[int] = []

    def stop(done: int, total: int) -> None:
        assert total == 30
        said.append(done)
        if done > 10:
            raise TimeLimit("the time limit has passed")

    with pytest.raises(TimeLimit):
        label_centroids(*random_data(7), tmp_path, stop)
    assert 10 < said[-1] < 30
    assert os.listdir(tmp_path) == []
