from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from xmcbench.errors import UsageError
from xmcbench.metrics import difference, evaluate
from xmcbench.metrics.kernels import resample
from xmcbench.metrics.truth import Truth
from xmcbench.metrics.uncertainty import ends, intervals
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


def test_resampling_equals_its_plain_twin() -> None:
    columns = np.random.default_rng(0).random((37, 3)).astype(np.float32)
    columns[::4] = 0
    states = np.random.SeedSequence(5).generate_state(11, np.uint64)
    found = np.empty((11, 3))
    resample(0, 5, columns, states, found)
    resample(5, 11, columns, states, found)
    for state, sums in zip(states, found, strict=True):
        rows = [((bits >> 32) * 37) >> 32 for bits in splitmix64(int(state), 37)]
        np.testing.assert_allclose(sums, columns[rows].sum(axis=0, dtype=np.float64), rtol=1e-12)


def test_interval_of_a_mean_is_that_of_numpys_bootstrap_and_of_the_normal_law() -> None:
    rng = np.random.default_rng(1)
    x = rng.random(2000).astype(np.float32)
    ((low, high),) = intervals([(x, None)], 4000, 0)
    assert low is not None
    assert high is not None
    means = x[rng.integers(0, 2000, (4000, 2000))].mean(axis=1)
    np.testing.assert_allclose([low, high], np.quantile(means, [0.025, 0.975]), atol=0.0015)
    half = 1.96 * x.std() / np.sqrt(2000)
    np.testing.assert_allclose([low, high], [x.mean() - half, x.mean() + half], atol=0.0015)


def test_equal_to_scipys_percentile_bootstrap() -> None:
    """Means, ratios and paired differences, within a third of the bootstrap's standard error.

    An end of 4,000 resamples has a standard error of 0.043 bootstrap standard errors, and both sides are random.
    """
    rng = np.random.default_rng(4)
    top, bottom = rng.random((2, 300)).astype(np.float32)
    bottom += top
    other = np.minimum(top + rng.normal(0, 0.1, 300).astype(np.float32), bottom)

    def known(columns: tuple[Any, ...], statistic: Callable[..., Any]) -> tuple[Any, float]:
        options: Any = {"paired": True, "vectorized": True, "method": "percentile", "n_resamples": 4000, "rng": rng}
        found = stats.bootstrap(columns, statistic, **options)
        return found.confidence_interval, float(found.standard_error)

    mean, error = known((top,), lambda x, axis: x.mean(axis=axis))
    ratio, ratio_error = known((top, bottom), lambda x, y, axis: x.sum(axis=axis) / y.sum(axis=axis))
    ours = intervals([(top, None), (top, bottom)], 4000, 0)
    np.testing.assert_allclose(ours[0], mean, atol=error / 3)
    np.testing.assert_allclose(ours[1], ratio, atol=ratio_error / 3)
    gap, error = known((top, other, bottom), lambda x, y, z, axis: (x - y).sum(axis=axis) / z.sum(axis=axis))
    sides = ({"M": side, "M/den": bottom} for side in (top, other))
    found = difference(*sides, "M", samples=4000, seed=0)
    assert found is not None
    np.testing.assert_allclose([found.low, found.high], gap, atol=error / 3)


def test_a_ratio_draws_numerator_and_denominator_together() -> None:
    """If every row has the same ratio, no resample can change it, however much the rows differ."""
    weight = np.random.default_rng(2).pareto(1.0, 300).astype(np.float32)
    ((low, high),) = intervals([(weight * np.float32(0.5), weight)], 500, 0)
    assert low == pytest.approx(0.5, abs=1e-6)
    assert high == pytest.approx(0.5, abs=1e-6)


def test_the_seed_decides_and_zero_samples_give_no_interval(world: Callable[..., Any]) -> None:
    topk, truth = world(0)
    names = ["P@3", "PSP@3", "PSnDCG@5:tail", "R@3:novel"]
    first, again = evaluate(topk, truth, names, seed=1), evaluate(topk, truth, names, seed=1)
    assert first.values == again.values
    assert evaluate(topk, truth, names, seed=2).values != first.values
    for v in first.values:
        assert v.low is not None
        assert v.low <= v.value <= v.high
        assert v.low < v.high
    for v in evaluate(topk, truth, [*names, "Coverage@5"], samples=0).values:
        assert v.low is None
        assert v.high is None


def test_values_do_not_depend_on_what_else_is_asked(world: Callable[..., Any]) -> None:
    topk, truth = world(1)
    together = evaluate(topk, truth, ["P@1", "PSP@5", "P@1:tail"], samples=200).values
    apart = [evaluate(topk, truth, [v.name], samples=200).values[0] for v in together]
    assert together == apart


def test_rows_give_back_the_value(world: Callable[..., Any]) -> None:
    topk, truth = world(2)
    found = evaluate(topk, truth, ["nDCG@5", "PSP@5", "PSP@5:tail", "P@3:novel", "Coverage@5"], samples=0)
    assert set(found.rows) == {
        *("nDCG@5", "PSP@5", "PSP@5/den", "PSP@5:tail", "PSP@5:tail/den", "P@3:novel", "P@3:novel/den")
    }
    for v in found.values[:4]:
        top, bottom = found.rows[v.name], found.rows.get(v.name + "/den", np.ones(truth.n_rows, np.float32))
        assert top.dtype == np.float32
        assert top.sum(dtype=float) / bottom.sum(dtype=float) == pytest.approx(v.value, rel=1e-6)


def test_difference_is_paired(world: Callable[..., Any]) -> None:
    topk, truth = world(0, n=400)
    worse = TopK.from_arrays(np.where(np.arange(400)[:, None] % 20 == 0, -1, topk.ids), topk.scores)
    names = ["P@3", "PSP@3", "P@3:tail", "MacroF1@5"]
    a, b = evaluate(topk, truth, names), evaluate(worse, truth, names)
    for name, v, w in zip(names[:3], a.values, b.values, strict=False):
        gap = difference(a.rows, b.rows, name, samples=500, seed=3)
        assert gap is not None
        assert gap.value == pytest.approx(v.value - w.value, abs=1e-6)
        assert 0 < gap.low <= gap.value <= gap.high
        assert gap.high - gap.low < 0.8 * (v.high - v.low)  # the rows the two share cancel
        assert gap == difference(a.rows, b.rows, name, samples=500, seed=3)
        back = difference(b.rows, a.rows, name, samples=500, seed=3)
        assert (back.value, back.low) == (pytest.approx(-gap.value), pytest.approx(-gap.high))
    same = difference(a.rows, a.rows, "PSP@3", samples=100, seed=0)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    none = difference(a.rows, b.rows, "P@3", samples=0, seed=0)
    assert none.value is not None
    assert (none.low, none.high) == (None, None)


def test_difference_where_there_is_nothing_to_pair(world: Callable[..., Any]) -> None:
    topk, truth = world(0)
    rows = evaluate(topk, truth, ["P@1", "Coverage@5"], samples=0).rows
    assert difference(rows, rows, "Coverage@5", 10, 0) is None
    assert difference(rows, {}, "P@1", 10, 0) is None
    with pytest.raises(UsageError, match="60 rows against 59"):
        difference(rows, {"P@1": rows["P@1"][1:]}, "P@1", 10, 0)
    nothing = {"P@1": np.zeros(3, np.float32), "P@1/den": np.zeros(3, np.float32)}
    assert dataclasses.astuple(difference(nothing, nothing, "P@1", 10, 0)) == (None, None, None)


def test_groups_are_drawn_whole() -> None:
    """Copies of rows in groups give the interval of the rows; each alone, one that is too narrow."""
    rng = np.random.default_rng(6)
    top, bottom = rng.random((2, 100)).astype(np.float32)
    copies, first = np.repeat(np.arange(100), 4), np.repeat(np.arange(0, 400, 4), 4)
    many = [(top[copies], None), (top[copies], bottom[copies])]
    plain = intervals([(top, None), (top, bottom)], 500, 0)
    np.testing.assert_allclose(intervals(many, 500, 0, first), plain, rtol=1e-5)
    for (low, high), (least, most) in zip(intervals(many, 500, 0), plain, strict=True):
        assert high - low < 0.65 * (most - least)


def test_groups_of_unlike_size_equal_a_plain_twin() -> None:
    rng = np.random.default_rng(7)
    top, bottom = rng.random((2, 30)).astype(np.float32)
    groups = np.array([min(row, row // 7 * 7 if row % 7 < 4 else row) for row in range(30)])
    here = np.unique(groups)
    members = [np.flatnonzero(groups == g) for g in here]
    means, ratios = [], []
    for state in np.random.SeedSequence(1).generate_state(300, np.uint64):
        drawn = [((bits >> 32) * len(here)) >> 32 for bits in splitmix64(int(state), len(here))]
        chosen = np.concatenate([members[g] for g in drawn])
        means.append(top[chosen].mean(dtype=float))
        ratios.append(top[chosen].sum(dtype=float) / bottom[chosen].sum(dtype=float))
    found = intervals([(top, None), (top, bottom)], 300, 1, groups)
    np.testing.assert_allclose(found, [np.quantile(x, [0.025, 0.975]) for x in (means, ratios)], rtol=1e-5)


def test_grouped_difference(world: Callable[..., Any]) -> None:
    topk, truth = world(3)
    a = evaluate(topk, truth, ["P@3", "PSP@3"], samples=0).rows
    b = {name: column if name.endswith("/den") else column[::-1].copy() for name, column in a.items()}
    alone = np.arange(truth.n_rows, dtype=np.int32)
    for name in ("P@3", "PSP@3"):
        plain, own, pairs = (difference(a, b, name, 300, 0, groups) for groups in (None, alone, alone // 2 * 2))
        assert plain is not None
        assert own is not None
        assert pairs is not None
        np.testing.assert_allclose(dataclasses.astuple(own), dataclasses.astuple(plain), atol=1e-7)
        assert pairs.value == plain.value
        assert pairs.low != pytest.approx(plain.low, abs=1e-6)
    with pytest.raises(UsageError, match="don't fit 60 rows"):
        difference(a, b, "P@3", 10, 0, alone[1:])


def test_evaluation_draws_near_duplicates_together() -> None:
    """Copies of one document say what one says: their interval is that of half as many rows."""
    truth = Truth.build(sp.csr_matrix(np.ones((40, 1), np.float32)))
    topk = TopK.from_arrays(np.arange(40)[:, None] % 2 * -1, np.ones((40, 1)))  # every other row predicts nothing
    pairs = (np.arange(40) // 2 * 2).astype(np.int32)
    alike = (np.arange(40) % 2).astype(np.int32)
    alone, paired, two = (evaluate(topk, truth, ["P@1"], groups=groups).values[0] for groups in (None, pairs, alike))
    assert (alone.value, paired.value, two.value) == (0.5, 0.5, 0.5)
    assert (paired.low, paired.high) == (0.5, 0.5)  # each pair has one hit
    assert (two.low, two.high) == (0.0, 1.0)  # all the hits, or none of them
    assert alone.low is not None
    assert 0.2 < alone.low < 0.5


def test_ends_are_numpys_quantiles_of_the_finite_values() -> None:
    values = np.random.default_rng(6).random((4, 101))
    values[1, ::3] = np.nan
    values[2, 1:] = np.nan
    values[3] = np.nan
    found = ends(values)
    for row, of_row in zip(values[:3], found, strict=False):
        np.testing.assert_allclose(of_row, np.quantile(row[np.isfinite(row)], (0.025, 0.975)), rtol=1e-12)
    assert found[2] == (values[2, 0], values[2, 0])
    assert found[3] == (None, None)
