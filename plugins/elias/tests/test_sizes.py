"""Sizes beyond the number of labels or clusters, and data of one, two or three labels."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xmcbench_elias import Elias, footprint
from xmcbench_elias.params import EliasParams, Sizes, sizes
from xmcbench_elias.training import graph

from xmcbench.context import RunContext
from xmcbench.data.spec import Dataset
from xmcbench.errors import UsageError
from xmcbench.tables import optim
from xmcbench.testing.worlds import tiny
from xmcbench.topk import TopK

DATA = tiny()  # 40 labels, so eight clusters of five
SMALL = EliasParams(width=16, leaf=5, train_beam=3, beam=3, batch=32, dual_epochs=1, stage1_epochs=2, stage2_epochs=2)
NETWORK = {"ranker": "none", "dual_epochs": 0}
EVERYTHING = {"members": 2, "recluster": 1, "average": 1, "calibrate": True, "ranker": "both"}


def fitted(folder: Path, data: Dataset = DATA, **values: Any) -> tuple[Elias, RunContext]:
    """With the test split as validation rows: these tests measure nothing."""
    ctx = RunContext(folder, validation=dataclasses.replace(data, validation=data.test).validation_data())
    method = Elias(dataclasses.replace(SMALL, **values))
    method.fit(data.train_data(), ctx)
    return method, ctx


def top(run: tuple[Elias, RunContext], k: int = 100, data: Dataset = DATA, **query: Any) -> TopK:
    """Checked predictions of finite score; `check` refuses a label that is there twice."""
    found = run[0].predict(data.test_inputs(), k, dataclasses.replace(run[1], query=query))
    found.check(data.test_inputs().n_rows, data.train_data().n_labels)
    assert np.isfinite(found.scores[found.ids >= 0]).all()
    return found


def test_sizes_beyond_labels_and_clusters_are_those_of_all() -> None:
    huge = EliasParams(leaf=5, train_beam=10**9, shortlist_leaves=10**9, row_leaves=10**9)
    assert sizes(huge, 40) == Sizes(clusters=8, leaf=5, kappa=40, beam=8, shortlist=40)
    assert sizes(EliasParams(leaf=10**9), 40) == Sizes(clusters=1, leaf=40, kappa=40, beam=1, shortlist=40)
    assert sizes(EliasParams(leaf=1, train_beam=3), 5) == Sizes(clusters=8, leaf=1, kappa=5, beam=3, shortlist=5)
    for n_labels in (1, 2):
        assert sizes(EliasParams(), n_labels) == Sizes(1, n_labels, n_labels, 1, n_labels)


@pytest.mark.parametrize(
    ("beyond", "all_there_is"),
    [
        (
            {"train_beam": 10**6, "beam": 10**6, "shortlist_leaves": 10**6, "row_leaves": 10**6, "extra": 10**6},
            {"train_beam": 8, "beam": 8, "shortlist_leaves": 8, "row_leaves": 8, "extra": 0},
        ),
        ({"extra": 10**6}, {"extra": 5}),
        ({"leaf": 10**6}, {"leaf": 40}),
    ],
    ids=["beam, K, kappa", "extra", "leaf"],
)
def test_more_than_there_is_changes_nothing(
    beyond: dict[str, Any], all_there_is: dict[str, Any], tmp_path: Path
) -> None:
    one, other = (top(fitted(tmp_path / name, **values)) for name, values in (("one", beyond), ("other", all_there_is)))
    assert np.array_equal(one.ids, other.ids)
    assert np.array_equal(one.scores, other.scores)


def test_shortlists_of_one_label_and_clusters_of_one(tmp_path: Path) -> None:
    """Nearly every row has true labels that are in no shortlist, and half of the clusters are empty."""
    least = {"leaf": 1, "shortlist_leaves": 1, "row_leaves": 1, "train_beam": 1, "beam": 1, "extra": 0}
    run = fitted(tmp_path, **least, **NETWORK, shortlist_weight=1.0)
    assert sizes(run[0].params, 40).shortlist == 1
    assert top(run, output="model").k == 1
    assert (top(run, beam=64, output="stage1").ids[:, 0] >= 0).all()


@pytest.mark.parametrize("n_labels", [1, 2, 3])
@pytest.mark.parametrize(
    "values",
    [NETWORK, {"leaf": 1, **NETWORK}, {"leaf": 1, **EVERYTHING}, {"index": "none"}],
    ids=["one leaf", "leaves of one", "everything", "no index"],
)
def test_few_labels(n_labels: int, values: dict[str, Any], tmp_path: Path) -> None:
    """Every label is found in every row. Many training rows have none of them."""

    def cut(rows: Any) -> Any:
        return dataclasses.replace(rows, labels=rows.labels[:, :n_labels].tocsr())

    data = dataclasses.replace(DATA, train=cut(DATA.train), test=cut(DATA.test), label_texts=None)
    assert (np.diff(data.train.labels.indptr) == 0).sum() >= 100
    ids = top(fitted(tmp_path, data, **values), 100, data, beam=9).ids
    assert (np.sort(ids, axis=1)[:, -n_labels:] == np.arange(n_labels)).all()


@pytest.mark.parametrize("beam", [0, -1])
def test_a_beam_of_nothing_is_refused_in_a_query(beam: int) -> None:
    with pytest.raises(UsageError, match=f"elias: beam is {beam}, must be above 0"):
        Elias(SMALL).predict(DATA.test_inputs(), 5, RunContext(Path(), query={"beam": beam}))


def test_the_footprint_has_the_limits_of_training() -> None:
    """It may not import torch, so it has copies of them."""
    assert footprint.PRODUCTS == graph.PRODUCTS
    assert footprint.SHARED == optim.SHARED
