"""Everything around one model: several models, controls, new clusters, averaged weights; saved and resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xmcbench_elias import Elias
from xmcbench_elias.fitted import average
from xmcbench_elias.params import EliasParams, sizes
from xmcbench_elias.presets import PRESETS
from xmcbench_elias.training import stages
from xmcbench_elias.training.dual import Dual
from xmcbench_elias.training.train import Stage, StageHistory, running_mean

from tests.methods.subject import same
from xmcbench.context import Reporter, RunContext
from xmcbench.data.split import carve
from xmcbench.errors import DataError
from xmcbench.sparse.topk import best_of
from xmcbench.testing.worlds import tiny
from xmcbench.topk import PAD, TopK

DATA = tiny()
SMALL = EliasParams(
    width=16, leaf=5, train_beam=3, beam=3, batch=32, dual_epochs=2, stage1_epochs=4, stage2_epochs=3, finish_epochs=1
)
OUTPUTS = ("final", "model", "ranker", "dual", "stage1")
Run = tuple[Elias, RunContext]


def fitted(folder: Path, reporter: Reporter | None = None, carved: bool = False, **changes: Any) -> Run:
    train, held = carve(DATA.train_data(), 0)
    ctx = RunContext(folder, validation=held, validation_is_carved=carved, reporter=reporter or Reporter())
    method = Elias(dataclasses.replace(SMALL, **changes))
    method.fit(train, ctx)
    return method, ctx


def top(run: Run, **query: Any) -> TopK:
    return run[0].predict(DATA.test_inputs(), 10, dataclasses.replace(run[1], query=query))


def same_outputs(one: Run, other: Run) -> None:
    for output in OUTPUTS:
        assert same(top(one, output=output), top(other, output=output))


EVERYTHING = {"members": 2, "recluster": 2, "average": 2, "calibrate": True, "ranker": "both"}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fitted(tmp_path_factory.mktemp("everything"), **EVERYTHING)


@pytest.fixture(scope="module")
def carved(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fitted(tmp_path_factory.mktemp("carved"), carved=True, members=2)


@pytest.mark.parametrize(
    ("phase", "at"),
    [
        pytest.param("encode", 3, marks=pytest.mark.slow),
        ("dual encoder", 2),
        pytest.param("stage 1, first clusters", 17, marks=pytest.mark.slow),
        pytest.param("re-cluster", 2, marks=pytest.mark.slow),
        ("stage 1", 30),
        pytest.param("graph, model 2", 1, marks=pytest.mark.slow),
        ("stage 2, model 2", 25),
        ("train", 2),  # the trees
        ("train", 7),  # one-vs-rest
        pytest.param("final ranking", 2, marks=pytest.mark.slow),
    ],
)
def test_killed_anywhere_it_ends_with_the_same_predictions(
    everything: Run, tmp_path: Path, stop: Any, phase: str, at: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, stop(phase, at), **EVERYTHING)
    again = fitted(tmp_path, **EVERYTHING)
    same_outputs(again, everything)
    assert again[1].notes["final ranking"] == everything[1].notes["final ranking"]


@pytest.mark.parametrize(
    ("phase", "at"),
    [
        ("dual encoder", 4),  # its epoch over all rows
        pytest.param("dual encoder", 5, marks=pytest.mark.slow),
        ("stage 2, all rows", 5),
        pytest.param("stage 2, all rows, model 2", 3, marks=pytest.mark.slow),
        ("train", 9),
        ("train", 14),
    ],
)
def test_killed_with_carved_rows_it_ends_with_the_same_predictions(
    carved: Run, tmp_path: Path, stop: Any, phase: str, at: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, stop(phase, at), carved=True, members=2)
    same_outputs(fitted(tmp_path, carved=True, members=2), carved)


def test_carved_rows_are_learned_from_in_the_end(carved: Run, tmp_path: Path) -> None:
    assert list(carved[1].phases)[-2:] == ["stage 2, all rows", "stage 2, all rows, model 2"]
    seen = np.asarray(DATA.train_data().labels.sum(axis=0)).ravel()
    assert carved[0].fitted is not None
    assert np.array_equal(carved[0].fitted.label_counts, seen)
    apart = fitted(tmp_path, members=2)  # the same rows, which official validation rows would be: never learned from
    assert apart[0].fitted is not None
    assert apart[0].fitted.label_counts.sum() < seen.sum()
    assert not any(name.endswith("all rows") for name in apart[1].phases)
    # The final ranking is learned before the end, from parts that have not learned from these rows: it is the same.
    assert apart[1].notes["final ranking"] == carved[1].notes["final ranking"]
    for output in ("final", "model", "ranker", "dual"):
        assert not np.array_equal(top(apart, output=output).scores, top(carved, output=output).scores)
    assert same(top(apart, output="stage1"), top(carved, output="stage1"))


@pytest.mark.parametrize("dual_epochs", [0, 1])
def test_both_stages_of_every_network_start_from_the_dual_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dual_epochs: int
) -> None:
    given: list[Dual | None] = []

    def told(function: Any) -> Any:
        def call(*args: Any) -> Any:
            given.append(next((each for each in args if isinstance(each, Dual)), None))
            return function(*args)

        return call

    monkeypatch.setattr(stages, "build", told(stages.build))
    monkeypatch.setattr(stages, "start_labels", told(stages.start_labels))
    run = fitted(tmp_path, members=2, recluster=1, stage1_epochs=1, stage2_epochs=1, dual_epochs=dual_epochs)
    assert len(given) == 2 * 3  # first clusters, stage 1, stage 2
    assert run[0].fitted is not None
    assert all(dual is run[0].fitted.dual for dual in given)
    assert (run[0].fitted.dual is None) == (dual_epochs == 0)


def test_the_epochs_over_all_rows_are_at_half_of_stage_2s_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, float, float, int, bool]] = []

    class Told(Stage):
        def run(self) -> StageHistory:
            told.append((self.name, self.epochs, self.factor, self.new, len(self.train.rows), self.validation is None))
            return super().run()

    monkeypatch.setattr("xmcbench_elias.training.stages.Stage", Told)
    fitted(tmp_path, carved=True, finish_epochs=2, stage2_rate=0.4)
    assert told[1:] == [("stage 2", 3, 0.4, 1.0, 285, False), ("stage 2, all rows", 2, 0.2, 0.5, 300, True)]
    told.clear()
    run = fitted(tmp_path / "none", carved=True, finish_epochs=0)
    assert [name for name, *_ in told] == ["stage 1", "stage 2"]
    assert run[0].fitted is not None
    assert run[0].fitted.label_counts.sum() == DATA.train_data().labels.sum()  # linear classifiers use all rows


def test_every_part_is_saved(everything: Run, tmp_path: Path) -> None:
    everything[0].save(tmp_path)
    again = Elias(everything[0].params)
    again.load(tmp_path)
    same_outputs((again, everything[1]), everything)
    one, other = (method.fitted.dual for method in (again, everything[0]))  # type: ignore[union-attr]
    assert one is not None
    assert other is not None
    assert one.length == other.length
    assert one.index is not None
    assert other.index is not None  # as `fit` left it: before the first search
    assert np.array_equal(one.index.vectors, other.index.vectors)


@pytest.mark.parametrize("folder", ["trees", "all"])
def test_a_missing_part_is_named(everything: Run, tmp_path: Path, folder: str) -> None:
    everything[0].save(tmp_path)
    for path in (tmp_path / folder).iterdir():
        path.unlink()
    (tmp_path / folder).rmdir()
    with pytest.raises(DataError, match=folder):
        Elias(everything[0].params).load(tmp_path)


def test_outputs_differ_and_phases_are_named(everything: Run) -> None:
    shown = [top(everything, output=output) for output in OUTPUTS]
    for i, one in enumerate(shown):
        for other in shown[i + 1 :]:
            assert not np.array_equal(one.scores, other.scores)
    phases = list(everything[1].phases)
    assert phases[1:7] == ["dual encoder", "cluster", "stage 1, first clusters", "re-cluster", "stage 1", "graph"]
    assert phases[-3:] == ["stage 2, model 2", "ranker", "final ranking"]


def test_outputs_that_were_not_trained_are_the_networks(tmp_path: Path) -> None:
    run = fitted(tmp_path, ranker="none", dual_epochs=0)
    assert run[0].fitted is not None
    assert run[0].fitted.fusion is run[0].fitted.calibration is None
    assert "final ranking" not in run[1].notes
    for output in ("final", "ranker", "dual"):
        assert same(top(run, output=output), top(run, output="model"))


def test_the_ranker_shows_its_trees_or_what_it_has(everything: Run, tmp_path: Path) -> None:
    whole = everything[0].fitted
    assert whole is not None
    assert same(top(everything, output="ranker"), whole.linear.predict("trees", DATA.test_inputs(), 10, everything[1]))
    alone = fitted(tmp_path, ranker="all", stage1_epochs=1, stage2_epochs=1)
    assert alone[0].fitted is not None
    assert alone[0].fitted.parts() == ("model", "all", "dual")
    assert same(top(alone, output="ranker"), whole.linear.predict("all", DATA.test_inputs(), 10, everything[1]))


@pytest.mark.parametrize("index", ["tree", "random", "none"])
def test_controls_learn_and_differ_from_the_graph(tmp_path: Path, index: str) -> None:
    how = {"ranker": "none", "dual_epochs": 0, "carved": True}
    run, graph = fitted(tmp_path / index, index=index, **how), fitted(tmp_path / "graph", **how)
    assert not np.array_equal(top(run).scores, top(graph).scores)
    hits = np.take_along_axis(DATA.test.labels.toarray(), top(run).ids[:, :1], 1).mean()
    assert hits > 2 * DATA.test.labels.toarray().mean()
    model = run[0].fitted.models[0]  # type: ignore[union-attr]
    assert (model.adjacency is None) == (index != "random")
    if index == "none":  # every label is scored, by the classifier alone
        assert (top(run).ids != PAD).all()
        assert model.entries.shape == (1, 40)


def test_the_network_is_the_same_whatever_the_ranker(carved: Run, tmp_path: Path) -> None:
    alone = fitted(tmp_path, carved=True, members=2, ranker="none")
    assert same(top(alone, output="model"), top(carved, output="model"))


def test_the_running_mean_is_the_mean_and_leaves_the_index_out() -> None:
    weights = [{"w": np.full(2, v, np.float32), "adjacency": np.full(2, v)} for v in (1.0, 2.0, 6.0)]
    mean: dict[str, Any] = {}
    for count, now in enumerate(weights, start=1):
        mean = running_mean(mean, now, count)
    assert list(mean) == ["w"]
    assert mean["w"].tolist() == [3.0, 3.0]


def test_the_average_counts_a_missing_label_as_zero() -> None:
    one = TopK(np.array([[2, 5, PAD]], np.int32), np.array([[0.9, 0.3, -np.inf]], np.float32))
    two = TopK(np.array([[5, 1, 2]], np.int32), np.array([[0.6, 0.5, 0.1]], np.float32))
    three = TopK(np.array([[5, PAD, PAD]], np.int32), np.array([[0.3, -np.inf, -np.inf]], np.float32))
    mean = average([one, two, three])
    mean = best_of(mean.ids, mean.scores, 5)
    assert mean.ids[0].tolist() == [5, 2, 1, PAD, PAD]
    assert mean.scores[0, :3] == pytest.approx([0.4, 1.0 / 3, 0.5 / 3])
    assert average([one]) is one


def test_every_preset_makes_parameters() -> None:
    assert EliasParams(**PRESETS["bow"]) == EliasParams()
    paper = sizes(EliasParams(**PRESETS["paper"]), 131_073)
    assert (paper.clusters, paper.kappa, paper.shortlist) == (2048, 650, 1300)
    minilm = EliasParams(**PRESETS["minilm"])
    assert (minilm.encoder, minilm.max_length, minilm.encoder_rate, minilm.width) == ("minilm", 32, 1e-4, 384)


@pytest.mark.parametrize("calibrated", [True, False])
def test_parts_of_the_rows_are_ranked_as_all_are(
    everything: Run, carved: Run, monkeypatch: pytest.MonkeyPatch, calibrated: bool
) -> None:
    run = everything if calibrated else carved
    known = top(run)
    monkeypatch.setattr("xmcbench_elias.fitted.ROWS", 7)  # of the 80 rows at a time
    parts = top(run)
    assert np.array_equal(parts.ids, known.ids)
    np.testing.assert_allclose(parts.scores, known.scores, rtol=1e-4)


def test_parts_name_as_many_labels_as_are_asked_for(carved: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcbench_elias.fitted.NAMED", 3)
    found = carved[0].predict(DATA.test_inputs(), 40, carved[1])
    assert (found.ids != PAD).sum(axis=1).min() > 30


def test_the_index_is_sorted_once_not_once_a_query(everything: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = top(everything)
    monkeypatch.setattr("xmcbench_elias.fitted.Searcher", None)
    monkeypatch.setattr("xmcbench_elias.search.predict.Searcher", None)
    assert same(top(everything), expected)
