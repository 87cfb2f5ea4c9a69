"""The solver: its optimum against scikit-learn's LinearSVC, its independence of threads, chunks and blocks."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.sparse import linear
from xmcbench.sparse.csr import unit_rows
from xmcbench.sparse.dual import SolverOptions
from xmcbench.sparse.linear import Problems, chunks, share_borders, train_linear

EXACT = SolverOptions(tolerance=1e-5, max_iter=3000)


def planted(n: int = 300, d: int = 60, n_problems: int = 6, seed: int = 0) -> tuple[sp.csr_matrix, sp.csc_matrix]:
    rng = np.random.default_rng(seed)
    x = unit_rows(sp.random(n, d, 0.15, "csr", random_state=seed, dtype=np.float32))
    margins = x @ rng.normal(size=(d, n_problems)) + rng.normal(size=(n, n_problems)) * 0.3
    return x, sp.csc_matrix(margins > np.linspace(0.2, 1.2, n_problems))


def over_all_rows(positives: sp.csc_matrix) -> Problems:
    everywhere = sp.csc_matrix(np.ones((positives.shape[0], 1)))
    return Problems.of_columns(everywhere, positives, np.zeros(positives.shape[1]))


def objective(w: np.ndarray, x: sp.csr_matrix, y: np.ndarray, cost: float, bias: float = 1.0) -> float:
    z = x @ w[:-1] + bias * w[-1]
    return float(w @ w / 2 + cost * (np.maximum(0, 1 - y * z) ** 2).sum())


@pytest.mark.parametrize("cost", [0.1, 1.0, 10.0])
def test_reaches_the_objective_of_linear_svc(cost: float) -> None:
    from sklearn.svm import LinearSVC

    x, positives = planted()
    weights = train_linear(x, over_all_rows(positives), EXACT._replace(cost=cost)).toarray()
    for p in range(positives.shape[1]):
        y = np.where(positives[:, [p]].toarray().ravel(), 1.0, -1.0)
        peer = LinearSVC(C=cost, tol=1e-8, max_iter=100_000).fit(x, y)
        best = objective(np.append(peer.coef_, peer.intercept_), x, y, cost)
        assert objective(weights[p].astype(np.float64), x, y, cost) == pytest.approx(best, rel=1e-4)


def test_default_tolerance_is_near_the_optimum() -> None:
    x, positives = planted()
    rough, exact = (train_linear(x, over_all_rows(positives), how).toarray() for how in (SolverOptions(), EXACT))
    for p in range(positives.shape[1]):
        y = np.where(positives[:, [p]].toarray().ravel(), 1.0, -1.0)
        assert objective(rough[p], x, y, 1.0) <= 1.01 * objective(exact[p], x, y, 1.0)


def test_groups_train_on_their_own_rows_alone() -> None:
    x, positives = planted(n_problems=4)
    halves = np.zeros((300, 2), bool)
    halves[:200, 0] = halves[150:, 1] = True
    inside = positives.multiply(halves[:, [0, 0, 1, 1]]).tocsc()
    problems = Problems.of_columns(sp.csc_matrix(halves), inside, np.array([0, 0, 1, 1]))
    together = train_linear(x, problems, EXACT).toarray()
    for p, rows in enumerate([slice(0, 200)] * 2 + [slice(150, 300)] * 2):
        alone = train_linear(x[rows], over_all_rows(sp.csc_matrix(inside[rows])), EXACT).toarray()
        np.testing.assert_allclose(together[p], alone[p], atol=1e-4)


def test_bias_value_is_part_of_the_problem() -> None:
    x, positives = planted(n_problems=1)
    y = np.where(positives.toarray().ravel(), 1.0, -1.0)
    for bias in (0.5, 3.0):
        w = train_linear(x, over_all_rows(positives), EXACT._replace(bias=bias)).toarray()[0].astype(np.float64)
        assert all(
            objective(w, x, y, 1.0, bias) < objective(w + step, x, y, 1.0, bias)
            for step in (np.eye(61)[[-1, 3]] * 0.02).tolist() + (np.eye(61)[[-1, 3]] * -0.02).tolist()
        )


def test_threads_chunks_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, positives = planted(n_problems=11)
    problems = over_all_rows(positives)
    whole = train_linear(x, problems, SolverOptions(seed=5))
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        single = train_linear(x, problems, SolverOptions(seed=5))
    finally:
        numba.set_num_threads(before)
    blocks = sp.vstack(
        [train_linear(x, problems.part(a, b), SolverOptions(seed=5 + a)) for a, b in ((0, 4), (4, 5), (5, 11))]
    )
    monkeypatch.setattr(linear, "CHUNK_WORK", 1)
    said: list[float] = []
    small_chunks = train_linear(
        x, problems, SolverOptions(seed=5), progress=lambda done, total: said.append(done / total)
    )
    assert len(said) > 1
    assert said == sorted(said)
    assert said[-1] == 1.0
    for other in (single, blocks.tocsr(), small_chunks):
        for name in ("indptr", "indices", "data"):
            assert np.array_equal(getattr(whole, name), getattr(other, name))
    assert not np.array_equal(whole.data, train_linear(x, problems, SolverOptions(seed=6)).data)


def test_threshold_drops_small_weights_but_never_the_bias() -> None:
    x, positives = planted()
    full = train_linear(x, over_all_rows(positives)).toarray()
    cut = train_linear(x, over_all_rows(positives), SolverOptions(threshold=0.2))
    expected = np.where(np.abs(full) >= 0.2, full, 0)
    expected[:, -1] = full[:, -1]
    np.testing.assert_array_equal(cut.toarray(), expected)
    assert cut.has_sorted_indices
    assert cut.nnz < np.count_nonzero(full)
    assert cut.indices[cut.indptr[1:] - 1].tolist() == [60] * 6


def test_odd_problems() -> None:
    """No positive, all positive, no row at all, a row without features, no problem at all."""
    x = sp.csr_matrix(np.array([[1, 0], [0, 0], [0, 1]], np.float32))
    positives = sp.csc_matrix(np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0]], bool))
    groups = sp.csc_matrix(np.array([[1, 0], [1, 0], [1, 0]], bool))
    weights = train_linear(x, Problems.of_columns(groups, positives, np.array([0, 0, 1])), EXACT).toarray()
    scores = np.hstack([x.toarray(), np.ones((3, 1))]) @ weights.T
    assert (scores[:, 0] < 0).all()
    assert (scores[:, 1] > 0).all()
    assert not weights[2].any()
    np.testing.assert_allclose(weights[0], -weights[1], atol=1e-4)
    none = Problems.of_columns(groups, sp.csc_matrix((3, 0), dtype=bool), np.empty(0))
    assert train_linear(x, none).shape == (0, 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30_000_000), max_size=30), st.integers(1, 4))
def test_chunks_cover_every_problem_once_and_stay_small(work: list[int], workers: int) -> None:
    sizes = np.array(work, np.int64)
    found = chunks(sizes * 10, workers)
    assert [i for first, last in found for i in range(first, last)] == list(range(len(work)))
    for first, last in found:
        within = sizes[first:last].sum() * 10 <= linear.CHUNK_WORK
        assert last - first == workers or within or last == len(work)


def test_shares_end_where_groups_end_if_there_are_many_groups() -> None:
    """Eight shares on two threads: of 24 groups each share gets whole ones, of two groups it can't."""
    work = np.full(240, 5)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(2)
        many, few = share_borders(np.repeat(np.arange(24), 10), work), share_borders(np.repeat([3, 4], 120), work)
        one = share_borders(np.array([7]), np.array([0]))
    finally:
        numba.set_num_threads(before)
    assert many.tolist() == [0, 30, 60, 90, 120, 150, 180, 210, 240]
    assert few.tolist() == [0, 30, 60, 90, 120, 150, 180, 210, 240]
    assert one.tolist() == [0, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1000)), min_size=1, max_size=60))
def test_shares_cover_every_problem_once(problems: list[tuple[int, int]]) -> None:
    group, work = np.array(sorted(problems)).T
    borders = share_borders(group, work)
    assert borders[0] == 0
    assert borders[-1] == len(problems)
    assert (np.diff(borders) >= 0).all()
