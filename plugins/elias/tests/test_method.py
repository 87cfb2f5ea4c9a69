"""ELIAS as the harness sees it: it learns, repeats itself, survives a kill and a save, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from xmcbench_elias import Elias
from xmcbench_elias.network.source import Source
from xmcbench_elias.params import EliasParams, settled
from xmcbench_elias.search.predict import validation_score
from xmcbench_elias.training.building import build

from tests.methods.subject import same
from xmcbench.context import Reporter, RunContext
from xmcbench.data.spec import Dataset
from xmcbench.data.split import carve
from xmcbench.encoders.bow import BowEncoder
from xmcbench.errors import Diverged, UsageError
from xmcbench.testing.worlds import tiny
from xmcbench.topk import TopK

SMALL = EliasParams(width=32, leaf=5, train_beam=3, beam=3, batch=32, dual_epochs=3, stage1_epochs=6, stage2_epochs=4)
DATA = tiny()


def context(folder: Path, seed: int = 0, data: Dataset = DATA, reporter: Reporter | None = None) -> RunContext:
    """With the test split as validation rows: these tests measure nothing."""
    rows = dataclasses.replace(data, validation=data.test).validation_data()
    return RunContext(folder, root_seed=seed, validation=rows, reporter=reporter or Reporter())


def fitted(folder: Path, seed: int = 0, params: EliasParams = SMALL, data: Dataset = DATA) -> tuple[Elias, RunContext]:
    ctx = context(folder, seed, data)
    method = Elias(params)
    method.fit(data.train_data(), ctx)
    return method, ctx


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Elias, RunContext]:
    return fitted(tmp_path_factory.mktemp("once"))


def predictions(run: tuple[Elias, RunContext], k: int = 5, data: Dataset = DATA) -> TopK:
    return run[0].predict(data.test_inputs(), k, run[1])


def test_learns_what_popularity_cannot(once: tuple[Elias, RunContext]) -> None:
    frequent = np.argsort(-np.asarray(DATA.train.labels.sum(axis=0)).ravel())[:5]
    floor = TopK.from_arrays(np.tile(frequent, (80, 1)), np.tile(np.arange(5.0, 0, -1), (80, 1)))
    assert validation_score(predictions(once), DATA.test.labels) > validation_score(floor, DATA.test.labels) + 0.2


def test_carved_rows_select_epochs_and_are_learned_from_in_the_end(tmp_path: Path) -> None:
    train, held = carve(DATA.train_data(), 0)
    ctx = RunContext(tmp_path, validation=held, validation_is_carved=True)
    method = Elias(SMALL)
    method.fit(train, ctx)
    assert "which every part is trained on in the end" in ctx.selection["by"]
    epochs = ctx.notes["epochs"]
    tried = len(epochs) - 2  # a stage goes on, half as long again at most, while validation rises
    assert ctx.selection["tried"] == tried >= 10
    assert [entry["validation nDCG@5"] is None for entry in epochs] == [False] * tried + [True] * 2
    assert [entry["stage"] for entry in epochs[-3:]] == ["stage 2"] + ["stage 2, all rows"] * 2
    assert list(ctx.phases)[-3:] == ["ranker", "final ranking", "stage 2, all rows"]
    official = RunContext(tmp_path / "official", validation=held)
    other = Elias(SMALL)
    other.fit(train, official)
    assert "learns" not in official.selection["by"]
    assert not np.array_equal(predictions((method, ctx)).scores, predictions((other, official)).scores)


def test_every_phase_is_timed_and_recorded(once: tuple[Elias, RunContext]) -> None:
    ctx = once[1]
    stages = ["cluster", "stage 1", "graph", "stage 2"]
    assert list(ctx.phases) == ["encode", "dual encoder", *stages, "ranker", "final ranking"]
    epochs = ctx.notes["epochs"]
    assert ctx.selection["tried"] == len(epochs)
    first = [entry["stage"] for entry in epochs].count("stage 1")
    assert [entry["stage"] for entry in epochs] == ["stage 1"] * first + ["stage 2"] * (len(epochs) - first)
    assert first in (6, 9)
    assert len(epochs) - first in (4, 6)
    assert epochs[5]["loss"] < epochs[0]["loss"]
    best = max(entry["validation nDCG@5"] for entry in epochs if entry["stage"] == "stage 2")
    held = once[0].predict(DATA.test_inputs(), 5, dataclasses.replace(ctx, query={"output": "model"}))
    assert validation_score(held, DATA.test.labels) == pytest.approx(best)
    final = validation_score(predictions(once), DATA.test.labels)
    told = ctx.notes["final ranking"]
    assert told["rows"] == 80
    assert list(told["validation nDCG@5"]) == ["model", "trees", "all", "dual", "final"]
    assert told["validation nDCG@5"]["model"] == pytest.approx(best, abs=1e-4)
    assert told["validation nDCG@5"]["final"] == pytest.approx(final, abs=1e-4)
    assert final >= max(told["validation nDCG@5"].values()) - 1e-4
    assert list(told["weights"])[:5] == ["model", "trees", "all", "dual", "count"]


def test_seed_decides_everything(once: tuple[Elias, RunContext], tmp_path: Path) -> None:
    assert same(predictions(fitted(tmp_path / "same")), predictions(once))
    assert not np.array_equal(predictions(fitted(tmp_path / "other", seed=1)).scores, predictions(once).scores)


def test_nothing_global_is_seeded_or_drawn(tmp_path: Path) -> None:
    np.random.seed(3)  # noqa: NPY002
    torch.manual_seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[union-attr, index]  # noqa: NPY002
    fitted(tmp_path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize(
    ("phase", "at"),
    [("dual encoder", 2), ("cluster", 2), ("stage 1", 35), ("graph", 1), ("stage 2", 18), ("train", 3), ("train", 6)],
)
def test_a_killed_run_goes_on_and_ends_the_same(
    phase: str, at: int, once: tuple[Elias, RunContext], tmp_path: Path, stop: Any
) -> None:
    with pytest.raises(KeyboardInterrupt):
        Elias(SMALL).fit(DATA.train_data(), context(tmp_path, reporter=stop(phase, at)))
    assert list(tmp_path.rglob("*.npz"))
    run = fitted(tmp_path)
    assert same(predictions(run), predictions(once))
    assert run[1].notes["epochs"] == once[1].notes["epochs"]


def test_save_and_load(once: tuple[Elias, RunContext], tmp_path: Path) -> None:
    once[0].save(tmp_path)
    names = ["all", "dual", "encoder", "model.npz", "rest.npz", "stage1.npz", "trees"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    again = Elias(SMALL)
    again.load(tmp_path)
    assert same(predictions((again, once[1])), predictions(once))


def test_beam_is_read_from_the_query(once: tuple[Elias, RunContext]) -> None:
    def asked(**query: Any) -> TopK:
        return predictions((once[0], dataclasses.replace(once[1], query=query)))

    assert not np.array_equal(asked(beam=1, output="model").ids, asked(beam=8, output="model").ids)
    assert not np.array_equal(asked(beam=1).scores, asked(beam=8).scores)
    assert same(asked(beam=SMALL.beam), predictions(once))


def test_rows_one_by_one_and_more_labels_than_there_are(once: tuple[Elias, RunContext]) -> None:
    top = predictions(once, k=100)
    assert top.k <= 40
    top.check(80, 40)
    one = once[0].predict(DATA.test_inputs().rows(np.array([7])), 100, once[1])
    np.testing.assert_array_equal(one.ids[0], top.ids[7][: one.k])
    np.testing.assert_allclose(one.scores[0], top.scores[7][: one.k], rtol=1e-4)
    assert once[0].predict(DATA.test_inputs().rows(np.arange(0)), 5, once[1]).n_rows == 0


def changed(rows: Any, **matrices: Any) -> Any:
    return dataclasses.replace(rows, **matrices)


def test_rows_without_features_rows_without_labels_and_unseen_labels(tmp_path: Path) -> None:
    x, y = DATA.train.features.copy(), DATA.train.labels.tolil()
    x.data[: x.indptr[40]] = 0
    x.eliminate_zeros()
    y[:, 3] = 0
    y[50:60] = 0
    data = dataclasses.replace(DATA, train=changed(DATA.train, features=x, labels=y.tocsr().astype(np.float32)))
    run = fitted(tmp_path, data=data)
    predictions(run).check(80, 40)
    assert validation_score(predictions(run), DATA.test.labels) > 0.3


def test_one_label_and_no_validation_rows(tmp_path: Path) -> None:
    train = changed(DATA.train, labels=DATA.train.labels[:, :1].tocsr())
    test = changed(DATA.test, labels=DATA.test.labels[:, :1].tocsr())
    data = dataclasses.replace(DATA, train=train, test=test, label_texts=(DATA.label_texts or [])[:1])
    method = Elias(SMALL)
    ctx = RunContext(tmp_path)
    method.fit(data.train_data(), ctx)
    assert (method.predict(data.test_inputs(), 3, ctx).ids == 0).all()
    assert ctx.selection == {}


def test_divergence_is_said(tmp_path: Path) -> None:
    x = DATA.train.features.copy()
    x.data[5] = np.inf
    data = dataclasses.replace(DATA, train=changed(DATA.train, features=x))
    with pytest.raises(Diverged, match="stage 1, epoch 1"):
        fitted(tmp_path / "network", data=data, params=dataclasses.replace(SMALL, dual_epochs=0))
    with pytest.raises(Diverged, match="dual encoder, epoch 1"):
        fitted(tmp_path / "dual", data=data, params=dataclasses.replace(SMALL, label_texts=False))


def test_predict_before_fit() -> None:
    with pytest.raises(UsageError):
        Elias(SMALL).predict(DATA.test_inputs(), 5, RunContext(Path()))


def test_shortlist_loss_alone_changes_training(once: tuple[Elias, RunContext], tmp_path: Path) -> None:
    other = fitted(tmp_path, params=dataclasses.replace(SMALL, shortlist_weight=5.0))
    one, two = (
        run[0].predict(DATA.test_inputs(), 5, dataclasses.replace(run[1], query={"output": "model"}))
        for run in (once, other)
    )
    assert not np.array_equal(one.scores, two.scores)


def test_weights_do_not_depend_on_the_device_or_global_state() -> None:
    entries = np.array([[0, 1]])
    source = Source(BowEncoder(4, 1, torch.Generator()), 8)
    one, other = (build(source, 2, entries, settled(SMALL, 2), 5).state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_listing_imports_nothing_heavy() -> None:
    code = "import sys, xmcbench_elias; print([m for m in ('torch', 'numba', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
