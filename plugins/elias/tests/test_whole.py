"""Everything around one model: folds, several models, controls, new clusters, averaged weights; saved and resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xmcbench_elias import Elias
from xmcbench_elias.fit import training_shortlists
from xmcbench_elias.params import EliasParams, settled, sizes
from xmcbench_elias.presets import PRESETS
from xmcbench_elias.source import Source
from xmcbench_elias.stages import Plan, stage_1
from xmcbench_elias.train import running_mean

from xmcbench.context import Reporter, RunContext
from xmcbench.data.split import carve
from xmcbench.testing.worlds import tiny
from xmcbench.topk import PAD, TopK

DATA = tiny()
SMALL = EliasParams(width=16, leaf=5, train_beam=3, beam=3, batch=32, stage1_epochs=4, stage2_epochs=3)


class Stop(Reporter):
    """Stops the run like Ctrl-C at the given call of `progress`."""

    def __init__(self, at: int) -> None:
        self.left = at

    def progress(self, done: float, total: float, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def fitted(
    folder: Path, reporter: Reporter | None = None, carved: bool = False, **changes: Any
) -> tuple[Elias, RunContext]:
    train, held = carve(DATA.train_data(), 0)
    ctx = RunContext(folder, validation=held, validation_is_carved=carved, reporter=reporter or Reporter())
    method = Elias(dataclasses.replace(SMALL, **changes))
    method.fit(train, ctx)
    return method, ctx


def top(run: tuple[Elias, RunContext], **query: Any) -> TopK:
    return run[0].predict(DATA.test_inputs(), 10, dataclasses.replace(run[1], query=query))


def same(one: TopK, other: TopK) -> None:
    assert np.array_equal(one.ids, other.ids)
    assert np.array_equal(one.scores, other.scores)


EVERYTHING = {"members": 2, "recluster": 2, "average": 2, "calibrate": True, "ranker": "shortlist", "folds": 2}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Elias, RunContext]:
    return fitted(tmp_path_factory.mktemp("everything"), **EVERYTHING)


@pytest.mark.parametrize("at", [3, 40, 90, 120])
def test_killed_anywhere_it_ends_with_the_same_predictions(
    everything: tuple[Elias, RunContext], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr("xmcbench_elias.train.CHECKPOINT_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, Stop(at), **EVERYTHING)
    again = fitted(tmp_path, **EVERYTHING)
    same(top(again), top(everything))
    same(top(again, output="model"), top(everything, output="model"))


@pytest.mark.parametrize("at", [60, 110])
def test_killed_with_carved_rows_it_ends_with_the_same_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    how = {"carved": True, "calibrate": True, "ranker": "shortlist", "members": 2}
    known = fitted(tmp_path / "whole", **how)
    assert {"stage 2, held out", "blend"} <= set(known[1].phases)
    monkeypatch.setattr("xmcbench_elias.train.CHECKPOINT_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "killed", Stop(at), **how)
    again = fitted(tmp_path / "killed", **how)
    same(top(again), top(known))
    seen = DATA.train_data().labels.sum(axis=0)
    assert known[0].whole is not None
    assert np.array_equal(known[0].whole.seen, np.asarray(seen).ravel())  # carved rows are counted in the end


def test_every_part_is_saved(everything: tuple[Elias, RunContext], tmp_path: Path) -> None:
    everything[0].save(tmp_path)
    again = Elias(everything[0].params)
    again.load(tmp_path)
    for output in ("final", "model", "ranker", "stage1"):
        same(top((again, everything[1]), output=output), top(everything, output=output))


def test_outputs_differ_and_phases_are_named(everything: tuple[Elias, RunContext]) -> None:
    shown = [top(everything, output=output) for output in ("final", "model", "ranker", "stage1")]
    for i, one in enumerate(shown):
        for other in shown[i + 1 :]:
            assert not np.array_equal(one.scores, other.scores)
    phases = list(everything[1].phases)
    assert phases[1:6] == ["cluster", "stage 1, first clusters", "re-cluster", "stage 1", "graph"]
    assert "stage 2, model 2" in phases
    assert "stage 1, fold 2" in phases


def test_folds_show_rows_to_a_model_that_has_not_seen_them(tmp_path: Path) -> None:
    train, ctx = DATA.train_data(), RunContext(tmp_path)
    params = settled(dataclasses.replace(SMALL, folds=2), train.n_labels)
    source = Source.of(params, train, ctx)
    plan = Plan(source.ready(train), None, params, sizes(params, train.n_labels), ctx, source)
    first = stage_1(plan)[0]
    shown = training_shortlists(plan, first)
    in_sample = training_shortlists(dataclasses.replace(plan, params=dataclasses.replace(params, folds=0)), first)
    assert shown.shape == in_sample.shape == (300, 100)

    def hits(ids: Any) -> float:
        true = train.labels.toarray()
        first = np.where(ids[:, :1] == PAD, 0, ids[:, :1])
        return float(np.take_along_axis(true, first, 1).mean())

    assert hits(in_sample) > hits(shown)


@pytest.mark.parametrize("index", ["tree", "random", "none"])
def test_controls_learn_and_differ_from_the_graph(tmp_path: Path, index: str) -> None:
    run, graph = fitted(tmp_path / index, index=index, ranker="none"), fitted(tmp_path / "graph", ranker="none")
    assert not np.array_equal(top(run).scores, top(graph).scores)
    hits = np.take_along_axis(DATA.test.labels.toarray(), top(run).ids[:, :1], 1).mean()
    assert hits > 2 * DATA.test.labels.toarray().mean()
    model = run[0].whole.models[0]  # type: ignore[union-attr]
    assert (model.adjacency is None) == (index != "random")
    if index == "none":  # every label is scored, by the classifier alone
        assert (top(run).ids != PAD).all()
        assert model.entries.shape == (1, 40)


def test_the_running_mean_is_the_mean_and_leaves_the_index_out() -> None:
    weights = [{"w": np.full(2, v, np.float32), "adjacency": np.full(2, v)} for v in (1.0, 2.0, 6.0)]
    mean: dict[str, Any] = {}
    for count, now in enumerate(weights, start=1):
        mean = running_mean(mean, now, count)
    assert list(mean) == ["w"]
    assert mean["w"].tolist() == [3.0, 3.0]


def test_every_preset_makes_parameters() -> None:
    assert EliasParams(**PRESETS["bow"]) == EliasParams()
    paper = sizes(EliasParams(**PRESETS["paper"]), 131_073)
    assert (paper.clusters, paper.kappa, paper.shortlist) == (2048, 650, 1300)
    minilm = EliasParams(**PRESETS["minilm"])
    assert (minilm.encoder, minilm.max_length, minilm.encoder_rate, minilm.width) == ("minilm", 32, 1e-4, 384)


def test_parts_of_the_rows_are_ranked_as_all_are(
    everything: tuple[Elias, RunContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [top(everything, output=output) for output in ("ranker", "final")]
    monkeypatch.setattr("xmcbench_elias.whole.CELLS", 40 * 2 * 7)  # 7 of the 80 rows at a time
    for one, output in zip(known, ("ranker", "final"), strict=True):
        parts = top(everything, output=output)
        assert np.array_equal(parts.ids, one.ids)
        np.testing.assert_allclose(parts.scores, one.scores, rtol=1e-4)


def test_the_index_is_sorted_once_not_once_a_query(
    everything: tuple[Elias, RunContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = top(everything)
    monkeypatch.setattr("xmcbench_elias.whole.Searcher", None)
    monkeypatch.setattr("xmcbench_elias.predict.Searcher", None)
    same(top(everything), expected)
