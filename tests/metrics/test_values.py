"""Values by hand, against pyxclib's stored ones, and against a plain twin that ranks row by row."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.errors import DataError, UsageError
from xmcbench.metrics import Truth, broken, evaluate
from xmcbench.metrics.propensity import inverse_propensity
from xmcbench.topk import TopK

ORACLES = Path(__file__).parents[1] / "oracles" / "data"
CURVES = ("P", "nDCG", "PSP", "PSnDCG", "R", "PSR")


def value(topk: TopK, truth: Truth, name: str) -> float:
    found = evaluate(topk, truth, [name], samples=0).values[0].value
    assert found is not None
    return found


@pytest.fixture
def by_hand() -> tuple[TopK, Truth]:
    """Three rows over five labels: {0, 1}, {2}, none. Label l has 8, 4, 2, 0, 0 of ten training rows."""
    test = sp.csr_matrix(np.array([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]))
    train = np.zeros((10, 5))
    for label, count in enumerate((8, 4, 2)):
        train[:count, label] = 1
    ids = np.array([[1, 3, 0], [4, 2, -1], [0, 1, 2]])
    scores = np.array([[0.9, 0.5, 0.1], [0.8, 0.3, 0.0], [0.5, 0.4, 0.3]])
    return TopK.from_arrays(ids, scores), Truth.build(test, sp.csr_matrix(train))


def test_hand_worked_values(by_hand: tuple[TopK, Truth]) -> None:
    topk, truth = by_hand
    second = 1 / math.log2(3)
    w = truth.inv_propensity
    assert value(topk, truth, "P@1") == pytest.approx(1 / 3)
    assert value(topk, truth, "P@3") == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)
    assert value(topk, truth, "nDCG@3") == pytest.approx(((1 + 0.5) / (1 + second) + second + 0) / 3)
    assert value(topk, truth, "nDCG(empty=skip)@3") == pytest.approx(((1 + 0.5) / (1 + second) + second) / 2)
    assert value(topk, truth, "R@2") == pytest.approx((0.5 + 1 + 0) / 3)
    assert value(topk, truth, "RR") == pytest.approx((1 + 0.5) / 3)
    assert value(topk, truth, "RR@1") == pytest.approx(1 / 3)
    assert value(topk, truth, "Success@2") == pytest.approx(2 / 3)
    assert value(topk, truth, "RPrec") == pytest.approx((0.5 + 0 + 0) / 3)
    assert value(topk, truth, "PSP@1") == pytest.approx(w[1] / (max(w[0], w[1]) + w[2]))
    assert value(topk, truth, "PSP(norm=none)@3") == pytest.approx((w[0] + w[1] + w[2]) / 3 / 3)
    assert value(topk, truth, "PSnDCG(like=xcrepo)@2") == pytest.approx((w[1] + w[2] * second) / (1 + second) / 3)
    ours = (w[1] / (1 + second) + w[2] * second) / ((w[1] + w[0] * second) / (1 + second) + w[2])
    assert value(topk, truth, "PSnDCG@2") == pytest.approx(ours)
    theirs = (w[1] + w[2] * second) / (w[1] + w[0] * second + w[2])
    assert value(topk, truth, "PSnDCG(like=attentionxml)@2") == pytest.approx(theirs)
    assert value(topk, truth, "Coverage@1") == pytest.approx(1 / 3)
    assert value(topk, truth, "MacroR@2") == pytest.approx((0 + 1 + 1) / 3)
    assert value(topk, truth, "MacroP@2") == pytest.approx((0 / 1 + 1 / 2 + 1 / 1) / 3)
    assert value(topk, truth, "MacroF1@2") == pytest.approx((0 + 2 / 3 + 1) / 3)
    assert value(topk, truth, "MacroF1(like=napkinxc)@2") == pytest.approx((0 + 2 / 3 + 1) / 5)  # label 4 is predicted


def test_slices_by_hand(by_hand: tuple[TopK, Truth]) -> None:
    topk, truth = by_hand
    groups = {name: np.flatnonzero(mask).tolist() for name, mask in truth.label_groups.items()}
    assert groups == {"head": [0], "torso": [1], "tail": [2, 3, 4], "seen-labels": [0, 1, 2]}
    assert value(topk, truth, "P@3:tail") == pytest.approx(1 / 3)  # row 1 alone has a tail label
    assert value(topk, truth, "R@1:torso") == 1.0
    assert value(topk, truth, "RR@3:head") == pytest.approx(1 / 3)  # its rank in the full list
    found = evaluate(topk, truth, ["P@3:tail", "P@3", "P(empty=skip)@3"], samples=0).values
    assert [(v.rows, v.rows_without_labels) for v in found] == [(1, 2), (3, 1), (2, 1)]
    sliced = Truth.build(truth.labels, truth.labels, row_groups={"novel": np.array([True, False, True])})
    found = evaluate(topk, sliced, ["P@1:novel", "MacroR@1:novel", "PSP@1:novel"], samples=0).values
    assert [v.value for v in found] == [0.5, 0.5, 1.0]
    assert [(v.rows, v.rows_without_labels) for v in found] == [(2, 1)] * 3


def test_best_reachable_by_hand(by_hand: tuple[TopK, Truth]) -> None:
    topk, truth = by_hand
    names = ["P@1", "P@3", "R@1", "nDCG@3", "RPrec", "PSP@1", "Coverage@1", "MacroR@1", "MacroF1@1", "P@3:tail"]
    best = [v.best for v in evaluate(topk, truth, names, samples=0).values]
    macro = 2 / 3
    assert best == pytest.approx([2 / 3, 1 / 3, 0.5, 2 / 3, 2 / 3, 1, 2 / 3, macro, 2 * macro / (1 + macro), 1 / 3])


@pytest.mark.parametrize("case", ["plain", "empty_rows", "short_rows", "wide"])
def test_equal_to_pyxclib(case: str) -> None:
    with np.load(ORACLES / "pyxclib_seed0.npz") as file:
        known = {name.removeprefix(f"{case}/"): file[name] for name in file.files if name.startswith(f"{case}/")}

    def matrix(name: str) -> sp.csr_matrix:
        parts = tuple(known[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
        return sp.csr_matrix(parts, shape=known[f"{name}.shape"])

    n_train = int(known["n_train"])
    counts = known["train_freq"].astype(np.int64)
    weights = inverse_propensity(counts, n_train, float(known["A"]), float(known["B"]))
    np.testing.assert_allclose(weights, known["inv_propensity"], rtol=1e-14)
    truth = dataclasses.replace(Truth.build(matrix("truth")), inv_propensity=weights, n_train=n_train)
    names = [f"{metric}@{k}" for metric in CURVES for k in range(1, 11)]
    found = evaluate(TopK.from_csr(matrix("pred"), 10), truth, names, samples=0).fractions()
    for metric in CURVES:
        ours = np.array([found[f"{metric}@{k}"] for k in range(1, 11)], np.float64)
        tolerance = 1e-6 if "nDCG" in metric else 1e-12
        np.testing.assert_allclose(ours, known[metric], rtol=0, atol=tolerance)


def twin(topk: TopK, truth: Truth, metric: str, k: int, keep: set[int] | None, rows: list[int]) -> float:
    """One metric, row by row in plain Python, straight from its formula."""
    w, hits, labels = truth.inv_propensity, [], []
    for i in rows:
        mine = {int(x) for x in truth.labels[i].indices}
        mine = mine if keep is None else mine & keep
        labels.append(mine)
        hits.append([int(x) if int(x) in mine else None for x in topk.ids[i]])
    sums, bests, count = 0.0, 0.0, 0
    for found, mine in zip(hits, labels, strict=True):
        if not mine and keep is not None:
            continue
        count += 1
        ordered = sorted((w[x] for x in mine), reverse=True)[:k]
        ideal = sum(1 / math.log2(r + 2) for r in range(min(k, len(mine)))) or 1.0
        size = len(mine) or 1
        gains = [(r, x) for r, x in enumerate(found[:k]) if x is not None]
        sums += {
            "P": len(gains) / k,
            "R": len(gains) / size,
            "nDCG": sum(1 / math.log2(r + 2) for r, _ in gains) / ideal,
            "RR": 1 / (gains[0][0] + 1) if gains else 0,
            "Success": float(bool(gains)),
            "RPrec": sum(x is not None for x in found[: len(mine)]) / size,
            "PSP": sum(w[x] for _, x in gains),
            "PSR": sum(w[x] for _, x in gains) / size,
            "PSnDCG": sum(w[x] / math.log2(r + 2) for r, x in gains) / ideal,
        }[metric]
        bests += {
            "PSP": sum(ordered),
            "PSR": sum(ordered) / size,
            "PSnDCG": sum(x / math.log2(r + 2) for r, x in enumerate(ordered)) / ideal,
        }.get(metric, 1)
    return sums / (bests if metric in ("PSP", "PSR", "PSnDCG") else count)


def twin_over_labels(topk: TopK, truth: Truth, metric: str, k: int, keep: set[int] | None, rows: list[int]) -> float:
    shares = []
    dense = truth.labels.toarray()
    for label in range(truth.n_labels) if keep is None else keep:
        true = {i for i in rows if dense[i, label]}
        shown = {i for i in rows if label in topk.ids[i, :k]}
        right = len(true & shown)
        if true:
            shares.append(
                {
                    "Coverage": float(right > 0),
                    "MacroP": right / max(len(shown), 1),
                    "MacroR": right / len(true),
                    "MacroF1": 2 * right / (len(true) + len(shown)),
                }[metric]
            )
    return sum(shares) / len(shares)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("part", [None, "head", "tail", "seen-labels", "depth1", "novel"])
def test_equal_to_the_plain_twin(world: Callable[..., Any], seed: int, part: str | None) -> None:
    topk, truth = world(seed)
    keep, rows = None, list(range(truth.n_rows))
    if part in truth.label_groups:
        keep = set(np.flatnonzero(truth.label_groups[part]).tolist())
    if part in truth.row_groups:
        rows = np.flatnonzero(truth.row_groups[part]).tolist()
    expected = {}
    suffix = f":{part}" if part else ""
    for k in (1, 2, 5, 20):
        for metric in ("P", "R", "nDCG", "RR", "Success", "PSP", "PSR", "PSnDCG"):
            expected[f"{metric}@{k}{suffix}"] = twin(topk, truth, metric, k, keep, rows)
        for metric in ("Coverage", "MacroP", "MacroR", "MacroF1"):
            expected[f"{metric}@{k}{suffix}"] = twin_over_labels(topk, truth, metric, k, keep, rows)
    expected[f"RPrec{suffix}"] = twin(topk, truth, "RPrec", 1, keep, rows)
    found = evaluate(topk, truth, expected, samples=0).fractions()
    assert found == pytest.approx(expected, abs=1e-12)


def test_rows_with_very_many_labels_are_sorted_the_same(world: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    dense = rng.random((6, 400)) < 0.5  # past the length up to which pairs are compared
    train = sp.csr_matrix(rng.random((50, 400)) < np.linspace(0.01, 0.9, 400))
    truth = Truth.build(sp.csr_matrix(dense), train)
    ids = np.argsort(rng.random((6, 400)), axis=1)[:, :90].astype(np.int32)
    topk = TopK.from_arrays(ids, np.tile(np.arange(90, 0, -1.0), (6, 1)))
    for metric, k in (("PSP", 60), ("PSnDCG", 90), ("PSR", 3)):
        expected = twin(topk, truth, metric, k, None, list(range(6)))
        assert value(topk, truth, f"{metric}@{k}") == pytest.approx(expected, abs=1e-12)


def test_no_labels_at_all_is_undefined_where_it_is_nothing_over_nothing() -> None:
    none = sp.csr_matrix((4, 9))
    truth = Truth.build(none, sp.csr_matrix(np.ones((3, 9))))
    topk = TopK.from_arrays(np.zeros((4, 1), np.int32), np.ones((4, 1)))
    found = evaluate(topk, truth, ["P@1", "PSP@1", "Coverage@1", "MacroF1@1", "P@1:tail", "R(empty=skip)@1"])
    assert [v.value for v in found.values] == [0.0, None, None, None, None, None]
    assert [v.best for v in found.values] == [0.0, None, None, None, None, None]
    assert (found.values[1].low, found.values[1].high) == (None, None)


def test_no_rows_and_no_columns() -> None:
    truth = Truth.build(sp.csr_matrix((0, 5)), sp.csr_matrix(np.ones((3, 5))))
    empty = TopK(np.zeros((0, 3), np.int32), np.zeros((0, 3), np.float32))
    assert all(v.value is None for v in evaluate(empty, truth).values)
    truth = Truth.build(sp.csr_matrix(np.eye(2)), sp.csr_matrix(np.ones((3, 2))))
    nothing = TopK(np.zeros((2, 0), np.int32), np.zeros((2, 0), np.float32))
    assert value(nothing, truth, "P@1") == 0
    assert value(nothing, truth, "MacroF1@5") == 0


def test_label_matrix_values_duplicates_and_order_do_not_matter() -> None:
    messy = sp.csr_matrix(
        (np.array([2.0, 0.0, 1.0, 3.0]), np.array([3, 1, 0, 0]), np.array([0, 2, 4, 4])), shape=(3, 4)
    )
    before = messy.indices.copy()
    truth = Truth.build(messy, messy)
    assert truth.labels.toarray().tolist() == [[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert truth.inv_propensity.tolist() == inverse_propensity(np.array([1, 0, 0, 1]), 3, 0.55, 1.5).tolist()
    assert messy.indices.tolist() == before.tolist()


def test_truth_of_a_dataset_uses_its_official_training_rows() -> None:
    from xmcbench.testing.worlds import tiny

    data = tiny()
    truth = Truth.of(data)
    counts = np.asarray(data.train.labels.sum(axis=0)).ravel()
    n = data.train.labels.shape[0]
    expected = 1 + (math.log(n) - 1) * 2.5**0.55 * (counts + 1.5) ** -0.55
    np.testing.assert_allclose(truth.inv_propensity, expected, rtol=1e-6)
    assert truth.n_train == n


@pytest.mark.parametrize(
    ("a", "b", "rarest", "defined"),
    [
        (0.55, 1.5, 0, True),
        (0.5, 0.0, 1, True),
        (0.5, 0.0, 0, False),
        (0.5, -0.5, 1, True),
        (0.5, -0.5, 0, False),
        (2.0, -0.5, 0, False),
        (0.0, 0.5, 0, True),
        (5000.0, 1.5, 0, False),
    ],
)
def test_propensities_where_the_formula_is_defined(a: float, b: float, rarest: int, defined: bool) -> None:
    """0 < p ≤ 1 where every N_l + B is above 0; metrics without propensities need none of it."""
    train = np.zeros((5, 2))
    train[:, 0] = 1
    train[:rarest, 1] = 1
    truth = Truth.build(np.eye(2), train, (a, b))
    topk = TopK.from_arrays(np.array([[0], [1]]), np.ones((2, 1)))
    assert evaluate(topk, truth, ["P@1"]).fractions() == {"P@1": 1.0}
    if defined:
        p = 1 / truth.inv_propensity
        assert ((p > 0) & (p <= 1)).all()
        expected = 1 / (1 + (math.log(5) - 1) * (b + 1) ** a * math.exp(-a * math.log(rarest + b)))
        assert p[1] == pytest.approx(expected, rel=1e-12)
        assert evaluate(topk, truth, ["PSP@1"]).fractions() == {"PSP@1": 1.0}
    else:
        with pytest.raises(DataError, match="no propensity above 0"):
            evaluate(topk, truth, ["PSP@1"])


def test_negative_values_are_no_labels() -> None:
    with pytest.raises(DataError, match="row 1 has a negative value"):
        Truth.build(np.array([[1, 0], [1, -1]]))


def test_ties_are_noted() -> None:
    truth = Truth.build(np.array([[1, 0, 0, 0]] * 3))
    scores = np.array([[3, 2, 2, 1], [4, 3, 2, 1], [1, 1, 0, 0]])
    topk = TopK.from_arrays(np.tile(np.arange(4), (3, 1)), scores)
    assert evaluate(topk, truth, ["P@1"]).notes[0].startswith("1 of 3 rows have equal scores within the first 1 labels")
    assert evaluate(topk, truth, ["P@2"]).notes[0].startswith("2 of 3 rows")
    assert evaluate(TopK.from_arrays(topk.ids, topk.scores - np.arange(4)), truth, ["P@4", "RR"]).notes == []


def test_what_does_not_fit_is_refused(by_hand: tuple[TopK, Truth]) -> None:
    topk, truth = by_hand
    with pytest.raises(DataError, match=r"\(2, 3\).*3 rows"):
        evaluate(TopK(topk.ids[:2], topk.scores[:2]), truth)
    outside = topk.ids.copy()
    outside[1, 0] = 5
    with pytest.raises(DataError, match="row 1 names a label outside 0 to 4"):
        evaluate(TopK(outside, topk.scores), truth)
    outside[1, 0] = -2
    with pytest.raises(DataError, match="row 1"):
        evaluate(TopK(outside, topk.scores), truth)
    twice = topk.ids.copy()
    twice[0] = [1, 1, 0]
    with pytest.raises(DataError, match="row 0 names label 1 twice"):
        evaluate(TopK(twice, topk.scores), truth)
    twice[0], twice[2] = [0, 1, 4], [0, 0, 2]
    assert 0 not in truth.labels[[2]].indices  # a label that is false is also found
    with pytest.raises(DataError, match="row 2 names label 0 twice"):
        evaluate(TopK(twice, topk.scores), truth)
    twice[2] = [0, 2, 0]
    evaluate(TopK(twice, topk.scores), truth, ["P@2"])  # ranks that no metric reads don't count
    with pytest.raises(UsageError, match="Did you mean 'tail'") as caught:
        evaluate(topk, truth, ["P@1:tial", "P@1", "P@3:depth9"])
    assert "depth9" in str(caught.value)
    assert "seen-labels" in str(caught.value)
    bare = Truth.build(truth.labels)
    with pytest.raises(UsageError, match="training labels"):
        evaluate(topk, bare, ["PSP@1"])
    with pytest.raises(UsageError, match="training labels"):
        evaluate(topk, bare, ["P@1:head"])
    with pytest.raises(DataError, match="at least 3 training rows"):
        evaluate(topk, Truth.build(truth.labels, truth.labels[:2]), ["PSP@1"])
    with pytest.raises(DataError, match="5 labels, the training labels 4"):
        Truth.build(truth.labels, truth.labels[:, :4])
    with pytest.raises(DataError, match="no rows"):
        Truth.build(truth.labels, truth.labels[:0])
    with pytest.raises(DataError, match="bool"):
        Truth.build(truth.labels, row_groups={"novel": np.ones(7, bool)})
    with pytest.raises(DataError, match="twice"):
        Truth.build(truth.labels, truth.labels, label_groups={"tail": np.ones(5, bool)})


def test_short_lists_are_noted(by_hand: tuple[TopK, Truth]) -> None:
    topk, truth = by_hand
    assert evaluate(topk, truth, ["P@3", "R@2"], samples=0).notes == []
    notes = evaluate(topk, truth, ["P@3", "P@5", "R@100"], samples=0).notes
    assert len(notes) == 1
    assert "P@5, R@100" in notes[0]


def test_own_values_break_no_identity(world: Callable[..., Any]) -> None:
    for seed in range(10):
        topk, truth = world(seed)
        names = [f"{m}@{k}" for m in ("P", "nDCG", "R", "RR", "Success", *CURVES[2:]) for k in range(1, 9)]
        names += [f"{m}@{k}" for m in ("Coverage", "MacroP", "MacroR", "MacroF1") for k in range(1, 9)]
        found = evaluate(topk, truth, [*names, *(f"{n}:tail" for n in names), "RPrec"], samples=0).values
        assert broken({v.name: v.value for v in found}, {v.name: v.best for v in found}) == []
