"""Explanations: the parts of a label's score sum to the score that prediction gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.methods.subject import data
from xmcbench.context import RunContext
from xmcbench.data.spec import Dataset
from xmcbench.method import Inputs, NoParams
from xmcbench.methods.knn import Knn, KnnParams
from xmcbench.methods.ovr import Ovr, OvrParams
from xmcbench.methods.popularity import Popularity
from xmcbench.methods.tree import Tree
from xmcbench.methods.tree.params import TreeParams
from xmcbench.reasons import Step
from xmcbench.testing.checks import Broken, explains
from xmcbench.testing.subject import Subject
from xmcbench.topk import PAD

K = 12


def of_rows(method: Any, world: Dataset, folder: Path) -> list[tuple[float, list[Step], Inputs]]:
    """Fitted on the world: (score, steps, row) of the K best labels of five test rows."""
    ctx = RunContext(folder)
    method.fit(world.train_data(), ctx)
    found = []
    for number in range(5):
        row = world.test_inputs().rows(slice(number, number + 1))
        top = method.predict(row, K, ctx)
        labels = [label for label in top.ids[0].tolist() if label != PAD]
        assert labels
        explained = method.explain(row, labels, ctx)
        found += [(score, steps, row) for score, steps in zip(top.scores[0].tolist(), explained, strict=False)]
    return found


def check_step(step: Step, row: Inputs) -> None:
    assert step.value == pytest.approx(sum(reason.value for reason in step.reasons), abs=1e-6)
    assert row.features is not None
    features = [reason.id for reason in step.reasons if reason.kind == "feature"]
    assert set(features) <= set(row.features.indices.tolist()), "only the row's own features"
    assert len(set(features)) == len(features)


def test_ovr_sums_to_the_margin(world: Dataset, tmp_path: Path) -> None:
    for score, (step,), row in of_rows(Ovr(OvrParams()), world, tmp_path):
        check_step(step, row)
        assert step.value == pytest.approx(score, abs=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        {"trees": 1, "max_leaf": 4, "arity": 2, "power": 2},
        {"trees": 3, "max_leaf": 3, "arity": 4, "beam": 2},
        {"trees": 2, "clusters": "kmeans", "arity": 5, "depth": 3, "max_leaf": 4, "beam": 2, "power": 3},
    ],
)
def test_the_margins_of_a_tree_give_the_score(world: Dataset, tmp_path: Path, params: dict[str, Any]) -> None:
    tree = Tree(TreeParams(**params))
    unreached = levels = 0
    for score, steps, row in of_rows(tree, world, tmp_path):
        total = 0.0
        for number in range(1, tree.params.trees + 1):
            start = f"tree {number} of " if tree.params.trees > 1 else ""
            path = [step for step in steps if step.title.startswith(start)]
            levels = max(levels, len(path))
            if "did not reach" in path[0].result:
                unreached += 1
                continue
            factor = 1.0
            for step in path:
                check_step(step, row)
                z = step.value if step.reasons else 1.0
                factor *= math.exp(-(max(0.0, 1.0 - z) ** tree.params.power))
            total += factor / tree.params.trees
        assert total == pytest.approx(score, rel=1e-4, abs=1e-6)
    assert levels > 1, "paths have inner nodes"
    assert unreached or tree.params.trees == 1, "narrow beams miss labels in some tree"


@pytest.mark.parametrize("similarity", ["cosine", "bm25"])
def test_the_votes_of_neighbours_sum_to_the_score(world: Dataset, tmp_path: Path, similarity: Any) -> None:
    for score, (step,), _ in of_rows(Knn(KnnParams(similarity=similarity)), world, tmp_path):
        assert step.value == pytest.approx(score, rel=1e-5)
        assert all(reason.kind == "row" for reason in step.reasons)


def test_neighbours_by_hand(tmp_path: Path) -> None:
    """Row (1, 0) has the neighbours 0 (cosine 1) and 2 (cosine 0.6); label 1 belongs to row 2 alone."""
    knn, ctx = Knn(KnnParams(power=1.0)), RunContext(tmp_path)
    train = data([[1, 0], [0, 1], [3, 4]], [[1, 0], [1, 0], [1, 1]])
    knn.fit(train, ctx)
    (first,), (second,) = knn.explain(train.inputs().rows(slice(0, 1)), [0, 1], ctx)
    assert [(r.id, r.note) for r in first.reasons] == [(0, "similarity 1.000"), (2, "similarity 0.600")]
    assert [r.value for r in first.reasons] == pytest.approx([1.0, 0.6])
    assert [r.id for r in second.reasons] == [2]
    assert second.value == pytest.approx(0.6)


def test_an_empty_row_has_the_constant_alone(world: Dataset, tmp_path: Path) -> None:
    ovr, ctx = Ovr(OvrParams()), RunContext(tmp_path)
    ovr.fit(world.train_data(), ctx)
    features = world.test_inputs().rows(slice(0, 1)).features
    assert features is not None
    empty = Inputs(features * 0, None, None, world.n_labels)
    assert empty.features is not None
    empty.features.eliminate_zeros()
    top = ovr.predict(empty, 1, ctx)
    ((step,),) = ovr.explain(empty, top.ids[0].tolist(), ctx)
    assert [reason.kind for reason in step.reasons] == ["constant"]
    assert step.value == pytest.approx(float(top.scores[0, 0]))


def test_popularity_gives_the_share(world: Dataset, tmp_path: Path) -> None:
    for score, (step,), _ in of_rows(Popularity(NoParams()), world, tmp_path):
        assert step.value == score


def test_a_label_without_a_training_row_has_no_classifier(tmp_path: Path) -> None:
    train, ctx = data([[1, 0], [0, 1], [1, 1]], [[1, 0, 0], [0, 0, 1], [1, 0, 0]]), RunContext(tmp_path)
    for method in (Ovr(OvrParams()), Tree(TreeParams())):
        method.fit(train, ctx)
        ((missing,), (known, *_)) = method.explain(train.inputs().rows(slice(0, 1)), [1, 2], ctx)
        assert "no training row" in missing.result
        assert known.reasons


class Lies(Popularity):
    def explain(self, inputs: Inputs, labels: Sequence[int], ctx: RunContext) -> list[list[Step]]:
        return [[Step(one.title, one.value + 1, one.reasons, one.result) for one in steps]
                for steps in super().explain(inputs, labels, ctx)]  # fmt: skip


class Forgets(Popularity):
    def explain(self, inputs: Inputs, labels: Sequence[int], ctx: RunContext) -> list[list[Step]]:
        return super().explain(inputs, labels[1:], ctx)


@pytest.mark.parametrize(("method", "message"), [(Lies, "sum to"), (Forgets, "lists of steps for")])
def test_the_battery_finds_what_is_no_sum(method: Any, message: str) -> None:
    assert explains(Subject(Popularity)) is None
    with pytest.raises(Broken, match=message):
        explains(Subject(method))


def test_features_are_named(tmp_path: Path) -> None:
    from xmcbench.data.vectorizer import Options, Part, Vectorizer

    words = Part.of_terms(Options("words"), ["a", "βeta"], np.ones(2))
    pieces = Part.of_terms(Options("pieces"), [" ab", "x\U0001f600z"], np.ones(2))
    assert [Vectorizer([words, pieces]).term(i) for i in range(4)] == ["a", "βeta", "ab-", "-x\U0001f600z-"]
