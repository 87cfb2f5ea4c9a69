"""Groups trained as a one-vs-rest and the others problem by problem: every problem at its own optimum, in its place."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.sparse import linear
from xmcbench.sparse.csr import unit_rows
from xmcbench.sparse.dual import SolverOptions
from xmcbench.sparse.linear import Problems, train_groups, train_linear

EXACT = SolverOptions(tolerance=1e-5, max_iter=2000)


def groups(seed: int = 0) -> tuple[sp.csr_matrix, Problems]:
    """Four groups of rows with 2, 20, 3 and 18 problems; the second and the last are many over many rows."""
    rng = np.random.default_rng(seed)
    x = unit_rows(sp.random(400, 50, 0.2, "csr", random_state=seed, dtype=np.float32))
    kids = [2, 20, 3, 18]
    rows = np.zeros((400, 4), bool)
    rows[:300, 0] = rows[100:, 1] = rows[::9, 2] = True
    rows[:, 3] = True
    group = np.repeat(np.arange(4), kids)
    margins = x @ rng.normal(size=(50, len(group))) + rng.normal(size=(400, len(group))) * 0.2
    positives = (margins > 0.4) & rows[:, group]
    return x, Problems.of_columns(sp.csc_matrix(rows), sp.csc_matrix(positives), group)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MANY_ROWS", 200)


def test_every_problem_gets_what_it_gets_alone() -> None:
    x, problems = groups()
    together = train_groups(x, problems, EXACT).toarray()
    alone = train_linear(x, problems, EXACT).toarray()
    np.testing.assert_allclose(together, alone, atol=2e-3)


def test_it_is_one_vs_rest_that_trains_the_large_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    solve = linear.train_one_vs_rest

    def spy(features: sp.csr_matrix, labels: sp.csc_matrix, *how: object) -> sp.csr_matrix:
        shapes.append((features.shape[0], labels.shape[1]))
        return solve(features, labels, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(linear, "train_one_vs_rest", spy)
    x, problems = groups()
    train_groups(x, problems)
    assert shapes == [(300, 20), (400, 18)]


def test_threads_change_nothing_and_progress_rises_to_all() -> None:
    x, problems = groups(1)
    said: list[float] = []
    options = SolverOptions(threshold=0.1, seed=3)
    many = train_groups(x, problems, options, lambda done, total: said.append(done / total))
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = train_groups(x, problems, options)
    finally:
        numba.set_num_threads(before)
    for part in ("indptr", "indices", "data"):
        assert np.array_equal(getattr(many, part), getattr(one, part))
    assert said == sorted(said)
    assert said[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(("first", "last"), [(0, 43), (5, 30), (22, 25), (4, 4)])
def test_a_block_of_problems(first: int, last: int) -> None:
    x, problems = groups()
    block = train_groups(x, problems.part(first, last), EXACT).toarray()
    assert block.shape == (last - first, 51)
    np.testing.assert_allclose(block, train_groups(x, problems, EXACT).toarray()[first:last], atol=2e-3)


def test_a_selection_is_the_problems_named() -> None:
    _, problems = groups()
    chosen = problems.part(3, 40).select(np.array([0, 7, 36]))
    assert chosen.group.tolist() == problems.group[[3, 10, 39]].tolist()
    for place, number in enumerate([3, 10, 39]):
        own = problems.positives[problems.positive_ptr[number] : problems.positive_ptr[number + 1]]
        assert np.array_equal(chosen.positives[chosen.positive_ptr[place] : chosen.positive_ptr[place + 1]], own)
