"""Weights of the parts of the final ranking, learned on validation rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from numpy.typing import NDArray
from xmcbench_elias.ranking.fusion import (
    PULL,
    Candidates,
    Fusion,
)
from xmcbench_elias.search.predict import validation_score

from xmcbench.topk import PAD, TopK

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
