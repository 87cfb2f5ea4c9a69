"""Products of rows: their values, and that problems solved with them end where those without do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numba import get_num_threads, set_num_threads
from numpy.typing import NDArray

from xmcbench.sparse import products
from xmcbench.sparse.csr import Csr, unit_rows
from xmcbench.sparse.dual import PASSES, Problem, SolverOptions, solve
from xmcbench.sparse.linear import Problems, train_linear


def test_products_of_all_pairs_by_hand() -> None:
    """Rows (1, 2, 0), (0, 0, 0), (3, 0, 4), and the constant feature 2, whose products are 4."""
    x = sp.csr_matrix(np.array([[1, 2, 0], [0, 0, 0], [3, 0, 4]], np.float32))
    assert products.products_of(Csr.of(x), 3, 2.0).tolist() == [[9, 4, 7], [4, 4, 4], [7, 4, 29]]


def test_products_are_sums_in_feature_order_to_the_last_bit() -> None:
    x = sp.random(30, 50, 0.4, "csr", random_state=1, dtype=np.float32)
    rows, expected = x.toarray(), np.ones((30, 30), np.float32)
    for feature in range(50):
        expected += np.outer(rows[:, feature], rows[:, feature])
    assert np.array_equal(products.products_of(Csr.of(x), 50, 1.0), expected)


def dual_by_numpy(x: NDArray[Any], signs: NDArray[Any], options: SolverOptions, seed: int) -> NDArray[Any]:
    """The dual variables of rows `x` with the constant feature, in float64: the solver's visits, written plainly."""
    hessian, n = (x @ x.T) * np.outer(signs, signs) + np.eye(len(x)) * 0.5 / options.cost, len(x)
    alpha, order, active, full, state = np.zeros(n), list(range(n)), n, True, seed
    for passes in range(1, options.max_iter + 1):
        for i in range(active - 1):
            state = (state * 1664525 + 1013904223) % 2**32
            j = i + state * (active - i) // 2**32
            order[i], order[j] = order[j], order[i]
        gradients, at = [0.0], 0
        while at < active:
            i = order[at]
            gradient = hessian[i] @ alpha - 1
            if alpha[i] == 0 and gradient >= 0:
                active -= 1
                order[at], order[active] = order[active], order[at]
                continue
            gradients.append(gradient)
            alpha[i] = max(alpha[i] - gradient / hessian[i, i], 0)
            at += 1
        within = max(gradients) - min(gradients) <= options.tolerance
        if full and within:
            break
        full = not full and (within or passes % PASSES == 0)
        active = n if full else active
    return alpha


def problem_of(n: int) -> tuple[sp.csr_matrix, NDArray[np.float64]]:
    """(n, 40) rows of unit length, and signs that a linear classifier could have given."""
    x = unit_rows(sp.random(n, 40, 0.2, "csr", random_state=0, dtype=np.float32))
    return x, np.where(x @ np.random.default_rng(0).normal(size=40) > 0.3, 1.0, -1.0)


def by_products(x: sp.csr_matrix, signs: NDArray[Any], options: SolverOptions) -> tuple[NDArray[Any], float]:
    weights, pairs = np.zeros(40, np.float32), products.products_of(Csr.of(x), 40, options.bias)
    bias = products.solve_by_products(Csr.of(x), pairs, signs, weights, options, 3)
    return weights, bias


OPTIONS = [SolverOptions(), SolverOptions(tolerance=1e-4, max_iter=500), SolverOptions(cost=3.0, bias=2.0, max_iter=7)]


@pytest.mark.parametrize("options", OPTIONS)
def test_weights_are_those_of_a_plain_solver(options: SolverOptions) -> None:
    x, signs = problem_of(60)
    rows = np.column_stack([x.toarray(), np.full(60, options.bias)])
    expected = (signs * dual_by_numpy(rows, signs, options, 3)) @ rows
    weights, bias = by_products(x, signs, options)
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(weights, expected[:-1], atol=1e-5)
    assert expected[-1] == pytest.approx(bias, abs=1e-5)


@pytest.mark.parametrize("options", OPTIONS)
def test_both_solvers_agree(options: SolverOptions) -> None:
    """They make the same visits in the same order: the results differ by rounding alone."""
    x, signs = problem_of(120)
    squares, rows = np.full(120, 1 + options.bias**2), np.arange(120, dtype=np.int32)
    weights = np.zeros(40, np.float32)
    bias, _ = solve(Problem(Csr.of(x), squares, rows, signs), np.zeros(120), weights, 0.0, options, 3)
    other_weights, other_bias = by_products(x, signs, options)
    assert np.abs(weights).max() > 0.5
    np.testing.assert_allclose(other_weights, weights, atol=1e-5)
    assert other_bias == pytest.approx(bias, abs=1e-5)


def group_of_twelve(together: bool) -> tuple[sp.csr_matrix, Problems]:
    """Twelve problems on the same 60 of 400 rows, as one group or as twelve."""
    rng = np.random.default_rng(1)
    x = unit_rows(sp.random(400, 80, 0.2, "csr", random_state=2, dtype=np.float32))
    rows = np.sort(rng.choice(400, 60, replace=False)).astype(np.int32)
    positives = [np.sort(rng.choice(rows, 9, replace=False)).astype(np.int32) for _ in range(12)]
    ptr, every = np.arange(13) * 9, np.concatenate(positives)
    if together:
        return x, Problems(np.zeros(12, np.int64), np.array([0, 60]), rows, ptr, every)
    return x, Problems(np.arange(12), np.arange(13) * 60, np.tile(rows, 12), ptr, every)


def test_a_group_with_many_problems_gets_the_weights_of_its_problems_alone() -> None:
    """Twelve problems on 60 rows are solved by products; the same problems, each a group of its own, are not."""
    x, together = group_of_twelve(together=True)
    _, alone = group_of_twelve(together=False)
    assert products.pays(60, 12, x[together.rows].nnz)
    assert not products.pays(60, 1, x[together.rows].nnz)
    found, expected = train_linear(x, together).toarray(), train_linear(x, alone).toarray()
    assert np.abs(expected).max() > 0.5
    assert not np.array_equal(found, expected)  # or products were not used
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_by_products_are_the_same_on_one_and_two_threads() -> None:
    x, problems = group_of_twelve(together=True)
    before = get_num_threads()
    try:
        set_num_threads(1)
        one = train_linear(x, problems)
        set_num_threads(2)
        two = train_linear(x, problems)
    finally:
        set_num_threads(before)
    assert (one != two).nnz == 0


def test_groups_of_many_rows_or_few_problems_are_solved_row_by_row() -> None:
    most, each, long = products.MOST_ROWS, products.ROWS_PER_PROBLEM, 1 << 30
    assert products.pays(most, most // each + 1, long)
    assert not products.pays(most + 1, most, long)
    assert products.pays(5 * each, 5, long)
    assert not products.pays(5 * each + 1, 5, long)


def test_groups_of_short_rows_are_solved_row_by_row() -> None:
    ten_each = 10 * products.ROWS_PER_FEATURE
    assert products.pays(ten_each, ten_each, 10 * ten_each)
    assert not products.pays(ten_each, ten_each, 10 * ten_each - 1)
