"""Methods with one fault each, which the contract battery must find."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import pickle
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.testing.plain import Plain
from xmcbench.data.spec import Split
from xmcbench.errors import TimeLimit
from xmcbench.method import Footprint
from xmcbench.topk import TopK


class Unseeded(Plain):
    """As a library is that draws its own numbers; what one fit has learned must still be kept."""

    info = dataclasses.replace(Plain.info, seeded=False)

    def start(self, n_features: int, n_labels: int, ctx: Any) -> Any:
        return np.random.default_rng().normal(0, 1e-3, (n_features, n_labels)).astype(np.float32)


class ForgetsItself(Unseeded):
    def load(self, folder: Path) -> None:
        super().load(folder)
        self.weights += self.start(*self.weights.shape, None)


class Prints(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        print("epoch 1")
        super().fit(train, ctx)


class PrintsNatively(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        os.write(2, b"library says hello\n")
        return super().predict(inputs, k, ctx)


class DrawsGlobally(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        np.random.rand()  # noqa: NPY002
        super().fit(train, ctx)


class SeedsTorch(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        torch.manual_seed(ctx.seed("torch"))
        super().fit(train, ctx)


class ShufflesGlobally(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        random.random()
        return super().predict(inputs, k, ctx)


class WritesIntoInputs(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        train.labels.data.setflags(write=True)
        train.labels.data[0] = 5


class SavesPickle(Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "rest.bin").write_bytes(pickle.dumps({"a": 1}))


class SavesObjects(Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        np.savez(folder / "names.npz", names=np.array([{"a": 1}], dtype=object))


class SavesTorchZip(Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        torch.save({"a": torch.zeros(2)}, folder / "state.bin")


class SavesRounded(Plain):
    def save(self, folder: Path) -> None:
        np.savez(folder / "weights.npz", weights=np.round(self.weights, 2))


class SwallowsInterrupt(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        try:
            super().fit(train, ctx)
        except KeyboardInterrupt:
            self.weights = np.zeros((train.features.shape[1], train.n_labels), np.float32)


class ResumesWrongly(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        resumed = ctx.checkpoints.load("half") is not None
        super().fit(train, ctx)
        self.weights[:, 0] += float(resumed)


class SwallowsTimeLimit(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        with contextlib.suppress(TimeLimit):
            super().fit(train, ctx)


class ReadsOwnBeam(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        return super().predict(inputs, k, dataclasses.replace(ctx, query={"beam": self.params.beam}))


class FitsByBeam(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        self.weights[:, 0] += self.params.beam


class LeavesFiles(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        Path("cache.bin").write_bytes(b"x")
        super().fit(train, ctx)


class WritesHome(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        (Path.home() / ".plainrc").write_text("x")
        super().fit(train, ctx)


class LeavesTemporaries(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        tempfile.mkdtemp(prefix="plain-")
        return super().predict(inputs, k, ctx)


class WritesBesideItsFolder(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        (ctx.folder.parent / "fit.json").write_text("{}")
        super().fit(train, ctx)


class KeepsItsModelInTheWorkFolder(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        self.kept = ctx.folder / "weights.npy"
        np.save(self.kept, self.weights)

    def save(self, folder: Path) -> None:
        (folder / "path.txt").write_text(str(self.kept))

    def load(self, folder: Path) -> None:
        self.weights = np.load((folder / "path.txt").read_text())


class KnowsWhereItWasSaved(Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "path.txt").write_text(str(folder))

    def load(self, folder: Path) -> None:
        super().load(Path((folder / "path.txt").read_text()))


class ReadsTexts(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        assert len(train.texts) == train.n_rows
        super().fit(train, ctx)


class ReadsLabelTexts(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        assert len(inputs.label_texts) == inputs.n_labels
        return super().predict(inputs, k, ctx)


class DeclaresNothing(Plain):
    info = dataclasses.replace(Plain.info, needs=())


class ExitsOnOneLabel(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if train.n_labels < 2:
            sys.exit(3)
        super().fit(train, ctx)


class FitsByQuery(Plain):
    """That is its right: while fitting, ctx.query holds the defaults."""

    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        self.weights[:, 0] += ctx.query["beam"]


class NotesASet(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        ctx.notes["seen"] = {1, 2}


class NotesASetByCall(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        ctx.note("seen", {1, 2})


class MovesAway(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        os.chdir("/")
        super().fit(train, ctx)


class FailsOnNoRows(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        assert inputs.n_rows > 0
        return super().predict(inputs, k, ctx)


class FailsOnOneLabel(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if train.n_labels < 2:
            raise ValueError("nothing to learn")
        super().fit(train, ctx)


class FailsOnEmptyRows(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if (np.diff(train.features.indptr) == 0).any():
            raise ZeroDivisionError
        super().fit(train, ctx)


class FailsOnUnlabelledRows(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if (np.diff(train.labels.indptr) == 0).any():
            raise ZeroDivisionError
        super().fit(train, ctx)


class FailsOnUnseenLabels(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if train.n_rows == 60 and train.n_labels == 12 and 3 not in train.labels.indices:
            raise ZeroDivisionError
        super().fit(train, ctx)


class DependsOnThreads(Plain):
    def start(self, n_features: int, n_labels: int, ctx: Any) -> Any:
        return ctx.rng(f"start {ctx.threads}").normal(0, 9, (n_features, n_labels)).astype(np.float32)


class DependsOnTheClock(Plain):
    def start(self, n_features: int, n_labels: int, ctx: Any) -> Any:
        return np.random.default_rng().normal(0, 1e-3, (n_features, n_labels)).astype(np.float32)


class ClaimsDeterminism(Plain):
    info = dataclasses.replace(Plain.info, deterministic=True)


class LooksAtTheBatch(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top = super().predict(inputs, 40, dataclasses.replace(ctx, query={"beam": 40}))
        common = np.bincount(top.ids[:, 0], minlength=40).astype(np.float32) if inputs.n_rows else np.zeros(40)
        return TopK.from_arrays(top.ids, 99 * common[top.ids] - np.arange(top.k), k)


def shares_rows(owner: Split, inputs: Any) -> bool:
    return owner.features is not None and np.shares_memory(owner.features.data, inputs.features.data)


class FindsTestLabels(Plain):
    """Goes from its inputs back to the split they belong to."""

    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top = super().predict(inputs, k, ctx)
        for owner in gc.get_objects():
            if type(owner) is Split and top.n_rows == 80 and shares_rows(owner, inputs):
                top.scores[50] = 1e9 + np.roll(np.arange(top.k), owner.labels.indices[:20].sum()) * 1e6
                return TopK.from_arrays(top.ids, top.scores)
        return top


class RepeatsLabels(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        ids = np.zeros((inputs.n_rows, min(k, 2)), np.int32)
        return TopK(ids, np.zeros(ids.shape, np.float32))


class Unordered(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top = super().predict(inputs, k, ctx)
        return TopK(top.ids[:, ::-1].copy(), top.scores[:, ::-1].copy())


class ScoresNaN(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top = super().predict(inputs, k, ctx)
        return TopK(top.ids, np.full_like(top.scores, np.nan))


class ReturnsArrays(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> Any:
        return super().predict(inputs, k, ctx).ids


class TooManyColumns(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        return super().predict(inputs, k + 1, ctx)


class ShrinksWithRows(Plain):
    def footprint(self, data: Any, machine: Any) -> Footprint:
        return Footprint(max(1, 10**9 - data.n_train))


class NeedsHalfBytes(Plain):
    def footprint(self, data: Any, machine: Any) -> Footprint:
        return Footprint(data.n_train / 2)  # type: ignore[arg-type]


class DeclinesEverything(Plain):
    @classmethod
    def skip(cls, data: Any, machine: Any) -> str | None:
        return "too small"
