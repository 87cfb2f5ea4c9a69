"""The final ranking: candidates and their columns by hand and by brute force, weights from planted data, its order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from xmcbench_elias.ranking.fusion import (
    FLOOR,
    HEAD,
    RANK,
    USUAL,
    USUAL_COUNT,
    USUAL_MISSING,
    Candidates,
    Fusion,
    given_truth,
)

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
