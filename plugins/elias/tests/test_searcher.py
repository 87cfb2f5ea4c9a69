"""The CPU search against the full form: every path, every label of the shortlist scored, one sort.

Against `full_form` ids and scores are the same to the last bit: weights and embeddings are whole numbers, so dots are
exact in any order, and σ and exp are the kernel's own. Against torch, whose exp and dots round otherwise, two labels
may change places only where torch's own scores differ by less than `ROUNDING` of them.
"""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.search import kernels
from xmcbench_elias.search.predict import by_torch
from xmcbench_elias.search.searcher import Searcher, SearchResult

from xmcbench.encoders.bow import BowEncoder, SparseRows
from xmcbench.errors import DataError
from xmcbench.topk import PAD, TopK

ROUNDING = 1e-5


def model_of(
    seed: int, clusters: int, width: int, n_labels: int, dim: int, ties: bool, stage: int, spread: float = 2.0
) -> EliasModel:
    """Random weights: whole numbers from −2 to 2 where `ties`; rows hold up to `width` labels, some none."""
    rng = np.random.default_rng(seed)
    entries = np.full((clusters, width), n_labels)
    for row in entries:
        held = rng.choice(n_labels, rng.integers(0, min(width, n_labels) + 1), replace=False)
        row[: len(held)] = held
    generator = torch.Generator().manual_seed(seed)
    model = EliasModel(BowEncoder(4, dim, generator), torch.from_numpy(entries), n_labels, 10.0, 0.15, generator)
    with torch.no_grad():
        for weight in (model.cluster_weight, model.cluster_bias, model.label_weight, model.label_bias):
            weight.copy_(torch.from_numpy(numbers(rng, tuple(weight.shape), ties, spread)))
    if stage == 2:
        model.adjacency = torch.nn.Parameter(torch.from_numpy(numbers(rng, entries.shape, ties, spread)))
    return model


def numbers(rng: np.random.Generator, shape: tuple[int, ...], ties: bool, spread: float = 2.0) -> NDArray[np.float32]:
    return (rng.integers(-2, 3, shape) if ties else spread * rng.normal(size=shape)).astype(np.float32)


def full_form(searcher: Searcher, query: NDArray[np.float32], beam: int, size: int) -> list[tuple[float, int]]:
    """(−p, label) of one query's whole shortlist, in the one order."""
    index = searcher.index
    scores, clusters = np.empty(beam, np.float32), np.empty(beam, np.int32)
    logits = searcher.cluster_logits(query[None])[0]
    n = kernels.top_clusters(logits, beam, searcher.log_alpha, clusters, scores)
    best: dict[int, np.float32] = {}
    for cluster, score in zip(clusters[:n], scores[:n], strict=True):
        for column in range(index.lengths[cluster]):
            label, path = int(index.labels[cluster, column]), score + index.values[cluster, column]
            best[label] = max(best.get(label, path), path)
    kept = sorted((-path, label) for label, path in best.items())[:size]
    z = {label: index.weight[label] @ query + index.bias[label] for _, label in kept}
    return sorted((-float(kernels.probability(-path, z[label])), label) for path, label in kept)


def check(searcher: Searcher, queries: NDArray[np.float32], found: SearchResult, k: int, beam: int, size: int) -> None:
    """Identical to the full form: labels, scores, padding, and the size of the shortlist."""
    for row, query in enumerate(queries):
        known = full_form(searcher, query, min(beam, len(searcher.cluster_bias)), size)
        shown = known[:k] + [(np.inf, PAD)] * (found.ids.shape[1] - len(known[:k]))
        assert found.ids[row].tolist() == [label for _, label in shown]
        assert found.scores[row].tolist() == [-p for p, _ in shown]
        assert found.shortlisted[row] == len(known)
        assert min(k, len(known)) <= found.scored[row] <= len(known)


def near(found: SearchResult, twin: TopK) -> None:
    """The same labels as torch's, but for places whose scores there are apart by rounding alone."""
    k = found.ids.shape[1]
    np.testing.assert_allclose(found.scores, twin.scores[:, :k], rtol=ROUNDING, atol=1e-37)
    for row, column in zip(*np.nonzero(found.ids != twin.ids[:, :k]), strict=True):
        here, there = found.ids[row, column], twin.scores[row, column]
        place = np.flatnonzero(twin.ids[row] == here)
        assert len(place) == 1, "a label torch did not shortlist"
        assert twin.scores[row, place[0]] == pytest.approx(there, rel=ROUNDING, abs=1e-37)


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    clusters=st.integers(1, 9),
    width=st.integers(1, 12),
    n_labels=st.integers(1, 30),
    stage=st.sampled_from([1, 2]),
    beam=st.integers(1, 10),
    size=st.integers(1, 40),
    k=st.integers(1, 40),
)
def test_worlds_full_of_ties(
    seed: int, clusters: int, width: int, n_labels: int, stage: int, beam: int, size: int, k: int
) -> None:
    searcher = Searcher(model_of(seed, clusters, width, n_labels, 3, True, stage))
    queries = numbers(np.random.default_rng(seed), (4, 3), True)
    check(searcher, queries, searcher(queries, k, beam, size), k, beam, size)


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize(("size", "k"), [(50, 5), (400, 10), (5000, 100), (700, 900)])
def test_wide_rows_whose_labels_repeat(stage: int, size: int, k: int) -> None:
    """20 of 40 clusters, each with up to 300 of 900 labels: rows are asked for more several times."""
    searcher = Searcher(model_of(size + k, 40, 300, 900, 4, True, stage))
    queries = numbers(np.random.default_rng(1), (9, 4), True)
    check(searcher, queries, searcher(queries, k, 20, size), k, 20, size)


# The same worlds every time: of 2,000 drawn freely, 7 had a p whose float32 logits, of some hundreds, let it differ by
# more than ROUNDING between any two orders of summing.
@settings(deadline=None, max_examples=40, derandomize=True)
@given(seed=st.integers(0, 10**6), stage=st.sampled_from([1, 2]), k=st.integers(1, 30), spread=st.floats(0.1, 8))
def test_random_weights_against_torch(seed: int, stage: int, k: int, spread: float) -> None:
    model = model_of(seed, 12, 20, 60, 8, False, stage, spread)
    x = np.abs(numbers(np.random.default_rng(seed), (6, 4), False))
    compare(model, x, k, 4, 60)


def compare(model: EliasModel, features: NDArray[np.float32], k: int, beam: int, size: int) -> None:
    """Searcher and torch on the same rows; `size` large enough that no rounding decides who is shortlisted."""
    import scipy.sparse as sp

    rows = SparseRows(sp.csr_matrix(features))
    with torch.no_grad():
        queries = model.encoder(rows.batch(np.arange(len(rows)), "cpu"))
    near(Searcher(model)(queries.numpy(), k, beam, size), by_torch(model, queries, model.n_labels, beam, size))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), beam=st.integers(1, 40), ties=st.booleans())
def test_beam_ties_go_to_lower_clusters(seed: int, n: int, beam: int, ties: bool) -> None:
    logits = numbers(np.random.default_rng(seed), (n,), ties) * 4
    beam = min(beam, n)
    clusters, scores = np.empty(beam, np.int32), np.empty(beam, np.float32)
    assert kernels.top_clusters(logits, beam, np.float32(np.log(10)), clusters, scores) == beam
    assert clusters.tolist() == np.lexsort((np.arange(n), -logits))[:beam].tolist()
    exact = logits.astype(float) - np.log(np.exp(logits.astype(float)).sum()) + np.log(10)
    np.testing.assert_allclose(scores, np.minimum(exact, 0)[clusters], rtol=1e-5, atol=2e-6)


def test_by_hand() -> None:
    """Two clusters of logit 0, so s = min(1, 10 / 2) = 1; z is 0 but for label 3: p = ½, ½, ½ and σ(2)."""
    generator = torch.Generator()
    model = EliasModel(BowEncoder(2, 2, generator), torch.tensor([[3, 1], [0, 4]]), 4, 10.0, 0.15, generator)
    with torch.no_grad():
        model.cluster_weight.zero_()
        model.label_weight.zero_()
        model.label_bias.copy_(torch.tensor([0.0, 0, 0, 2]))
    found = Searcher(model)(np.zeros((1, 2), np.float32), 5, 9, 9)
    assert found.ids.tolist() == [[3, 0, 1, PAD]]  # 2 columns a cluster: no shortlist is longer than 4
    np.testing.assert_allclose(found.scores[0], [1 / (1 + np.exp(-2)), 0.5, 0.5, -np.inf], rtol=1e-6)
    assert found.shortlisted.tolist() == [3]
    assert found.share == 1.0


def test_the_stop_saves_scores_and_says_how_many() -> None:
    """Label 0 has path 1 and p near 1, nine others far lower paths: one is scored for k = 1, all for k = 2."""
    generator = torch.Generator()
    model = EliasModel(BowEncoder(2, 2, generator), torch.arange(10)[None], 10, 10.0, 0.9, generator)
    model.adjacency = torch.nn.Parameter(torch.tensor([[9.0] + [0.0] * 9]))
    with torch.no_grad():
        model.label_weight.zero_()
        model.label_bias.fill_(20.0)
    searcher = Searcher(model)
    query = np.zeros((1, 2), np.float32)
    assert searcher(query, 1, 1, 10).scored.tolist() == [1]
    assert searcher(query, 1, 1, 10).share == 0.1
    assert searcher(query, 2, 1, 10).scored.tolist() == [10]  # equal path scores are never below one another


@pytest.mark.parametrize("stage", [1, 2])
def test_threads_and_company_change_nothing(stage: int) -> None:
    model = model_of(7, 30, 40, 400, 16, True, stage)
    queries = numbers(np.random.default_rng(7), (300, 16), True)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = Searcher(model)(queries, 10, 8, 100)
        numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
        searcher = Searcher(model)
        two = searcher(queries, 10, 8, 100)
    finally:
        numba.set_num_threads(before)
    alone = [searcher(query[None], 10, 8, 100) for query in queries]
    for name in ("ids", "scores", "shortlisted", "scored"):
        assert np.array_equal(getattr(one, name), getattr(two, name))
        assert np.array_equal(getattr(one, name), np.concatenate([getattr(each, name) for each in alone]))


def test_no_rows_and_no_labels_in_the_beam() -> None:
    model = model_of(0, 3, 4, 9, 2, True, 1)
    searcher = Searcher(model)
    empty = searcher(np.zeros((0, 2), np.float32), 5, 2, 9)
    assert empty.ids.shape == (0, 5)
    assert empty.share == 1.0
    model.entries.fill_(9)
    found = Searcher(model)(np.ones((2, 2), np.float32), 5, 2, 9)
    assert (found.ids == PAD).all()
    assert (found.scores == -np.inf).all()
    assert found.shortlisted.tolist() == [0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_named(bad: float) -> None:
    searcher = Searcher(model_of(0, 3, 4, 9, 2, False, 2))
    queries = np.ones((100, 2), np.float32)
    queries[70, 1] = bad
    with pytest.raises(DataError, match="row 70"):
        searcher(queries, 5, 2, 9)
    assert (searcher(queries[:70], 5, 2, 9).shortlisted > 0).all()


def test_scores_of_extreme_logits() -> None:
    """σ at ±120 and far beyond, paths down to the smallest numbers: finite, in order, none above its path."""
    z = np.array([-1e30, -120, -20, -1, 0, 1, 20, 120, 1e30], np.float32)
    for path in (0.0, -1.0, -80.0, -100.0, -1000.0):
        p = np.array([kernels.probability(np.float32(path), x) for x in z])
        assert (np.diff(p) >= 0).all()
        assert p[0] == 0
        exact = np.exp(path - np.logaddexp(0, -z.astype(float)))
        np.testing.assert_allclose(p, exact, rtol=2e-5, atol=1e-44)
