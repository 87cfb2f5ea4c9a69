"""A method in one file: labels of the training rows that share most features with a new row.

xmcbench run --method examples/my_method.py:Overlap --dataset 'synthetic[labels=100,rows=1000,test=200]'
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import scipy.sparse as sp

from xmcbench import Inputs, MethodInfo, RunContext, TopK, TrainData, param


@dataclass(frozen=True)
class Params:
    power: int = param(3, "power of a training row's similarity; larger values trust the nearest rows", "ours", least=1)


class Overlap:
    info = MethodInfo(
        name="overlap",
        summary="labels of similar training rows, summed by a power of their similarity",
        family="neighbours",
        version="1",
        parameters=Params,
        needs=("features",),
        deterministic=True,
    )

    def __init__(self, params: Params) -> None:
        self.params = params

    @classmethod
    def skip(cls, data: object, machine: object) -> str | None:
        return None  # or a sentence why this data set can't be run on this machine

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        self.features, self.labels = train.features.tocsr(), train.labels.tocsr()

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        similar = (inputs.features @ self.features.T).power(self.params.power)
        return TopK.from_csr((similar @ self.labels).tocsr(), k)

    def save(self, folder: Path) -> None:
        sp.save_npz(folder / "features.npz", self.features)
        sp.save_npz(folder / "labels.npz", self.labels)

    def load(self, folder: Path) -> None:
        self.features, self.labels = (sp.load_npz(folder / f"{name}.npz") for name in ("features", "labels"))
