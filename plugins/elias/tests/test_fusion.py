"""The final ranking: candidates and their columns by hand and by brute force, weights from planted data, its order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from xmcbench_elias.ranking.fusion import (
    FLOOR,
    HEAD,
    PULL,
    RANK,
    USUAL,
    USUAL_COUNT,
    USUAL_MISSING,
    Candidates,
    Fusion,
    given_truth,
)
from xmcbench_elias.search.predict import validation_score

from xmcbench.topk import PAD, TopK

PARTS = ("model", "trees", "all", "dual")
INF = np.inf


def shown(ids: list[list[int]], scores: list[list[float]]) -> TopK:
    return TopK(np.array(ids, np.int32), np.array(scores, np.float32))


def two_parts() -> Candidates:
    """The first row has a label of both parts, and one of each; the second one label of one part; the third none."""
    dual = shown([[5, 2, PAD], [3, PAD, PAD], [PAD] * 3], [[0.75, 0.5, -INF], [-0.25, -INF, -INF], [-INF] * 3])
    model = shown([[2, 7], [PAD, PAD], [PAD, PAD]], [[0.5, 0.25], [-INF, -INF], [-INF, -INF]])
    return Candidates.of({"model": model, "dual": dual})


def test_candidates_by_hand() -> None:
    found = two_parts()
    assert found.parts == ("model", "dual")
    assert found.ids.dtype == np.int32
    assert found.ids.tolist() == [[2, 5, 7], [3, PAD, PAD], [PAD, PAD, PAD]]
    assert found.valid.tolist() == [[True] * 3, [True, False, False], [False] * 3]
    half, quarter, nan = math.log(0.5 + FLOOR), math.log(0.25 + FLOOR), math.nan
    said = [[[half, 0.5], [nan, 0.75], [quarter, nan]], [[nan, -0.25], [nan] * 2, [nan] * 2], [[nan] * 2] * 3]
    np.testing.assert_allclose(found.scores, said, rtol=1e-6)


def test_columns_by_hand() -> None:
    found = two_parts()
    assert Candidates.names(found.parts) == ["model", "dual", "count", "not named by model", "not named by dual"]
    columns = found.columns(np.array([9, 9, 0, math.e - 1, 9, math.e**2 - 1, 9, 0], np.float32))
    half, quarter = math.log(0.5 + FLOOR), math.log(0.25 + FLOOR)
    np.testing.assert_allclose(
        columns[0], [[half, 0.5, 0, 0, 0], [quarter, 0.75, -2, -1, 0], [quarter, 0.5, 0, 0, -1]], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(columns[1, 0], [0, -0.25, -1, -1, 0], rtol=1e-6)  # no score of the model's is in the row
    assert np.isfinite(columns).all()


def test_reciprocal_ranks_by_hand() -> None:
    first, second = 1 / (RANK + 1), 1 / (RANK + 2)
    expected = [[first + second, first, second], [first, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(two_parts().reciprocal(), expected, rtol=1e-6)
    tied = Candidates.of({"dual": shown([[9, 4, 6]], [[0.5, 0.5, 0.75]])})  # of 4 and 9 the lower one is before
    np.testing.assert_allclose(tied.reciprocal(), [[1 / (RANK + 2), first, 1 / (RANK + 3)]], rtol=1e-6)


@st.composite
def tops(draw: Any) -> dict[str, TopK]:
    """Labels of one to four parts for up to five rows, in any order, padding anywhere; many scores are equal."""
    n, parts = draw(st.integers(0, 5)), draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4, unique=True))
    found = {}
    for part in parts:
        width = draw(st.integers(1, 16))
        ids, scores = np.full((n, width), PAD, np.int32), np.full((n, width), -INF, np.float32)
        for row in range(n):
            named = draw(st.lists(st.integers(0, 24), max_size=width, unique=True))
            places = draw(st.permutations(range(width)))[: len(named)]
            ids[row, places] = named
            scores[row, places] = [draw(st.integers(0, 8)) / 8 for _ in named]
        found[part] = TopK(ids, scores)
    return found


def said_by(name: str, top: TopK, row: int) -> dict[int, float]:
    """What a part says of the labels it names for a row."""
    pairs = zip(top.ids[row].tolist(), top.scores[row].tolist(), strict=True)
    logs = name in ("model", "trees")
    return {label: math.log(score + FLOOR) if logs else score for label, score in pairs if label != PAD}


def columns_of(said: list[dict[int, float]], label: int, seen: float) -> list[float]:
    scores = [part[label] if label in part else min(part.values(), default=0.0) for part in said]
    return [*scores, -math.log1p(seen), *(0.0 if label in part else -1.0 for part in said)]


def reciprocal_of(said: list[dict[int, float]], label: int) -> float:
    total = 0.0
    for part in said:
        if label in part:
            total += 1 / (RANK + 1 + sorted(part, key=lambda other: (-part[other], other)).index(label))
    return total


@settings(deadline=None, max_examples=150)
@drawn(tops=tops(), seed=st.integers(0, 10**6), k=st.integers(1, 30))
def test_candidates_columns_and_ranking_are_those_of_brute_force(tops: dict[str, TopK], seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    n, seen = len(next(iter(tops.values())).ids), rng.integers(0, 50, 25).astype(np.float32)
    fusion = Fusion(tuple(tops), np.round(rng.normal(0, 1, 2 * len(tops) + 1), 1))
    given = Candidates.of(tops)
    columns, reciprocal, ranked = given.columns(seen), given.reciprocal(), fusion(given, seen, k)
    score = fusion.score(columns)
    ranked.check(n, 25)
    assert ranked.k == min(k, given.ids.shape[1])
    for row in range(n):
        said = [said_by(name, top, row) for name, top in tops.items()]
        labels = sorted(set().union(*said))
        assert given.ids[row, : len(labels)].tolist() == labels
        assert (given.ids[row, len(labels) :] == PAD).all()
        assert np.isnan(given.scores[row, len(labels) :]).all()
        for at, label in enumerate(labels):
            expected = columns_of(said, label, float(seen[label]))
            assert columns[row, at] == pytest.approx(expected, rel=1e-5, abs=1e-6)
            assert reciprocal[row, at] == pytest.approx(reciprocal_of(said, label), rel=1e-5)
            assert score[row, at] == pytest.approx(float(np.dot(fusion.weights, expected)), rel=1e-3, abs=1e-4)
        by_score, by_ranks = (dict(zip(labels, values[row].tolist(), strict=False)) for values in (score, reciprocal))
        order = sorted(labels, key=lambda label: (-by_score[label], label))
        order = order[:HEAD] + sorted(order[HEAD:], key=lambda label: (-by_ranks[label], label))
        assert ranked.ids[row].tolist() == (order + [PAD] * k)[:k][: ranked.k]
        head = [by_score[label] for label in order[:HEAD]]
        assert ranked.scores[row, :HEAD].tolist() == (head + [-INF] * HEAD)[: min(ranked.k, HEAD)]
        below = ranked.scores[row, HEAD - 1 :][ranked.ids[row, HEAD - 1 :] != PAD]
        assert (np.diff(below) < 0).all()


def test_the_first_ten_go_by_score_the_rest_by_reciprocal_ranks() -> None:
    """One part is sure of labels 0 to 14 and has weight; the other names 15 to 29, the highest first."""
    one = shown([list(range(15))], [[1 - i / 20 for i in range(15)]])
    two = shown([list(range(29, 14, -1))], [[1 - i / 20 for i in range(15)]])
    given = Candidates.of({"all": one, "dual": two})
    fusion = Fusion(given.parts, np.array([1000.0, 0, 0, 1000.0, 0]))
    top = fusion(given, np.zeros(30, np.float32), 30)
    top.check(1, 30)
    rest = [29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 10, 19, 11, 18, 12, 17, 13, 16, 14, 15]
    assert top.ids[0].tolist() == [*range(10), *rest]  # ranks 11 of both: the lower label first
    assert (np.diff(top.scores[0]) < 0).all()
    assert fusion(given, np.zeros(30, np.float32), 8).ids[0].tolist() == list(range(8))


def test_equal_scores_go_to_the_lower_label() -> None:
    ids = [[9, 30, 2, 17, 4, 11, 5, 28, 1, 6, 25, 3]]
    given = Candidates.of({"dual": shown(ids, [[0.5] * 12]), "all": shown(ids, [[0.5] * 12])})
    top = Fusion(given.parts, np.zeros(5))(given, np.zeros(31, np.float32), 12)
    assert top.ids[0].tolist() == sorted(ids[0])
    top.check(1, 31)


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_near_reciprocal_ranks_stay_in_order_below_any_score(size: float) -> None:
    """Sums of reciprocals of a few hundred candidates are nearer to each other than float32 is fine beside 10,000."""
    rng = np.random.default_rng(0)
    tops = {
        part: shown(rng.permuted(np.tile(np.arange(300), (4, 1)), axis=1)[:, :200].tolist(), rng.random((4, 200)))  # type: ignore[arg-type]
        for part in ("all", "dual")
    }
    given = Candidates.of(tops)
    top = Fusion(given.parts, size * np.array([0.5, 0.4, 0, 1, 1]))(given, np.ones(300, np.float32), 300)
    top.check(4, 300)
    reciprocal = np.zeros((4, 301))
    np.put_along_axis(reciprocal, given.ids, given.reciprocal(), 1)
    below = np.take_along_axis(reciprocal, top.ids[:, HEAD:], 1)
    assert (np.diff(below, axis=1) <= 0).all()


def test_rows_without_candidates_and_no_rows() -> None:
    none = Candidates.of({"model": shown([[PAD, PAD]], [[-INF, -INF]]), "dual": shown([[PAD]], [[-INF]])})
    top = Fusion.usual(none.parts)(none, np.ones(3, np.float32), 20)
    assert (top.ids == PAD).all()
    assert (top.scores == -INF).all()
    top.check(1, 3)
    empty = Candidates.of({"model": TopK(np.empty((0, 4), np.int32), np.empty((0, 4), np.float32))})
    assert Fusion.usual(empty.parts)(empty, np.ones(3, np.float32), 20).n_rows == 0


def test_usual_weights() -> None:
    usual = Fusion.usual(("model", "all", "dual"))
    assert usual.weights.tolist() == [USUAL["model"], USUAL["all"], USUAL["dual"], USUAL_COUNT, *[USUAL_MISSING] * 3]
    assert set(USUAL) == set(PARTS)


def test_truth_by_hand() -> None:
    labels = sp.csr_matrix(np.array([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], np.float32))
    ids = np.array([[0, 1, 2], [0, 3, PAD], [0, 3, PAD]], np.int32)
    assert given_truth(ids, labels).tolist() == [[True, False, True], [False, True, False], [False] * 3]


# Planted data: of 30 labels a row has one to three true ones.


def truth(n: int, seed: int = 0) -> sp.csr_matrix:
    rng = np.random.default_rng(seed)
    labels = np.zeros((n, 30), np.float32)
    for row in range(n):
        labels[row, rng.choice(30, rng.integers(1, 4), replace=False)] = 1
    return sp.csr_matrix(labels)


def of_scores(**scores: NDArray[Any]) -> Candidates:
    """Every part names every label with these (n, 30) scores."""
    n = len(next(iter(scores.values())))
    ids = np.tile(np.arange(30, dtype=np.int32), (n, 1))
    return Candidates.of({part: TopK(ids, values.astype(np.float32)) for part, values in scores.items()})


def learned(given: Candidates, labels: sp.csr_matrix, seen: NDArray[Any] | None = None) -> tuple[Fusion, float]:
    """The fusion and its nDCG@5."""
    rows = np.ones(30, np.float32) if seen is None else seen.astype(np.float32)
    fusion = Fusion.learn(given, rows, labels)
    assert np.isfinite(fusion.weights).all()
    parts = len(given.parts)
    assert (np.delete(fusion.weights, parts) >= 0).all()  # those of parts and gaps; only the count's may be negative
    return fusion, validation_score(fusion(given, rows, 5), labels)


@pytest.mark.parametrize(("right", "noisy"), [("all", "dual"), ("dual", "all"), ("trees", "model"), ("model", "trees")])
def test_a_part_that_is_right_outweighs_one_that_is_noise(right: str, noisy: str) -> None:
    rng, labels = np.random.default_rng(1), truth(200)
    good, noise = 0.3 + 0.4 * labels.toarray() + 0.2 * rng.random((200, 30)), rng.random((200, 30))
    given = of_scores(**{right: good, noisy: noise})
    fusion, score = learned(given, labels)
    assert score == pytest.approx(1.0)
    spread = given.scores.std(axis=(0, 1))  # weights count by what a score varies
    effect = dict(zip(given.parts, fusion.weights[:2] * spread, strict=True))
    assert effect[right] > 3 * effect[noisy]


def test_two_parts_are_better_than_either() -> None:
    rng, labels = np.random.default_rng(2), truth(300)
    one, two = (labels.toarray() + rng.normal(0, 0.7, (300, 30)) for _ in range(2))
    given = of_scores(all=one, dual=two)
    _, score = learned(given, labels)
    for part in (one, two):
        alone = of_scores(all=part)
        assert score > validation_score(Fusion(("all",), np.array([1.0, 0, 0]))(alone, np.ones(30), 5), labels) + 0.05


def test_a_part_that_is_wrong_has_no_weight() -> None:
    """None could be negative: a part that names a label never speaks against it."""
    rng, labels = np.random.default_rng(3), truth(300)
    good = labels.toarray() + rng.normal(0, 0.4, (300, 30))
    fusion, score = learned(of_scores(all=good, dual=-labels.toarray() + rng.normal(0, 0.4, (300, 30))), labels)
    assert fusion.weights[1] == pytest.approx(0, abs=1e-6)
    alone = Fusion(("all",), np.array([1.0, 0, 0]))(of_scores(all=good), np.ones(30), 5)
    assert score == pytest.approx(validation_score(alone, labels), abs=1e-3)


def test_labels_of_few_rows_are_lifted_where_their_margins_are_small() -> None:
    rng, labels = np.random.default_rng(4), truth(300)
    seen = np.where(np.arange(30) % 2, 1.0, 1000.0)
    margins = 0.5 * labels.toarray() + 0.1 * np.log1p(seen) + rng.normal(0, 0.05, (300, 30))
    fusion, score = learned(of_scores(all=margins), labels, seen)
    assert fusion.weights[1] > 0
    assert score > 0.99
    turned = 0.5 * labels.toarray() - 0.1 * np.log1p(seen) + rng.normal(0, 0.05, (300, 30))
    fusion, score = learned(of_scores(all=turned), labels, seen)
    assert fusion.weights[1] < 0
    assert score > 0.99


def test_labels_that_a_good_part_does_not_name_are_below_those_it_names() -> None:
    rng, labels = np.random.default_rng(5), truth(300)
    everything = of_scores(all=rng.random((300, 30)), dual=rng.random((300, 30)))
    said = everything.scores.copy()
    said[:, :, 1][labels.toarray() == 0] = np.nan  # it names true labels alone, in no order
    fusion, score = learned(Candidates(everything.parts, everything.ids, said), labels)
    assert score == pytest.approx(1.0)
    assert fusion.weights[4] > 0


def test_few_rows_leave_weights_near_the_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcbench_elias.ranking.fusion.ROUNDS", 0)
    rng, labels = np.random.default_rng(6), truth(2000)
    scores = {"all": labels.toarray() + rng.normal(0, 1, (2000, 30)), "dual": rng.normal(0, 1, (2000, 30))}
    usual = Fusion.usual(("all", "dual")).weights

    def change(n: int) -> float:
        fusion, _ = learned(of_scores(**{part: values[:n] for part, values in scores.items()}), labels[:n])
        return float(np.abs(fusion.weights - usual)[:2].sum())

    assert 0 < change(10) < change(100) < change(2000)
    assert change(2000) > 1.5
    assert Fusion.learn(of_scores(all=np.zeros((0, 30))), np.ones(30, np.float32), labels[:0]).weights.tolist() == (
        Fusion.usual(("all",)).weights.tolist()
    )


def test_true_labels_that_no_part_names_teach_nothing() -> None:
    ids = np.tile(np.arange(10, dtype=np.int32), (50, 1))
    scores = np.random.default_rng(7).random((50, 10)).astype(np.float32)
    given = Candidates.of({"all": TopK(ids, scores), "dual": TopK(ids, scores)})
    labels = sp.csr_matrix((np.ones(50), (np.arange(50), np.full(50, 20))), shape=(50, 30))
    assert np.array_equal(Fusion.learn(given, np.ones(30), labels).weights, Fusion.usual(given.parts).weights)
    nothing = sp.csr_matrix((50, 30))  # rows without labels
    assert np.array_equal(Fusion.learn(given, np.ones(30), nothing).weights, Fusion.usual(given.parts).weights)


def test_columns_that_never_vary_do_no_harm() -> None:
    """Labels of one count, a part that says the same of all, parts that name everything."""
    labels = truth(100)
    fusion, score = learned(of_scores(all=labels.toarray(), dual=np.full((100, 30), 0.5)), labels, np.full(30, 7.0))
    assert score == pytest.approx(1.0)
    assert np.abs(fusion.weights).max() < 100


def test_the_last_steps_change_weights_only_where_half_a_row_is_gained() -> None:
    changed = 0
    for seed in range(8):
        rng, labels = np.random.default_rng(seed), truth(60, seed)
        noise = 0.1 if seed == 0 else 2  # first all is right already
        given = of_scores(all=labels.toarray() + rng.normal(0, noise, (60, 30)), dual=rng.normal(0, 1, (60, 30)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("xmcbench_elias.ranking.fusion.ROUNDS", 0)
            before, start = learned(given, labels)
        after, end = learned(given, labels)
        if np.array_equal(before.weights, after.weights):
            assert end == start
        else:
            changed += 1
            assert end > start + 0.5 / 60
    assert 1 <= changed <= 7


class Minimised(Exception):
    pass


def objective(
    given: Candidates, labels: sp.csr_matrix, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[..., Any], Any]:
    """What is minimised, of weights of columns divided by their spread, and where it starts."""
    found: list[Any] = []

    def minimize(loss: Any, start: Any, **_: Any) -> Any:
        found.extend([loss, start])
        raise Minimised

    monkeypatch.setattr(scipy.optimize, "minimize", minimize)
    with pytest.raises(Minimised):
        Fusion.learn(given, np.arange(30, dtype=np.float32), labels)
    return found[0], found[1]


def some_parts() -> Candidates:
    """Twelve rows of two parts that name different labels; the last has no candidates."""
    rng = np.random.default_rng(8)
    ids = [rng.permuted(np.tile(np.arange(30), (12, 1)), axis=1)[:, :9].astype(np.int32) for _ in range(2)]
    for part in ids:
        part[-1] = PAD
    return Candidates.of(
        {p: TopK(i, rng.random((12, 9), np.float32)) for p, i in zip(("model", "dual"), ids, strict=True)}
    )


def test_the_loss_is_the_decoupled_softmax_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    given, labels = some_parts(), truth(12)
    loss, start = objective(given, labels, monkeypatch)
    columns = given.columns(np.arange(30, dtype=np.float32)).astype(float)
    scale = columns[given.valid].std(axis=0)
    weights = start + np.random.default_rng(9).normal(0, 0.3, len(start))
    total, count = 0.0, 0
    for row, true in enumerate(labels.toarray() > 0):
        score = {
            int(i): float(x @ (weights / scale)) for i, x in zip(given.ids[row], columns[row], strict=True) if i >= 0
        }
        wrong = sum(math.exp(s) for label, s in score.items() if not true[label])
        for label, s in score.items():
            if true[label]:
                total, count = total - math.log(math.exp(s) / (math.exp(s) + wrong)), count + 1
    expected = total / count + PULL / count * ((weights - start) ** 2).sum()
    assert loss(weights)[0] == pytest.approx(expected, rel=1e-5)


def test_its_gradient_is_that_of_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    loss, start = objective(some_parts(), truth(12), monkeypatch)
    for weights in (start, np.zeros(len(start)), start + np.random.default_rng(10).normal(0, 1, len(start))):
        slope = loss(weights)[1]
        for at in range(len(start)):
            step = np.zeros(len(start))
            step[at] = 1e-5
            expected = (loss(weights + step)[0] - loss(weights - step)[0]) / 2e-5
            assert slope[at] == pytest.approx(expected, rel=1e-4, abs=1e-7)
