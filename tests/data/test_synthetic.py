"""Synthetic data: the planted structure is there, and the ceiling is the true one."""

from __future__ import annotations

import itertools
from collections import defaultdict

import numpy as np
import pytest

from xmcbench.data import synthetic
from xmcbench.data.cache import content_hash
from xmcbench.data.ceiling import Plain, _row_marginals, best_precision, plain
from xmcbench.data.synthetic import Parameters, Slots, World
from xmcbench.errors import DataError, UsageError

SMALL = Parameters(rows=400, test=300, labels=60, features=200, branching=10, seed=3)


def test_name_and_parameters() -> None:
    assert synthetic.parameters("synthetic") == Parameters()
    p = synthetic.parameters(" Synthetic[ seed=1, labels=100_000,rows=50000, noise=0.5 ] ")
    assert (p.labels, p.rows, p.noise, p.seed) == (100_000, 50_000, 0.5, 1)
    assert p.name == "synthetic[rows=50000,labels=100000,noise=0.5,seed=1]"
    assert synthetic.parameters(p.name) == p
    assert synthetic.parameters("synthetic[]").name == "synthetic"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("synthetic[label=3]", "Did you mean 'labels'"),
        ("synthetic[labels=many]", "labels='many' is not a whole number"),
        ("synthetic[labels=1]", "labels=1: at least 2"),
        ("synthetic[noise=1.5]", "between 0 and 1"),
        ("synthetic[noise=nan]", "between 0 and 1"),
        ("synthetic[labels=20,parents=2]", "parents=2: 20 labels at branching 20 have 1"),
        ("synthetic[seed=1,seed=2]", "seed is given twice"),
        ("synthetic[labels=10", "not a synthetic data set"),
        ("synthetic[rows=3000000000]", "below 2³¹"),
        ("synthetic[per_row=inf]", "below 2³¹"),
        ("synthetic[per_row=nan]", "per_row=nan: at least 1"),
        ("synthetic[branching=0]", "branching=0: at least 1"),
        ("synthetic[rows=1000000000000]", "below 2³¹"),
        ("synthetic[rows=2000000000]", "about 58,000,058,000 words in all rows, at most 1,000,000,000"),
        ("synthetic[rows=1,test=1,per_row=1e9]", "words in all rows, at most"),
        ("synthetic[labels=2000000000]", "words of labels, at most"),
        ("synthetic[features=2000000000]", "features=2000000000: at most 100,000,000"),
        ("synthetic[labels=2000,parents=100]", "parents=100: too many of 100 nodes"),  # would be drawn for ever
        ("synthetic[seed=" + "9" * 30 + "]", "seed must be below 2⁶³"),
        ("synthetic[seed=" + "9" * 5000 + "]", "is not a whole number"),
    ],
)
def test_bad_names(name: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        synthetic.parameters(name)
    assert said in str(error.value)


def test_rows_that_need_more_memory_than_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 5000}))
    monkeypatch.setattr("psutil.swap_memory", lambda: type("Memory", (), {"free": 0}))
    with pytest.raises(DataError, match=r"synthetic\[rows=1000000\]: it needs 464,928,000 bytes of memory, 5,000 are"):
        synthetic.make(Parameters(rows=1_000_000))


def test_same_seed_same_data() -> None:
    first = content_hash(synthetic.make(SMALL))
    assert first == content_hash(synthetic.make(SMALL))
    assert first != content_hash(synthetic.make(Parameters(**{**vars(SMALL), "seed": 4})))


def test_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a chunk depend on its number alone, and slots keep their rows."""
    monkeypatch.setattr(synthetic, "CHUNK", 100)
    world = synthetic.make_world(SMALL)
    long, slots = synthetic._split(SMALL, world, 250, 1)
    short, _ = synthetic._split(SMALL, world, 100, 1)
    assert long.features is not None
    assert short.features is not None
    assert (long.features[:100] != short.features).nnz == 0
    assert list(long.texts or [])[:100] == list(short.texts or [])
    for row in (0, 99, 100, 249):
        assert set(long.labels[row].indices) == set(slots.label[slots.row == row])


def test_what_the_docstring_says() -> None:
    p = Parameters(rows=5000, test=10, labels=200, features=1000, parents=3, noise=0.25, seed=1)
    world = synthetic.make_world(p)
    assert world.frequency.sum() == pytest.approx(1)
    ranked = np.sort(world.frequency)[::-1]
    np.testing.assert_allclose(ranked / ranked[0], 1 / np.arange(1, 201))
    assert all(len(set(row)) == 3 for row in world.parents.tolist())
    rows, slots = synthetic._split(p, world, p.rows, 1)
    assert len(slots.row) / p.rows == pytest.approx(p.per_row, rel=0.02)
    assert (~slots.shown).mean() == pytest.approx(p.noise, abs=0.01)
    assert all(n in world.parents[label] for n, label in zip(slots.node, slots.label, strict=True))
    drawn = np.bincount(slots.label, minlength=200) / len(slots.label)
    np.testing.assert_allclose(drawn, world.frequency, atol=0.01)
    assert rows.features is not None
    np.testing.assert_allclose(rows.features.multiply(rows.features).sum(axis=1), 1, rtol=1e-5)
    assert rows.features.has_sorted_indices
    first = (slots.row == 0) & slots.shown
    words = {*world.node_words[slots.node[slots.row == 0]].ravel(), *world.label_words[slots.label[first]].ravel()}
    assert words <= set(rows.features[0].indices)
    assert rows.texts is not None
    counts = {f"w{w}": rows.texts[0].split().count(f"w{w}") for w in rows.features[0].indices}
    assert set(counts) == set(rows.texts[0].split())
    longest = np.sqrt(sum(n * n for n in counts.values()))
    np.testing.assert_allclose(rows.features[0].data, [n / longest for n in counts.values()], rtol=1e-6)


def by_enumeration(world: World, nodes: list[int], shown: list[int | None], noise: float) -> dict[int, float]:
    """P(label true | slots) by summing the joint probability of every assignment of labels to slots."""
    n_labels, n_parents = world.parents.shape
    total, true = 0.0, defaultdict(float)
    for labels in itertools.product(range(n_labels), repeat=len(nodes)):
        chance = 1.0
        for label, node, said in zip(labels, nodes, shown, strict=True):
            chance *= world.frequency[label] * (node in world.parents[label]) / n_parents
            chance *= noise if said is None else (1 - noise) * (said == label)
        total += chance
        for label in set(labels):
            true[label] += chance
    return {label: p / total for label, p in true.items() if p > 0}


def marginals(data: Plain, row: int) -> dict[int, float]:
    """P(label is true | what the slots of this row show) by label, where it isn't 0."""
    labels, chances = _row_marginals(data, row, np.ones(len(data.frequency)))
    return dict(zip(labels.tolist(), chances.tolist(), strict=True))


@pytest.mark.parametrize(
    ("nodes", "shown"),
    [
        ([0, 1], [None, None]),
        ([0, 0, 0], [None, None, None]),
        ([0, 1, 2], [None, 1, None]),
        ([1, 1], [1, None]),
        ([2], [4]),
    ],
)
def test_marginals_against_enumeration(nodes: list[int], shown: list[int | None]) -> None:
    frequency = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
    parents = np.array([[0, 1], [1, 2], [0, 2], [0, 1], [2, 0]])
    world = World(frequency, parents, np.zeros((5, 1), np.int64), np.zeros((3, 1), np.int64))
    slots = Slots(
        np.ones(len(nodes), np.int64),
        np.array([0 if s is None else s for s in shown]),
        np.array(nodes),
        np.array([s is not None for s in shown]),
    )
    found = marginals(plain(world, slots, 3), 1)
    expected = by_enumeration(world, nodes, shown, 0.3)
    assert found.keys() == expected.keys()
    for label, chance in expected.items():
        assert found[label] == pytest.approx(chance)
    assert marginals(plain(world, slots, 3), 0) == {}
    best = sorted(expected.values(), reverse=True)
    assert best_precision(world, slots, 1 + 1)["P@1"] == pytest.approx(best[0] / 2)
    assert best_precision(world, slots, 2)["P@3"] == pytest.approx(sum(best[:3]) / 6)


def test_who_knows_the_model_reaches_the_ceiling_and_popularity_does_not() -> None:
    p = Parameters(rows=10, test=6000, labels=80, features=300, branching=10, noise=0.6, seed=5)
    world = synthetic.make_world(p)
    test, slots = synthetic._split(p, world, p.test, 2)
    said = synthetic.make(p).extra["best_reachable"]
    data = plain(world, slots, p.test)
    popular = np.argsort(-world.frequency)[:5].tolist()
    for k in (1, 3, 5):
        hits, floor = np.zeros(p.test), np.zeros(p.test)
        for row in range(p.test):
            chances = marginals(data, row)
            true = set(test.labels[row].indices.tolist())
            hits[row] = len(true & set(sorted(chances, key=lambda label: -chances[label])[:k])) / k
            floor[row] = len(true & set(popular[:k])) / k
        error = hits.std() / np.sqrt(p.test)
        assert abs(hits.mean() - said[f"P@{k}"]) < 4 * error
        assert floor.mean() < said[f"P@{k}"] - 4 * error


def test_no_noise_means_all_shown() -> None:
    made = synthetic.make(Parameters(rows=10, test=500, labels=50, noise=0.0, branching=5))
    sizes = np.diff(made.test.labels.indptr)
    for k in (1, 3, 5):
        assert made.extra["best_reachable"][f"P@{k}"] == pytest.approx(np.minimum(sizes, k).mean() / k)
