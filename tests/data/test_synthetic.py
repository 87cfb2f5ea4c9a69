"""Synthetic data: the planted structure is there, and the ceiling is the true one."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict

import numpy as np
import pytest

from xmcbench.data import planted, presets, synthetic
from xmcbench.data.cache import content_hash
from xmcbench.data.catalogue import entry
from xmcbench.data.ceiling import Ceiling, Plain, _row_marginals
from xmcbench.data.planted import Slots, World
from xmcbench.data.spec import Split
from xmcbench.data.synthetic import Parameters
from xmcbench.errors import DataError, UsageError

SMALL = Parameters(rows=400, test=300, labels=60, features=200, branching=10, seed=3)


def split_of(p: Parameters, world: World, which: str) -> tuple[Split, Slots]:
    """Rows of one chunk and their slots."""
    seen: list[Slots] = []
    rows = planted.make_split(p, world, which, lambda slots, n: seen.append(slots))
    return rows, seen[0]


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
        ("synthetic[labels=20,parents=2]", "have 1 parent, one for each 20 (branching); give labels=21 or more"),
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
        ("synthetic[exponent=5]", "exponent=5.0: at most 4"),
        ("synthetic[per_row=2,per_topic=3]", "per_topic=3.0: more than per_row=2.0"),
        ("synthetic[preset=amazon-670]", "Did you mean 'amazon-670k'"),
        ("synthetic[preset=]", "preset of synthetic"),
        ("synthetic[texts=2]", "texts='2' is not true or false"),
        ("synthetic[preset=amazon-3m,shift=-1]", "shift=-1.0: at least 0"),
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


def test_rows_do_not_depend_on_chunks_after_them_nor_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "CHUNK", 100)
    p = dataclasses.replace(SMALL, rows=250, per_topic=2.0)
    world = planted.make_world(p)
    long, slots = split_of(p, world, "train")
    short, _ = split_of(dataclasses.replace(p, rows=100), world, "train")
    monkeypatch.setattr(planted, "BLOCK", 7)
    blocks, _ = split_of(p, world, "train")
    for part, rows in ((short, slice(0, 100)), (blocks, slice(0, 250))):
        assert long.features is not None
        assert part.features is not None
        assert (long.features[rows] != part.features).nnz == 0
        assert (long.labels[rows] != part.labels).nnz == 0
        assert list(long.texts or [])[rows] == list(part.texts or [])
    for row in (0, 98, 99):
        assert set(long.labels[row].indices) == set(slots.label[slots.row == row])


def test_data_of_earlier_versions_is_made_again() -> None:
    """Leaderboards have records on it: another hash needs another `VERSION`."""
    p = synthetic.parameters("synthetic[rows=1000,test=200,labels=100]")
    assert content_hash(synthetic.make(p)).startswith("sha256:d718d84d77cc7f7bd793f3cc")


def test_what_the_docstring_says() -> None:
    p = Parameters(rows=5000, test=10, labels=200, features=1000, parents=3, noise=0.25, seed=1)
    world = planted.make_world(p)
    assert world.frequency.sum() == pytest.approx(1)
    ranked = np.sort(world.frequency)[::-1]
    np.testing.assert_allclose(ranked / ranked[0], 1 / np.arange(1, 201))
    assert all(len(set(row)) == 3 for row in world.parents.tolist())
    rows, slots = split_of(p, world, "train")
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
        np.ones(len(nodes), np.int32),
        np.array([0 if s is None else s for s in shown], np.int32),
        np.array(nodes, np.int32),
        np.array([s is not None for s in shown]),
        np.ones(len(nodes), np.bool_),
    )
    ceiling = Ceiling(world)
    data = ceiling.plain(slots, 3)
    found = marginals(data, 1)
    expected = by_enumeration(world, nodes, shown, 0.3)
    assert found.keys() == expected.keys()
    for label, chance in expected.items():
        assert found[label] == pytest.approx(chance)
    assert marginals(data, 0) == {}
    best = sorted(expected.values(), reverse=True)
    ceiling.add(slots, 2)
    assert ceiling.precision()["P@1"] == pytest.approx(best[0] / 2)
    assert ceiling.precision()["P@3"] == pytest.approx(sum(best[:3]) / 6)


@pytest.mark.parametrize("per_topic", [1.0, 2.5])
def test_who_knows_the_model_reaches_the_ceiling_and_popularity_does_not(per_topic: float) -> None:
    p = Parameters(rows=10, test=2500, labels=80, features=300, branching=10, noise=0.6, seed=5, per_topic=per_topic)
    world = planted.make_world(p)
    test, slots = split_of(p, world, "test")
    said = synthetic.make(p).extra["best_reachable"]
    data = Ceiling(world).plain(slots, p.test)
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


def test_topics_share_a_node_and_draw_among_its_children() -> None:
    p = Parameters(rows=4000, test=10, labels=60, features=500, branching=10, per_row=6.0, per_topic=3.0, shift=2.0)
    world = planted.make_world(p)
    rows, slots = split_of(p, world, "train")
    topic = np.cumsum(slots.starts_topic)
    assert len(topic) / p.rows == pytest.approx(6, rel=0.03)
    assert topic[-1] / p.rows == pytest.approx(2, rel=0.03)
    for own in (slots.row, slots.node):  # one row and node for each topic
        assert (own[1:][~slots.starts_topic[1:]] == own[:-1][~slots.starts_topic[1:]]).all()
    assert all(node in world.parents[label] for node, label in zip(slots.node, slots.label, strict=True))
    of_children = np.where((world.parents == 1).any(axis=1), world.frequency, 0)
    for first in (True, False):
        labels = slots.label[(slots.node == 1) & (slots.starts_topic == first)]
        np.testing.assert_allclose(
            np.bincount(labels, minlength=60) / len(labels), of_children / of_children.sum(), atol=0.03
        )
    ranked = np.sort(world.frequency)[::-1]
    np.testing.assert_allclose(ranked / ranked[0], 3 / np.arange(3, 63))
    of_first_row = slots.row == 0
    words = {
        *world.node_words[slots.node[of_first_row]].ravel(),
        *world.label_words[slots.label[of_first_row & slots.shown]].ravel(),
    }
    assert rows.features is not None
    assert words <= set(rows.features[0].indices)


@pytest.mark.parametrize("name", presets.NAMES)
def test_presets_have_the_counts_of_the_catalogue(name: str) -> None:
    p = synthetic.parameters(f"synthetic[preset={name}]")
    assert p.name == f"synthetic[preset={name}]"
    of = entry(name.removesuffix("-tenth")).expected
    part = 10 if name.endswith("-tenth") else 1
    found = [p.rows, p.test, p.features, p.labels]
    assert found == [round(of[key] / part) for key in ("n_train", "n_test", "n_features", "n_labels")]


def test_values_beside_a_preset_replace_its_own() -> None:
    p = synthetic.parameters("synthetic[rows=171790, preset=Amazon-3M]")
    assert (p.rows, p.test, p.labels) == (171_790, 742_507, 2_812_281)
    assert p.name == "synthetic[preset=amazon-3m,rows=171790]"
    assert synthetic.parameters(p.name) == p
    same = synthetic.parameters("synthetic[preset=amazon-3m,rows=1717899]")
    assert same.name == "synthetic[preset=amazon-3m]"


def test_a_tenth_of_amazon_670k_is_distributed_as_the_fit_says() -> None:
    """The known facts of Amazon-670K that `presets` names, but features per row, within what the fit has."""
    p = dataclasses.replace(synthetic.parameters("synthetic[preset=amazon-670k-tenth]"), background=0.0, words=1)
    train = planted.make_split(p, planted.make_world(p), "train").labels
    per_label = np.bincount(train.indices, minlength=p.labels)
    assert train.nnz / p.rows == pytest.approx(5.45, rel=0.01)
    assert per_label.mean() == pytest.approx(3.99, rel=0.01)
    assert (per_label <= 5).mean() == pytest.approx(5 / 6, abs=0.02)
    weight = 1 + (np.log(10 * p.rows) - 1) * 3.6**0.6 * (per_label + 2.6) ** -0.6  # 1 / propensity, as for all rows
    by_row = weight[train.indices]
    even = (np.add.reduceat(by_row, train.indptr[:-1]) / np.diff(train.indptr)).mean()
    best = np.maximum.reduceat(by_row, train.indptr[:-1]).mean()
    assert 0.60 < even / best < 0.75


def test_without_texts_everything_else_is_the_same() -> None:
    with_texts = synthetic.make(synthetic.parameters("synthetic[rows=50,test=20,labels=40,features=60]"))
    p = synthetic.parameters("synthetic[rows=50,test=20,labels=40,features=60,texts=FALSE]")
    assert p.name == "synthetic[rows=50,test=20,labels=40,features=60,texts=false]"
    assert synthetic.parameters(p.name) == p
    data = synthetic.make(p)
    assert (data.train.texts, data.test.texts, data.label_texts) == (None, None, None)
    for split, other in ((data.train, with_texts.train), (data.test, with_texts.test)):
        assert split.features is not None
        assert other.features is not None
        assert (split.features != other.features).nnz == 0
        assert (split.labels != other.labels).nnz == 0
    assert data.extra["best_reachable"] == with_texts.extra["best_reachable"]
    assert "texts" not in with_texts.extra["parameters"]


@pytest.mark.parametrize("name", ["amazon-670k", "amazon-3m-tenth", "lf-amazontitles-1.3m"])
def test_presets_have_texts_where_the_official_files_have_them(name: str) -> None:
    views = entry(name.removesuffix("-tenth")).views
    assert synthetic.parameters(f"synthetic[preset={name}]").texts == ("text" in views)
