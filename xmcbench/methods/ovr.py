"""Linear one-vs-rest on the bag of words: one classifier a label, trained on all rows; no index, nothing approximated.

The strongest linear baseline of the field, and the dearest. Sources: DiSMEC (Babbar and Schölkopf, WSDM 2017), the
"BR" of napkinXC (Jasinska-Kobus et al., 2020); the solver is LIBLINEAR's, see `xmcbench.sparse.onevsrest`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, UsageError
from xmcbench.files import write_npz
from xmcbench.method import Inputs, Machine, MethodInfo, TrainData, check_bounds, param
from xmcbench.methods.kept import kept_matrix
from xmcbench.topk import TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.method import Facts
    from xmcbench.sparse.inverted import InvertedWeights

BLOCK_WORK = 10_000_000_000  # stored features × labels of one checkpoint: half a minute on two cores
ROWS = 2048  # rows a scoring call, so that Ctrl-C and deadlines come through


@dataclass(frozen=True)
class OvrParams:
    """Defaults follow DiSMEC and napkinXC's BR with `loss="l2", liblinear_c=1`."""

    cost: float = param(
        1.0,
        "C, weight of the squared hinge loss against the L2 penalty",
        "DiSMEC, LIBLINEAR",
        above=0,
        tune=(0.3, 1.0, 3.0),
    )
    tolerance: float = param(
        0.1, "classifiers stop at this spread of projected gradients", "LIBLINEAR, napkinXC", above=0
    )
    max_iter: int = param(100, "most rounds of one classifier, of up to five passes over its rows", "napkinXC", above=0)
    threshold: float = param(0.01, "weights of smaller magnitude are dropped", "DiSMEC's Δ", least=0)


class Ovr:
    """One linear classifier a label; the labels of largest margin.

    Rows are scaled to length one and get a constant feature of 1. Scores are the margins w·x + b themselves: any rising
    function of them ranks the same, and those that stop at z = 1, as Parabel's exp(−max(0, 1 − z)²), make ties of the
    surest labels. Labels without a training row are never predicted, so a row can have fewer than k labels.
    """

    info: ClassVar[MethodInfo] = MethodInfo(
        name="ovr",
        summary="linear one-vs-rest on sparse features with squared hinge, as DiSMEC",
        family="one-vs-rest",
        version="2",
        citation=(
            "@inproceedings{babbar2017dismec, title={DiSMEC: Distributed Sparse Machines for Extreme Multi-label "
            'Classification}, author={Babbar, Rohit and Sch{\\"o}lkopf, Bernhard}, booktitle={WSDM}, year={2017}}'
        ),
        parameters=OvrParams,
        needs=("features",),
        seconds=MappingProxyType({"icd10cm": 300, "eurlex-4.3k": 60}),
    )

    def __init__(self, params: OvrParams) -> None:
        check_bounds("ovr", params)
        self.params = params
        self.labels = np.empty(0, np.int32)
        self.weights: InvertedWeights | None = None

    @classmethod
    def skip(cls, data: Facts, machine: Machine) -> str | None:
        """Runs wherever there are features."""
        return None

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Train block by block; blocks that a killed run has finished are taken from its checkpoints."""
        from xmcbench.sparse.csr import unit_rows
        from xmcbench.sparse.inverted import InvertedWeights

        assert train.features is not None
        features = unit_rows(train.features)
        frequency = np.bincount(train.labels.indices, minlength=train.n_labels)
        common_first = np.argsort(-frequency, kind="stable").astype(np.int32)[: np.count_nonzero(frequency)]
        with ctx.phase("train"):
            weights = self._train(features, train.labels.tocsc(), common_first, ctx)
        ascending = np.argsort(common_first)
        self.labels = common_first[ascending]
        self.weights = InvertedWeights.of(weights[ascending])
        ctx.note("weights", int(weights.nnz))

    def _train(
        self, features: sp.csr_matrix, labels: sp.csc_matrix, order: NDArray[np.int32], ctx: RunContext
    ) -> sp.csr_matrix:
        """(labels, d + 1) weights in the order given: labels of like frequency are done at about the same time."""
        import scipy.sparse as sp

        step = max(1, BLOCK_WORK // max(1, features.nnz))
        found = [sp.csr_matrix((0, features.shape[1] + 1), dtype=np.float32)]
        for first, last in pairwise([*range(0, len(order), step), len(order)]):
            found.append(self._train_block(features, labels[:, order[first:last]], first, len(order), ctx))
        return sp.vstack(found, format="csr")

    def _train_block(
        self, features: sp.csr_matrix, labels: sp.csc_matrix, first: int, total: int, ctx: RunContext
    ) -> sp.csr_matrix:
        """Weights of a block of labels, from a checkpoint where there is one."""
        from xmcbench.sparse.onevsrest import train_one_vs_rest

        p = self.params

        def train() -> sp.csr_matrix:
            return train_one_vs_rest(
                features,
                labels,
                cost=p.cost,
                tolerance=p.tolerance,
                max_iter=p.max_iter,
                threshold=p.threshold,
                seed=ctx.seed("ovr") + first,
                progress=lambda done, _: ctx.progress(first + done, total, "labels"),
            )

        return kept_matrix(ctx.checkpoints, f"weights-{first}", features.shape[1] + 1, train)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The labels of largest margin among those with training rows; at most k a row."""
        from xmcbench.sparse.csr import unit_rows
        from xmcbench.sparse.inverted import best_labels

        if self.weights is None:
            raise UsageError("ovr: predict before fit or load")
        assert inputs.features is not None
        n, width = inputs.features.shape
        known = len(self.weights.by_feature.indptr) - 1
        if width != known:
            raise DataError(f"ovr: rows have {width} features, the model was trained on {known}")
        k = min(k, len(self.labels))
        ids, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
        for start in range(0, n, ROWS):
            part = slice(start, start + ROWS)
            places, scores[part] = best_labels(self.weights, unit_rows(inputs.features[part]), k)
            ids[part] = self.labels[places]
            ctx.progress(min(start + ROWS, n), n)
        return TopK(ids, scores)

    def save(self, folder: Path) -> None:
        """One npz: labels and their weights by feature, ready for prediction."""
        if self.weights is None:
            raise UsageError("ovr: save before fit or load")
        arrays = {**self.weights.by_feature._asdict(), "bias": self.weights.bias, "labels": self.labels}
        write_npz(folder / "ovr.npz", arrays, compressed=False)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises
        ------
        DataError : the file is missing or damaged.
        """
        from xmcbench.sparse.csr import Parts
        from xmcbench.sparse.inverted import InvertedWeights

        path = folder / "ovr.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                self.weights = InvertedWeights(Parts(file["indptr"], file["indices"], file["data"]), file["bias"])
                self.labels = file["labels"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise DataError(f"{path}: not an ovr model ({error})", "Fit again.") from error
