"""One stage of training: copies of weights, the best epoch, and resuming a finished stage."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from xmcbench_elias.network.source import PreparedRows, Source
from xmcbench_elias.params import EliasParams, settled, sizes
from xmcbench_elias.training.building import build, rebuild
from xmcbench_elias.training.graph import clustering_rows
from xmcbench_elias.training.train import Stage

from xmcbench.context import RunContext
from xmcbench.encoders.weights import Arrays, weights_of
from xmcbench.files import write_npz
from xmcbench.method import TrainData
from xmcbench.npz_files import map_npz
from xmcbench.testing.worlds import tiny

DATA = tiny()
TRAIN = DATA.train_data()
VALIDATION = dataclasses.replace(DATA, validation=DATA.test).validation_data()


def stage(folder: Path, validation: TrainData | None, epochs: int) -> Stage:
    params = settled(EliasParams(width=8, leaf=10, train_beam=2, batch=64, dual_epochs=0), TRAIN.n_labels, TRAIN.n_rows)
    ctx = RunContext(folder)
    source = Source.of(params, TRAIN, ctx)
    size = sizes(params, TRAIN.n_labels)
    clusters = (np.arange(TRAIN.n_labels) % size.clusters).astype(np.int32)
    model = build(source, TRAIN.n_labels, clustering_rows(clusters, size.clusters), params, 0)
    held = None if validation is None else source.prepare(validation, ctx)
    rows: PreparedRows = source.prepare(TRAIN, ctx)
    return Stage("stage", epochs, 1.0, model, rows, held, params, size, ctx)


def test_weights_are_copied_only_where_a_later_epoch_may_be_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmcbench_elias.training.train.RISING", 2.0)  # no stage is extended
    copies: list[int] = []
    copy = Stage._copy

    def counted(self: Stage) -> Arrays:
        copies.append(self.epochs)
        return copy(self)

    monkeypatch.setattr(Stage, "_copy", counted)
    for name, validation, epochs, expected in (
        ("no validation", None, 3, 0),
        ("one epoch", VALIDATION, 1, 0),
        ("two epochs", VALIDATION, 2, 1),
    ):
        copies.clear()
        stage(tmp_path / name, validation, epochs).run()
        assert len(copies) == expected, name


@pytest.mark.parametrize("scores", [(0.3, 0.2, 0.1), (0.1, 0.3, 0.2), (0.1, 0.2, 0.2)])
def test_the_weights_of_the_best_epoch_stay(
    scores: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stage of three epochs without validation rows, whose weights are copied after each."""
    seen: list[torch.Tensor] = []

    def note_weights(self: Stage) -> float | None:
        seen.append(self.model.label_weight.detach().clone())
        return scores[len(seen) - 1]

    monkeypatch.setattr(Stage, "_validation_score", note_weights)
    one = stage(tmp_path, VALIDATION, 3)
    best = one.run().best_epoch
    assert scores[best - 1] == max(scores)
    assert torch.equal(one.model.label_weight, seen[best - 1])
    assert len({float(weight.sum()) for weight in seen}) == 3


def test_a_finished_stage_is_loaded_and_not_saved_again(tmp_path: Path) -> None:
    first = stage(tmp_path, VALIDATION, 2)
    state = first.run()
    (file,) = (tmp_path / "checkpoints").iterdir()
    written = file.stat()
    again = stage(tmp_path, VALIDATION, 2)
    assert again.run() == state
    assert torch.equal(again.model.label_weight, first.model.label_weight)
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == (written.st_mtime_ns, written.st_ino)


def test_a_rebuilt_model_shares_the_memory_of_its_weights(tmp_path: Path) -> None:
    one = stage(tmp_path, None, 1)
    source = Source.of(one.params, TRAIN, one.ctx)
    write_npz(tmp_path / "model.npz", weights_of(one.model), compressed=False)
    weights = map_npz(tmp_path / "model.npz")
    again = rebuild(weights, one.params, source)
    assert again.n_labels == TRAIN.n_labels
    assert again.label_weight.data_ptr() == weights["label_weight"].ctypes.data
    for name, value in weights_of(again).items():
        assert np.array_equal(value, weights_of(one.model)[name])
    for name, value in (
        ("label_weight", weights["label_weight"][:, :4].copy()),
        ("label_bias", weights["label_bias"][:-1].copy()),
        ("label_weight", weights["label_weight"].astype(np.float64)),
    ):
        with pytest.raises(ValueError, match="label weights have shape"):
            rebuild(weights | {name: value}, one.params, source)
