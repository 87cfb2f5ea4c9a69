"""What must hold for any predictions: permutations, wrong labels, better rankings, identities, thread counts."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.metrics import DEFAULT, Truth, broken, evaluate, parse
from xmcbench.topk import PAD, TopK

NAMES = [
    *(f"{m}@{k}" for m in ("P", "nDCG", "R", "RR", "Success", "PSP", "PSnDCG", "PSR") for k in (1, 3, 5)),
    *("RPrec", "RR", "PSP(norm=none)@3", "PSnDCG(like=xcrepo)@3", "PSnDCG(like=attentionxml)@3"),
    *("Coverage@3", "MacroP@3", "MacroR@3", "MacroF1@3", "P@3:tail", "PSP@3:head", "MacroF1@5:depth1", "R@3:novel"),
]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[TopK, Truth]:
    """Any predictions of any width for any truth over at most nine labels."""
    n, n_labels = draw(st.integers(1, 6)), draw(st.integers(2, 9))
    k = draw(st.integers(1, n_labels))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    test = rng.random((n, n_labels)) < draw(st.sampled_from([0.1, 0.4, 0.9]))
    train = rng.random((20, n_labels)) < rng.random(n_labels)
    ids = np.argsort(rng.random((n, n_labels)), axis=1)[:, :k].astype(np.int32)
    ids[np.arange(k) >= rng.integers(0, k + 1, (n, 1))] = PAD
    scores = np.tile(np.arange(k, 0, -1.0), (n, 1))
    groups = {"depth1": np.arange(n_labels) < 2}
    rows = {"novel": np.arange(n) % 2 == 0}
    truth = Truth.build(sp.csr_matrix(test), sp.csr_matrix(train), label_groups=groups, row_groups=rows)
    return TopK.from_arrays(ids, scores), truth


def numbers(topk: TopK, truth: Truth, names: list[str] = NAMES) -> dict[str, float | None]:
    return evaluate(topk, truth, names, samples=0).fractions()


@settings(max_examples=25, deadline=None)
@given(worlds(), st.randoms())
def test_the_order_of_rows_does_not_matter(world: tuple[TopK, Truth], random: Any) -> None:
    topk, truth = world
    order = list(range(truth.n_rows))
    random.shuffle(order)
    rows = {"novel": truth.row_groups["novel"][order]}
    moved = dataclasses.replace(truth, labels=truth.labels[order], row_groups=rows)
    assert numbers(TopK(topk.ids[order], topk.scores[order]), moved) == pytest.approx(numbers(topk, truth), abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(worlds(), st.integers(0, 5), st.integers(0, 8))
def test_a_wrong_label_in_front_never_helps(world: tuple[TopK, Truth], row: int, label: int) -> None:
    topk, truth = world
    row, label = row % truth.n_rows, label % truth.n_labels
    if truth.labels[row, label] or label in topk.ids[row]:
        return
    ids = np.c_[topk.ids, np.full(truth.n_rows, PAD)]
    ids[row] = [label, *topk.ids[row]]
    scores = np.tile(np.arange(ids.shape[1], 0, -1.0), (truth.n_rows, 1))
    worse = numbers(TopK.from_arrays(ids, scores, topk.k), truth)
    for name, value in numbers(topk, truth).items():
        if value is not None:
            other = worse[name]
            assert other is not None
            falls_for_others = name.startswith(("MacroP", "MacroF1"))  # a label pushed out may have been wrong there
            assert other <= value + 1e-12 or falls_for_others, name


@settings(max_examples=25, deadline=None)
@given(worlds(), st.integers(0, 5), st.integers(0, 8))
def test_a_true_label_moved_up_one_rank_never_hurts(world: tuple[TopK, Truth], row: int, at: int) -> None:
    topk, truth = world
    row, at = row % truth.n_rows, at % topk.k
    label = int(topk.ids[row, at])
    if at == 0 or label == PAD or not truth.labels[row, label] or truth.labels[row, int(topk.ids[row, at - 1])]:
        return
    ids = topk.ids.copy()
    ids[row, at - 1], ids[row, at] = ids[row, at], ids[row, at - 1]
    better = numbers(TopK(ids, topk.scores), truth)
    for name, value in numbers(topk, truth).items():
        if value is not None:
            other = better[name]
            assert other is not None
            assert other >= value - 1e-12, name


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_identities_and_best_reachable(world: tuple[TopK, Truth]) -> None:
    topk, truth = world
    found = evaluate(topk, truth, NAMES, samples=0).values
    assert broken({v.name: v.value for v in found}, {v.name: v.best for v in found}) == []
    for v in found:
        assert v.value is None or np.isfinite(v.value)


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_the_best_ranking_reaches_the_best(world: tuple[TopK, Truth]) -> None:
    """Ranking the true labels by falling weight reaches the stated best of every metric that counts rows."""
    _, truth = world
    dense = truth.labels.toarray() * truth.inv_propensity
    order = np.argsort(-dense, axis=1, kind="stable").astype(np.int32)
    ids = np.where(np.take_along_axis(dense, order, axis=1) > 0, order, PAD)
    perfect = TopK.from_arrays(ids, np.tile(np.arange(ids.shape[1], 0, -1.0), (len(ids), 1)))
    names = [name for name in NAMES if parse(name).definition.kind != "over labels" and ":" not in name]
    for v in evaluate(perfect, truth, names, samples=0).values:
        assert v.value == (None if v.best is None else pytest.approx(v.best, abs=1e-12)), v.name


@settings(max_examples=30, deadline=None)
@given(worlds())
def test_no_ranking_passes_the_best_macro_recall(world: tuple[TopK, Truth]) -> None:
    """The stated best of MacroR is reached by showing each row's rarest labels of the test set."""
    _, truth = world
    dense = truth.labels.toarray()
    if not dense.any():
        return
    rarest = dense / np.maximum(dense.sum(axis=0), 1)
    order = np.argsort(-rarest, axis=1, kind="stable").astype(np.int32)
    ids = np.where(np.take_along_axis(dense, order, axis=1) > 0, order, PAD)
    topk = TopK.from_arrays(ids, np.tile(np.arange(ids.shape[1], 0, -1.0), (len(ids), 1)))
    for k in (1, 2, 5):
        found = evaluate(topk, truth, [f"MacroR@{k}"], samples=0).values[0]
        assert found.value == pytest.approx(found.best, abs=1e-12)


def test_threads_change_nothing(world: Callable[..., Any]) -> None:
    """Bit for bit, intervals among it: another process counts on one thread."""
    code = """
import sys
import numba
sys.path.insert(0, sys.argv[1])
from conftest import make_world
from xmcbench.metrics import DEFAULT, evaluate
topk, truth = make_world(3, n=5000)
numba.set_num_threads(int(sys.argv[2]))
for v in evaluate(topk, truth, [*DEFAULT, "PSP@5:tail", "P@1:novel"], samples=50).values:
    print(v)
"""
    folder = str(Path(__file__).parent)
    command = [sys.executable, "-c", code, folder]
    out = [subprocess.run([*command, n], check=True, capture_output=True, text=True).stdout for n in ("1", "2")]
    assert out[0] == out[1]
    assert len(out[0].splitlines()) == len(DEFAULT) + 2
