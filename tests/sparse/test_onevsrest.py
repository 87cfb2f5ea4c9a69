"""Many labels on all rows: the optimum of LinearSVC, independence of company and threads, odd labels."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp

from tests.sparse.test_linear import objective, over_all_rows, planted
from xmcbench.sparse import onevsrest
from xmcbench.sparse.dual import SolverOptions
from xmcbench.sparse.linear import train_linear
from xmcbench.sparse.onevsrest import DEFAULTS, train_one_vs_rest

EXACT = SolverOptions(tolerance=1e-5, max_iter=3000)


@pytest.fixture(autouse=True)
def few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small data, yet a start from few rows and rounds that add few."""
    monkeypatch.setattr(onevsrest, "SAMPLE", 10)


@pytest.mark.parametrize("cost", [0.1, 1.0, 10.0])
def test_reaches_the_objective_of_linear_svc(cost: float) -> None:
    from sklearn.svm import LinearSVC

    x, positives = planted(n=1500)
    weights = train_one_vs_rest(x, positives, EXACT._replace(cost=cost)).toarray()
    for p in range(positives.shape[1]):
        y = np.where(positives[:, [p]].toarray().ravel(), 1.0, -1.0)
        peer = LinearSVC(C=cost, tol=1e-8, max_iter=100_000).fit(x, y)
        best = objective(np.append(peer.coef_, peer.intercept_), x, y, cost)
        assert objective(weights[p].astype(np.float64), x, y, cost) == pytest.approx(best, rel=1e-4)


def test_default_tolerance_is_near_the_optimum() -> None:
    x, positives = planted(n=1500)
    rough, exact = (train_one_vs_rest(x, positives, how).toarray() for how in (DEFAULTS, EXACT))
    for p in range(positives.shape[1]):
        y = np.where(positives[:, [p]].toarray().ravel(), 1.0, -1.0)
        assert objective(rough[p], x, y, 1.0) <= 1.01 * objective(exact[p], x, y, 1.0)


def test_equals_the_solver_that_sees_all_rows_from_the_start() -> None:
    x, positives = planted(n=900)
    for bias in (0.5, 3.0):
        one = train_one_vs_rest(x, positives, EXACT._replace(bias=bias)).toarray()
        other = train_linear(x, over_all_rows(positives), EXACT._replace(bias=bias)).toarray()
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_company_and_threads_change_nothing() -> None:
    """More labels than lanes, so that lanes are used again."""
    x, few = planted(n=900, n_problems=11)
    many = sp.hstack([few] * 8, format="csc")
    said: list[float] = []
    whole = train_one_vs_rest(x, many, DEFAULTS._replace(seed=5), lambda done, total: said.append(done / total))
    assert len(said) > 1
    assert said == sorted(said)
    assert said[-1] == 1.0
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        single = train_one_vs_rest(x, many, DEFAULTS._replace(seed=5))
    finally:
        numba.set_num_threads(before)
    pieces = ((a, many[:, a:b]) for a, b in ((0, 4), (4, 5), (5, 88)))
    blocks = sp.vstack([train_one_vs_rest(x, piece, DEFAULTS._replace(seed=5 + a)) for a, piece in pieces]).tocsr()
    for other in (single, blocks):
        for name in ("indptr", "indices", "data"):
            assert np.array_equal(getattr(whole, name), getattr(other, name))
    assert not np.array_equal(whole.data, train_one_vs_rest(x, many, DEFAULTS._replace(seed=6)).data)


def test_threshold_drops_small_weights_but_never_the_bias() -> None:
    x, positives = planted()
    full = train_one_vs_rest(x, positives).toarray()
    cut = train_one_vs_rest(x, positives, DEFAULTS._replace(threshold=0.2))
    expected = np.where(np.abs(full) >= 0.2, full, 0)
    expected[:, -1] = full[:, -1]
    np.testing.assert_array_equal(cut.toarray(), expected)
    assert cut.has_sorted_indices


def test_odd_labels() -> None:
    """No positive row, all rows, a row without features, no label, no row."""
    x = sp.csr_matrix(np.array([[1, 0], [0, 0], [0, 1]], np.float32))
    weights = train_one_vs_rest(x, sp.csc_matrix(np.array([[0, 1], [0, 1], [0, 1]], bool)), EXACT).toarray()
    scores = np.hstack([x.toarray(), np.ones((3, 1))]) @ weights.T
    assert (scores[:, 0] < 0).all()
    np.testing.assert_allclose(weights[0], -weights[1], atol=1e-4)
    assert train_one_vs_rest(x, sp.csc_matrix((3, 0), dtype=bool)).shape == (0, 3)
    nothing = train_one_vs_rest(sp.csr_matrix((0, 2), dtype=np.float32), sp.csc_matrix((0, 2), dtype=bool))
    assert nothing.toarray().tolist() == [[0, 0, 0], [0, 0, 0]]
