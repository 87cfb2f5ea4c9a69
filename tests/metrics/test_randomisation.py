from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from xmcbench.errors import UsageError
from xmcbench.metrics import evaluate, holm, paired_test
from xmcbench.metrics.kernels import flip
from xmcbench.metrics.randomisation import bound, p_of
from xmcbench.topk import TopK


def splitmix64(state: int, count: int) -> list[int]:
    """The generator's reference form in whole numbers."""
    out, mask = [], 2**64 - 1
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        out.append(z ^ (z >> 31))
    return out


def rows(numerators: Any, denominators: Any = None) -> dict[str, NDArray[np.float32]]:
    found = {"M": np.asarray(numerators, np.float32)}
    return found if denominators is None else {**found, "M/den": np.asarray(denominators, np.float32)}


def exact(d: NDArray[np.float64]) -> float:
    """The share of all 2^n sign patterns whose sum is as far from 0."""
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(d))))
    return float((np.abs(signs @ d) >= abs(d.sum()) - 1e-6 * np.abs(d).sum()).mean())


def signs(state: int, words: int) -> NDArray[np.int64]:
    """The signs that `kernels.flip` draws from a state."""
    return np.array([1 if (bits >> b) & 1 else -1 for bits in splitmix64(state, words) for b in range(64)])


@pytest.mark.parametrize("n", [1, 2, 150])
def test_p_equals_its_plain_twin(n: int) -> None:
    """Every draw of one half with every draw of the other, and the observed signs among both."""
    d = np.random.default_rng(n).standard_normal(n) + 0.15
    states = np.random.SeedSequence(5).generate_state(60, np.uint64)
    halves = [
        [half.sum(), *(signs(int(state), -(-len(half) // 64))[: len(half)] @ half for state in drawn)]
        for half, drawn in ((d[::2], states[:30]), (d[1::2], states[30:]))
    ]
    far = [abs(a + b) >= abs(d.sum()) - 1e-6 * np.abs(d).sum() for a in halves[0] for b in halves[1]]
    assert p_of(np.maximum(d, 0), np.maximum(-d, 0), resamples=30, seed=5) == pytest.approx(np.mean(far), abs=1e-12)


def test_signs_equal_their_plain_twin() -> None:
    d = np.random.default_rng(0).standard_normal(192)
    states = np.random.SeedSequence(5).generate_state(7, np.uint64)
    found = np.empty(7)
    flip(0, 3, d, states, found)
    flip(3, 7, d, states, found)
    for state, value in zip(states, found, strict=True):
        assert value == pytest.approx(signs(int(state), 3) @ d, abs=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        ([1, 1, 1, 1], [0, 0, 0, 0], 2 / 16),  # all four one way, or all the other
        ([1, 1, 1, 0], [0, 0, 0, 1], 10 / 16),  # 3 against 1: two patterns are further, eight as far
        ([1, 0, 1, 0], [0, 1, 0, 1], 1.0),
        ([0.2, 0.6, 1.0], [0.0, 0.4, 0.8], 2 / 8),  # 0.2 three times, but for the rounding of float32
        ([3, 1, 1, 5], [1, 1, 1, 5], 1.0),  # one row differs: either way it is as far
        ([3, 1], [3, 1], 1.0),
        ([], [], None),
    ],
)
def test_small_cases_by_hand(a: list[float], b: list[float], p: float | None) -> None:
    found = paired_test(rows(a), rows(b), "M", resamples=20_000)
    assert found is not None
    assert found.p == (None if p is None else pytest.approx(p, abs=0.01))


def test_counts_and_difference_by_hand() -> None:
    found = paired_test(rows([2, 0, 1, 1], [4, 4, 1, 1]), rows([1, 1, 0, 1], [4, 4, 1, 1]), "M")
    assert found is not None
    assert (found.difference, found.won, found.lost) == (pytest.approx(0.1), 2, 1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=11), st.integers(0, 2**32 - 1))
def test_all_sign_patterns_counted(d: list[int], seed: int) -> None:
    found = paired_test(rows(np.maximum(d, 0)), rows(np.maximum(np.negative(d), 0)), "M", seed=seed)
    truth = exact(np.array(d, np.float64))
    assert found is not None
    assert found.p is not None
    assert abs(found.p - truth) < 5 * np.sqrt(truth * (1 - truth) / 10_000) + 2e-4


def p_by_rows(a: Any, b: Any, **options: Any) -> float:
    found = paired_test(rows(a), rows(b), "M", **options)
    assert found is not None
    assert found.p is not None
    return found.p


def mean_difference(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.mean(a - b, axis=axis)


@pytest.mark.parametrize(("seed", "n"), [(0, 8), (1, 10), (2, 12), (3, 150)])
def test_equal_to_scipys_permutation_test(seed: int, n: int) -> None:
    """Swapping the pair of a row is scipy's permutation type `samples`, exact there up to 12 rows.

    The tolerance is five standard errors of the random draws on each side, and 1/10,001 for the observed one.
    """
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, n)).astype(np.float32).astype(np.float64)
    a += 0.1
    known = stats.permutation_test(
        (a, b), mean_difference, permutation_type="samples", vectorized=True, n_resamples=9999, rng=rng
    ).pvalue
    assert p_by_rows(a, b) == pytest.approx(known, abs=5 * np.sqrt(2 * known * (1 - known) / 10_000) + 2e-4)


@pytest.mark.parametrize(("won", "lost"), [(6, 2), (9, 3), (40, 25), (3, 3)])
def test_of_hits_and_misses_it_is_the_sign_test(won: int, lost: int) -> None:
    """P@1 differs by 1, 0 or −1: the exact p is that of the binomial test on the rows that differ (McNemar's)."""
    a, b = np.repeat([1, 0, 1], [won, lost, 30]), np.repeat([0, 1, 1], [won, lost, 30])
    known = stats.binomtest(won, won + lost).pvalue
    assert p_by_rows(a, b) == pytest.approx(known, abs=5 * np.sqrt(known * (1 - known) / 10_000) + 2e-4)
    if won + lost <= 12:  # where scipy's Wilcoxon test can visit all swaps: ranks are equal, so it is the same test
        differ = a != b
        ranks = stats.wilcoxon(a[differ], b[differ], method=stats.PermutationMethod(n_resamples=2**12)).pvalue
        assert ranks == pytest.approx(known)


def test_near_the_t_test_on_many_rows_and_not_on_few() -> None:
    """Of many rows both p come from the same normal law. On few, the t-test assumes that differences are normal."""
    rng = np.random.default_rng(11)
    a, b = rng.random((2, 2000))
    for shift in (0.005, 0.015, 0.02):
        known = stats.ttest_rel(a + shift, b).pvalue
        assert p_by_rows(a + shift, b) == pytest.approx(known, abs=5 * np.sqrt(known * (1 - known) / 10_000) + 2e-3)
    few = np.array([1.0, 1.1, 0.9, 1.0])
    assert stats.ttest_rel(few, np.zeros(4)).pvalue < 0.001
    assert p_by_rows(few, np.zeros(4)) == pytest.approx(2 / 16, abs=0.017)  # no swap of four rows can say more


def test_wilcoxon_asks_another_question() -> None:
    """Ranks ignore how large a difference is; a metric is a mean, so its test must not ignore it."""
    a, b = np.zeros(30), np.full(30, 0.01)
    a[0] = 1.0  # one large gain, 29 small losses: the mean of a is larger
    assert stats.wilcoxon(a, b).pvalue < 0.001
    assert p_by_rows(a, b) > 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=11))
def test_the_bound_is_never_below_the_exact_p(d: list[float]) -> None:
    array = np.array([x for x in d if x], np.float64)
    assert bound(array) >= exact(array) - 1e-12


def test_far_beyond_resampling_p_is_the_bound_and_near_it_is_resampled() -> None:
    zeros, ones = rows(np.zeros(4000)), rows(np.ones(4000))
    far = paired_test(ones, zeros, "M")
    assert far is not None
    assert far.p == pytest.approx(2 * np.exp(-2000), rel=1e-2, abs=0)
    # 18 rows: exactly 2 of 2^18. 2 exp(−9) = 0.00025 is above 1 / 10,001, so that the signs are drawn, nine and nine:
    # one draw of 512 has nine alike, about 20 of 10,001 draws, and 20 × 20 pairs of draws have 18 alike
    near = paired_test(rows(np.ones(18)), rows(np.zeros(18)), "M")
    assert near is not None
    assert near.p == pytest.approx(2 / 2**18, rel=0.9, abs=0)


def test_small_p_need_no_more_draws() -> None:
    """200 wins and losses: p of the sign test to a fifth where single draws would be wrong by a half."""
    for won in (125, 126):
        known = stats.binomtest(won, 200).pvalue
        assert 0.0001 < known < 0.001
        found = [p_by_rows(np.arange(200) < won, np.arange(200) >= won, seed=seed) for seed in range(20)]
        assert np.std(found) < 0.2 * known
        assert np.mean(found) == pytest.approx(known, rel=0.15)


def test_p_is_valid_with_few_draws() -> None:
    """P(p ≤ α) ≤ α under the null hypothesis, though sums share their draws: of 4 draws a half, 25 pairs of signs."""
    rng = np.random.default_rng(8)
    found = np.array([p_of(*rng.random((2, 12)), resamples=4, seed=seed) for seed in range(3000)])
    for level in np.arange(1, 25) / 25:
        assert np.mean(found <= level + 1e-12) <= level + 3.5 * np.sqrt(level * (1 - level) / 3000)


def test_p_is_uniform_where_the_methods_are_alike() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(400):
        a, b = rng.random((2, 80))
        test = paired_test(rows(a), rows(b), "M", resamples=999, seed=1)
        assert test is not None
        found.append(test.p)
    for level in (0.05, 0.25, 0.5, 0.75):
        share = np.mean(np.array(found) <= level)
        assert abs(share - level) < 3.5 * np.sqrt(level * (1 - level) / 400)


def test_a_group_swaps_as_one() -> None:
    """Copies of rows are no more evidence than the rows."""
    rng = np.random.default_rng(4)
    a, b = rng.random((2, 12)) + np.array([[0.3], [0.0]])
    copies = np.repeat(np.arange(12), 5)
    first = np.repeat(np.arange(0, 60, 5), 5)
    once = exact(a - b)
    grouped = paired_test(rows(a[copies]), rows(b[copies]), "M", groups=first.astype(np.int32))
    alone = paired_test(rows(a[copies]), rows(b[copies]), "M")
    assert grouped is not None
    assert alone is not None
    assert grouped.p == pytest.approx(once, abs=0.02)
    assert alone.p < once / 2
    assert (grouped.won, grouped.difference) == (alone.won, alone.difference)


def test_a_group_whose_rows_cancel_counts_for_nothing() -> None:
    a, b = [0.6, 0.2, 1], [0.4, 0.4, 0]  # float32: 0.6 − 0.4 and 0.2 − 0.4 leave a rounding
    found = paired_test(rows(a), rows(b), "M", groups=np.array([0, 0, 2]))
    assert found is not None
    assert (found.p, found.won, found.lost) == (1.0, 2, 1)


def test_the_number_of_threads_changes_nothing_and_the_seed_does() -> None:
    rng = np.random.default_rng(5)
    a, b = rows(rng.random(500)), rows(rng.random(500))
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = paired_test(a, b, "M")
    finally:
        numba.set_num_threads(before)
    assert one == paired_test(a, b, "M")
    assert one != paired_test(a, b, "M", seed=1)
    back = paired_test(b, a, "M")
    assert back is not None
    assert one is not None
    assert (back.p, back.won, back.difference) == (one.p, one.lost, pytest.approx(-one.difference))


def test_on_real_metrics(world: Callable[..., Any]) -> None:
    topk, truth = world(0, n=400)
    worse = TopK.from_arrays(np.where(np.arange(400)[:, None] % 20 == 0, -1, topk.ids), topk.scores)
    names = ["P@3", "PSP@3", "P@3:tail", "MacroF1@5"]
    a, b = evaluate(topk, truth, names, samples=0), evaluate(worse, truth, names, samples=0)
    for name, v, w in zip(names[:3], a.values, b.values, strict=False):
        found = paired_test(a.rows, b.rows, name)
        assert found is not None
        assert found.difference == pytest.approx(v.value - w.value, abs=1e-6)
        assert found.lost == 0
        assert 0 < found.won < 400
        assert found.p == pytest.approx(2 * 0.5**found.won, abs=0.002)  # rows without a change drop out
    assert paired_test(a.rows, b.rows, "MacroF1@5") is None


def test_what_can_not_be_paired() -> None:
    assert paired_test(rows([1]), {}, "M") is None
    with pytest.raises(UsageError, match="2 rows against 1"):
        paired_test(rows([1, 2]), rows([1]), "M")
    for other in (rows([1], [3]), rows([1])):
        with pytest.raises(UsageError, match="different denominators"):
            paired_test(rows([1], [2]), other, "M")
    for groups in ([0], [0, 2], [-1, 0], [0.0, 1.0], [[0, 1]]):
        with pytest.raises(UsageError, match="don't fit 2 rows"):
            paired_test(rows([1, 2]), rows([1, 1]), "M", groups=np.array(groups))
    nothing = paired_test(rows([0, 0], [0, 0]), rows([0, 0], [0, 0]), "M")
    assert nothing is not None
    assert dataclasses.astuple(nothing) == (None, None, 0, 0)


def test_holm_by_hand() -> None:
    # in order 0.005 × 4, 0.01 × 3, 0.03 × 2, 0.04 × 1; the last must not fall below the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_order_and_is_never_below_p_nor_above_bonferroni(p: list[float]) -> None:
    adjusted = holm(p)
    for i, j in itertools.product(range(len(p)), repeat=2):
        assert not (p[i] < p[j] and adjusted[i] > adjusted[j])
    for before, after in zip(p, adjusted, strict=True):
        assert before <= after <= min(1.0, before * len(p))
