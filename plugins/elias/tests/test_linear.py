"""The ranker: which classifiers are trained, that they are those of the core's methods, and that they are resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xmcbench_elias.ranking.linear import BALANCED, Linear, kinds, method_of

from tests.methods.subject import same
from xmcbench.context import Reporter, RunContext
from xmcbench.errors import DataError
from xmcbench.method import Inputs
from xmcbench.methods.ovr import Ovr, OvrParams
from xmcbench.methods.tree import Bonsai, Tree
from xmcbench.testing.worlds import tiny
from xmcbench.topk import TopK

DATA = tiny()
TRAIN, TEST = DATA.train_data(), DATA.test_inputs()
BOTH = ("trees", "all")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Linear, RunContext]:
    ctx = RunContext(tmp_path_factory.mktemp("both"), root_seed=3)
    return Linear.fit(BOTH, TRAIN, ctx, "ranker"), ctx


def test_one_vs_rest_stands_beside_the_trees_where_it_is_affordable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TRAIN.features is not None
    work = TRAIN.n_labels * TRAIN.features.nnz
    assert kinds(None, TRAIN) == BOTH
    monkeypatch.setattr("xmcbench_elias.ranking.linear.WORK", float(work))
    assert kinds(None, TRAIN) == BOTH
    monkeypatch.setattr("xmcbench_elias.ranking.linear.WORK", float(work - 1))
    assert kinds(None, TRAIN) == ("trees",)
    # What is asked for is trained whatever it takes.
    assert [kinds(chosen, TRAIN) for chosen in ("both", "trees", "all", "none")] == [BOTH, ("trees",), ("all",), ()]


def test_they_are_bonsai_and_ovr_of_the_same_seed(both: tuple[Linear, RunContext], tmp_path: Path) -> None:
    linear, ctx = both
    methods = {"trees": Bonsai(Bonsai.info.parameters()), "all": Ovr(OvrParams())}
    for kind, method in methods.items():
        method.fit(TRAIN, RunContext(tmp_path / kind, root_seed=3))
        for k in (1, 5, 100):
            assert same(linear.predict(kind, TEST, k, ctx), method.predict(TEST, k, RunContext(tmp_path)))
    one = linear.predict("trees", TEST, 5, ctx)
    assert ((one.scores >= 0) & (one.scores <= 1)).all()
    other = Linear.fit(("trees",), TRAIN, RunContext(tmp_path / "other", root_seed=4), "ranker")
    assert not np.array_equal(other.predict("trees", TEST, 5, ctx).scores, one.scores)


def test_a_query_of_elias_is_none_of_the_trees(tmp_path: Path) -> None:
    asked: list[Any] = []

    class Spy(Bonsai):
        def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
            asked.append(dict(ctx.query))
            return TopK(np.empty((0, k), np.int32), np.empty((0, k), np.float32))

    linear = Linear({"trees": Spy(Bonsai.info.parameters())})
    linear.predict("trees", TEST, 5, RunContext(tmp_path, query={"beam": 1, "output": "ranker"}))
    assert asked == [{}]


def test_what_they_tell_does_not_stand_as_elias_own(both: tuple[Linear, RunContext]) -> None:
    assert both[1].phases == both[1].notes == both[1].selection == {}


def test_saved_and_loaded(both: tuple[Linear, RunContext], tmp_path: Path) -> None:
    both[0].save(tmp_path)
    both[0].save(tmp_path)  # over an older one
    again = Linear.load(tmp_path, TRAIN.n_labels)
    assert tuple(again.methods) == BOTH
    for kind in BOTH:
        assert same(again.predict(kind, TEST, 10, both[1]), both[0].predict(kind, TEST, 10, both[1]))
    (tmp_path / "all" / "ovr.npz").unlink()
    with pytest.raises(DataError, match=r"ovr\.npz"):
        Linear.load(tmp_path, TRAIN.n_labels)


def test_very_many_labels_have_trees_of_balanced_clusters() -> None:
    few, many = (method_of("trees", n_labels) for n_labels in (BALANCED - 1, BALANCED))
    assert isinstance(few, Bonsai)
    assert isinstance(many, Tree)
    assert (few.params.trees, few.params.clusters) == (3, "kmeans")
    assert (many.params.trees, many.params.clusters) == (3, "balanced")
    assert isinstance(method_of("all", BALANCED), Ovr)


def test_nothing_is_saved_of_none(tmp_path: Path) -> None:
    none = Linear.fit((), TRAIN, RunContext(tmp_path / "fit"), "ranker")
    (tmp_path / "model").mkdir()
    none.save(tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []
    assert Linear.load(tmp_path / "model", TRAIN.n_labels).methods == {}


class Counted(Reporter):
    """Counts calls, and stops like Ctrl-C at one of them."""

    def __init__(self, at: int = -1) -> None:
        self.calls, self.at = 0, at

    def progress(self, done: float, total: float, note: str) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [1, 3, 5, 7])
def test_a_killed_fit_goes_on(both: tuple[Linear, RunContext], tmp_path: Path, at: int) -> None:
    def fit(reporter: Reporter, folder: Path = tmp_path) -> Linear:
        return Linear.fit(BOTH, TRAIN, RunContext(folder, root_seed=3, reporter=reporter), "ranker")

    with pytest.raises(KeyboardInterrupt):
        fit(Counted(at))
    rest, whole = Counted(), Counted()
    again = fit(rest)
    fit(whole, tmp_path / "whole")
    for kind in BOTH:
        assert same(again.predict(kind, TEST, 10, both[1]), both[0].predict(kind, TEST, 10, both[1]))
    assert rest.calls < whole.calls or at == 1  # the trees that were finished are not trained again


def test_other_names_have_checkpoints_of_their_own(tmp_path: Path) -> None:
    ctx: Any = RunContext(tmp_path)
    first = Linear.fit(("all",), TRAIN.rows(slice(0, 100)), ctx, "ranker")
    second = Linear.fit(("all",), TRAIN, ctx, "ranker-again")
    assert not np.array_equal(first.predict("all", TEST, 5, ctx).scores, second.predict("all", TEST, 5, ctx).scores)


def test_large_centroids_are_in_files_of_each_kinds_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = Linear.fit(("trees",), TRAIN, RunContext(tmp_path / "memory"), "ranker")
    monkeypatch.setattr("xmcbench.sparse.centroids.IN_MEMORY", 0)
    ctx = RunContext(tmp_path / "files")
    in_files = Linear.fit(("trees",), TRAIN, ctx, "ranker")
    assert same(in_files.predict("trees", TEST, 10, ctx), in_memory.predict("trees", TEST, 10, ctx))
