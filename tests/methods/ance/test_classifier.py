"""The classifier on top: its shortlists by hand, what it learns, and that a finished one is not trained again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse as sp

from xmcbench.context import RunContext
from xmcbench.methods.ance.classifier import Classifier, told_apart, train_classifier
from xmcbench.methods.ance.params import AnceParams, settled
from xmcbench.topk import TopK


def test_true_labels_come_first_then_the_false_ones() -> None:
    labels = sp.csr_matrix(np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], np.float32))
    ids, rows, columns = told_apart(np.array([[2, 0, 3], [1, -1, -1], [3, 2, 1]], np.int32), labels)
    assert ids.tolist() == [[1, 2, 4, 0, 3], [4, 4, 1, 4, 4], [0, 4, 3, 2, 1]]
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0), (0, 1), (2, 0)]


def test_it_learns_what_embeddings_do_not_tell(tmp_path: Path) -> None:
    """Labels 0 and 1 look alike to the encoder; the third number of a row says which it is."""
    rng = np.random.default_rng(0)
    documents = rng.normal(size=(400, 3)).astype(np.float32)
    truth = (documents[:, 2] > 0).astype(int)
    labels = sp.csr_matrix(np.eye(3, dtype=np.float32)[truth])
    embeddings = np.array([[1, 0, 0], [1, 0, 0], [-9, 0, 0]], np.float32)
    near = np.tile(np.array([[0, 1]], np.int32), (400, 1))
    params = settled(AnceParams(epochs=6, batch=32))
    found = train_classifier(documents, labels, embeddings, near, params, RunContext(tmp_path))
    top = TopK(near, np.zeros((400, 2), np.float32))
    assert (found.rerank(documents, top, 0.05, 1).ids[:, 0] == truth).mean() > 0.95
    other = np.zeros_like(documents)  # were it trained again, it would learn nothing from these
    again = train_classifier(other, labels, embeddings, near, params, RunContext(tmp_path))
    np.testing.assert_array_equal(found.weight.numpy(), again.weight.numpy())


def test_rank_is_by_the_mean_of_both_and_padding_stays() -> None:
    classifier = Classifier(np.array([[0.0], [3.0], [1.0]], np.float32), np.array([0.0, 0.0, 0.5], np.float32))
    near = TopK(np.array([[0, 1, -1]], np.int32), np.array([[0.4, 0.1, -np.inf]], np.float32))
    found = classifier.rerank(np.ones((1, 1), np.float32), near, 0.1, 3)
    assert found.ids.tolist() == [[0, 1, -1]] or found.ids.tolist() == [[1, 0, -1]]
    np.testing.assert_allclose(sorted(found.scores[0, :2]), [(4 + 0) / 2, (1 + 3) / 2])
    assert found.scores[0, 2] == -np.inf
