"""Fitting a `FittedModel`: the validation rows of the final ranking, and data without some inputs."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from xmcbench_elias import Elias
from xmcbench_elias.fit import RELIABLE, fit
from xmcbench_elias.fitted import FittedModel
from xmcbench_elias.params import EliasParams
from xmcbench_elias.ranking.fusion import Fusion
from xmcbench_elias.ranking.linear import Linear

from xmcbench.context import Reporter, RunContext
from xmcbench.data.split import carve
from xmcbench.method import TrainData
from xmcbench.testing.worlds import tiny

DATA = tiny()
TRAIN = DATA.train_data()
TEST = dataclasses.replace(DATA, validation=DATA.test).validation_data()
QUICK = EliasParams(
    width=8, leaf=10, train_beam=2, beam=2, batch=64, dual_epochs=1, stage1_epochs=1, stage2_epochs=1, finish_epochs=1
)


def fitted(
    folder: Path, held: TrainData | None, train: TrainData = TRAIN, reporter: Reporter | None = None, **values: Any
) -> tuple[FittedModel, RunContext]:
    ctx = RunContext(folder, validation=held, reporter=reporter or Reporter())
    return fit(train, ctx, dataclasses.replace(QUICK, **values)), ctx


def test_without_validation_rows_weights_are_the_usual_ones(tmp_path: Path) -> None:
    for name, held in (("none", None), ("empty", TEST.rows(slice(0, 0)))):
        whole, ctx = fitted(tmp_path / name, held, calibrate=True)
        assert whole.fusion is not None
        assert whole.fusion.parts == ("model", "trees", "all", "dual")
        assert np.array_equal(whole.fusion.weights, Fusion.usual(whole.fusion.parts).weights)
        assert whole.calibration is None
        assert "final ranking" not in ctx.notes
        assert ctx.selection == {}


def test_a_few_rows_are_learned_from_and_rows_without_labels_are_not(tmp_path: Path) -> None:
    whole, ctx = fitted(tmp_path / "ten", TEST.rows(slice(0, 10)))
    assert whole.fusion is not None
    assert not np.array_equal(whole.fusion.weights, Fusion.usual(whole.fusion.parts).weights)
    assert ctx.notes["final ranking"]["rows"] == 10
    assert ctx.notes["remarks"] == ["elias: the final ranking was learned on 10 validation rows, too few to rely on"]
    nothing = dataclasses.replace(TEST, labels=sp.csr_matrix(TEST.labels.shape, dtype=np.float32))
    whole, ctx = fitted(tmp_path / "nothing", nothing)
    assert whole.fusion is not None
    assert np.array_equal(whole.fusion.weights, Fusion.usual(whole.fusion.parts).weights)
    assert set(ctx.notes["final ranking"]["validation nDCG@5"].values()) == {0.0}


def test_of_many_validation_rows_some_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcbench_elias.fit.ENOUGH", 30)
    assert fitted(tmp_path, TEST)[1].notes["final ranking"]["rows"] == 30


def test_validation_rows_that_are_a_labels_own_text_are_left_out(tmp_path: Path) -> None:
    """Where as many others are left as teach anything."""
    held = TRAIN.rows(slice(0, 150))
    texts = [f"{text} w{row}" for row, text in enumerate(held.texts or [])]
    for own in (50, 51):
        for row in range(own):
            texts[row] = f" {(TRAIN.label_texts or [])[row % 40]}\n".upper()
        some = dataclasses.replace(held, texts=texts)
        left = fitted(tmp_path / str(own), some)[1].notes["final ranking"]["rows"]
        assert left == (150 - own if 150 - own >= RELIABLE else 150)
    mute = dataclasses.replace(TRAIN, label_texts=None)
    assert fitted(tmp_path / "mute", some, mute, label_texts=False)[1].notes["final ranking"]["rows"] == 150


class Scores(Reporter):
    def __init__(self) -> None:
        self.last = -1.0

    def score(self, name: str, value: float) -> None:
        self.last = value


@pytest.mark.parametrize("calibrate", [False, True])
def test_the_score_that_is_shown_is_that_of_what_predicts(tmp_path: Path, calibrate: bool) -> None:
    shown = Scores()
    told = fitted(tmp_path, TEST, reporter=shown, calibrate=calibrate)[1].notes["final ranking"]["validation nDCG@5"]
    assert ("calibrated" in told) == calibrate
    assert shown.last == told["calibrated" if calibrate else "final"]


@pytest.mark.parametrize("texts", [True, False])
def test_rows_without_any_label(tmp_path: Path, texts: bool) -> None:
    labels = sp.csr_matrix(TRAIN.labels.shape, dtype=np.float32)
    train = dataclasses.replace(TRAIN, labels=labels, label_texts=TRAIN.label_texts if texts else None)
    ctx = RunContext(tmp_path, validation=TEST)
    method = Elias(QUICK)
    method.fit(train, ctx)
    for output in ("final", "dual", "ranker", "model"):
        top = method.predict(DATA.test_inputs(), 20, dataclasses.replace(ctx, query={"output": output}))
        top.check(80, 40)


def test_settings_on_record_are_those_that_were_trained_with(tmp_path: Path) -> None:
    settings = fitted(tmp_path, None, batch=None, finish_epochs=2)[1].notes["settings"]
    assert (settings["width"], settings["batch"], settings["dual_epochs"], settings["clusters"]) == (8, 256, 1, 4)
    assert settings["dropout"] == 0.3
    assert None not in {settings[name] for name in ("leaf", "train_beam", "encoder_rate", "shortlist")}


def test_classifiers_that_are_trained_again_are_not_kept_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier: list[weakref.ref[Linear]] = []
    original = Linear.fit

    def noted(*arguments: Any) -> Linear:
        gc.collect()
        assert [linear() for linear in earlier] == [None] * len(earlier)
        linear = original(*arguments)
        earlier.append(weakref.ref(linear))
        return linear

    monkeypatch.setattr(Linear, "fit", noted)
    train, held = carve(TRAIN, 0)
    fit(train, RunContext(tmp_path, validation=held, validation_is_carved=True), QUICK)
    assert len(earlier) == 2
