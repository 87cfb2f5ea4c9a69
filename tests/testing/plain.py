"""A small method that keeps the contract, for tests to break in one place each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from xmcbench.context import RunContext
from xmcbench.files import write_npz
from xmcbench.method import Inputs, Machine, MethodInfo, TrainData, param
from xmcbench.topk import TopK


@dataclass(frozen=True)
class Params:
    noise: float = param(0.01, "spread of the random start", "ours: small")
    beam: int = param(30, "labels looked at for a row", "ours: all of them here", query=(5, 30))


class Plain:
    """Weights = training co-occurrence of feature and label, plus a little noise; two passes with checkpoints."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="plain",
        summary="co-occurrence plus noise",
        family="other",
        version="1",
        parameters=Params,
        needs=("features",),
    )

    def __init__(self, params: Params) -> None:
        self.params = params

    @classmethod
    def skip(cls, data: Any, machine: Machine) -> str | None:
        return None

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        x, y = train.features.toarray(), np.zeros(train.labels.shape, np.float32)
        y[np.repeat(np.arange(train.n_rows), np.diff(train.labels.indptr)), train.labels.indices] = 1
        kept = ctx.checkpoints.load("half")
        if kept is None:
            with ctx.phase("start"):
                weights = self.start(x.shape[1], train.n_labels, ctx)
            ctx.checkpoints.save("half", {"weights": weights})
        else:
            weights = kept[0]["weights"]
        ctx.progress(1, 2)
        self.weights = weights + np.einsum("nd,nl->dl", x, y)  # no BLAS: its sums depend on the number of threads
        ctx.progress(2, 2)

    def start(self, n_features: int, n_labels: int, ctx: RunContext) -> Any:
        return ctx.rng("start").normal(0, self.params.noise, (n_features, n_labels)).astype(np.float32)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        scores = np.einsum("nd,dl->nl", inputs.features.toarray(), self.weights)  # sums a row alone as among others
        beam = min(ctx.query["beam"], scores.shape[1])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :beam]
        return TopK.from_arrays(order, np.take_along_axis(scores, order, axis=1), k)

    def save(self, folder: Path) -> None:
        write_npz(folder / "weights.npz", {"weights": self.weights})

    def load(self, folder: Path) -> None:
        with np.load(folder / "weights.npz", allow_pickle=False) as file:
            self.weights = file["weights"]
