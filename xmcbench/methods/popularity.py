"""The floor baseline: the same labels for every row, ranked by their training frequency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from xmcbench.files import write_npz
from xmcbench.method import Footprint, Inputs, Machine, MethodInfo, NoParams, TrainData
from xmcbench.methods.helpers import not_a_model
from xmcbench.npz_files import read_npz
from xmcbench.reasons import Reason, Step, step
from xmcbench.topk import TopK

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Facts


class Popularity:
    """Labels by descending number of training rows, ties by id; labels without a training row have score 0."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="popularity",
        summary="the most frequent training labels, the same for every row",
        family="floor",
        version="1",
        parameters=NoParams,
        deterministic=True,
        scores="share of the training rows that have the label, the same for every row",
        comparable=True,
        seconds={"icd10cm": 0.1, "eurlex-4.3k": 0.1},
    )

    def __init__(self, params: NoParams) -> None:
        self.params = params
        self.share: NDArray[np.float32] = np.empty(0, np.float32)
        self._best: TopK | None = None  # one row, the longest that was asked for: to rank millions of labels takes long

    @classmethod
    def skip(cls, data: Facts, machine: Machine) -> str | None:
        """Never skip: the method needs no inputs."""
        return None

    def footprint(self, data: Facts, machine: Machine) -> Footprint:
        """A copy of the labels' ids, and a few numbers per label."""
        return Footprint(memory=8 * data.pairs + 40 * data.n_labels + (1 << 20), disk=4 * data.n_labels)

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Compute `share`, the fraction of training rows that have each label."""
        counts = np.bincount(train.labels.indices, minlength=train.n_labels)
        self.share, self._best = (counts / max(train.labels.shape[0], 1)).astype(np.float32), None

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k most frequent labels (or all L), with their share as score."""
        k = min(k, len(self.share))
        if self._best is None or self._best.ids.shape[1] < k:
            self._best = TopK.from_arrays(np.arange(len(self.share))[None], self.share[None], k)
        best = self._best.cut(k)
        return TopK(np.repeat(best.ids, inputs.n_rows, axis=0), np.repeat(best.scores, inputs.n_rows, axis=0))

    def explain(self, inputs: Inputs, labels: Sequence[int], ctx: RunContext) -> list[list[Step]]:
        """The share of training rows that have each label."""
        title = "share of the training rows that have the label, the same for every row"
        return [[step(title, [Reason("constant", -1, float(self.share[label]))], "the score")] for label in labels]

    def save(self, folder: Path) -> None:
        """Write `share` to an npz file."""
        write_npz(folder / "popularity.npz", {"share": self.share})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; DataError if the file is missing or damaged."""
        path = folder / "popularity.npz"
        arrays = read_npz(path)
        if "share" not in arrays:
            raise not_a_model("popularity", path, "no share")
        self.share, self._best = arrays["share"], None
