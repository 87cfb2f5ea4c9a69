"""Linear one-vs-rest on sparse features: one classifier per label, trained on all rows; no approximation.

The strongest and most expensive linear baseline. Sources: DiSMEC (Babbar and Schölkopf, WSDM 2017), the "BR" of
napkinXC (Jasinska-Kobus et al., 2020); the solver is LIBLINEAR's, see `xmcbench.sparse.onevsrest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from xmcbench.files import write_npz
from xmcbench.method import Footprint, Inputs, Machine, MethodInfo, TrainData, check_bounds, param
from xmcbench.methods.helpers import (
    Best,
    checkpointed_csr,
    feature_reasons,
    features_of,
    not_a_model,
    not_fitted,
    predict_in_parts,
)
from xmcbench.npz_files import map_npz
from xmcbench.reasons import Step, step, unknown_label
from xmcbench.topk import TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.method import Facts
    from xmcbench.sparse.csr import Csr
    from xmcbench.sparse.inverted import InvertedWeights

BLOCK_WORK = 10_000_000_000  # stored features × labels per checkpoint: half a minute on two cores
WORKING = 32 << 20  # bytes of a scoring call
ROWS = 2048  # rows per scoring call: Ctrl-C and the deadline are checked between calls


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
    max_iter: int = param(
        100, "maximum number of rounds per classifier, each of up to five passes over its rows", "napkinXC", above=0
    )
    threshold: float = param(0.01, "weights of smaller magnitude are dropped", "DiSMEC's Δ", least=0)


class Ovr:
    """One linear classifier per label; predicts the labels of largest margin.

    Rows are scaled to length one and get a constant feature of 1. Scores are the margins w·x + b: any increasing
    function of them gives the same ranking, and a function that saturates at z = 1, such as Parabel's
    exp(−max(0, 1 − z)²), would tie the most confident labels. Labels without a training row are never predicted, so a
    row can have fewer than k labels.
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
        scores="margin w·x + b of the label; above 0 it is more likely than not",
        comparable=True,
        seconds={"icd10cm": 300, "eurlex-4.3k": 60},
    )

    def __init__(self, params: OvrParams) -> None:
        check_bounds("ovr", params)
        self.params = params
        self.labels = np.empty(0, np.int32)
        self.weights: InvertedWeights | None = None

    @classmethod
    def skip(cls, data: Facts, machine: Machine) -> str | None:
        """Never skip: the method only needs features."""
        return None

    def footprint(self, data: Facts, machine: Machine) -> Footprint:
        """The rows, 64 labels in work, and all weights three times while they are joined and sorted by feature."""
        from xmcbench.methods.sizes import labels_with_rows, linear_weights, rows_per_label
        from xmcbench.sparse.onevsrest import LANES

        # Of the rows that reach the margin, most are in the sample that all labels start with, or, where rows have many
        # labels, have labels of the positive rows. docs/scale_measured.md has what these constants were chosen on.
        positives, labels_per_row = rows_per_label(data), data.pairs / max(data.n_train, 1)
        near = max(7.0, 0.45 * labels_per_row) * positives + 64
        weights = int(1.7 * labels_with_rows(data) * linear_weights(data, positives, near, self.params.threshold))
        in_work = LANES * (21 * data.n_train + 8 * data.n_features)
        memory = 4 * data.entries + 16 * data.pairs + in_work + 24 * weights + WORKING
        return Footprint(memory=memory, disk=16 * weights)

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Train in blocks of labels; blocks that a killed run finished are loaded from its checkpoints."""
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
        weights = weights[ascending]
        self.weights = InvertedWeights.of(weights)
        ctx.note("weights", int(weights.nnz))

    def _train(
        self, features: sp.csr_matrix, labels: sp.csc_matrix, order: NDArray[np.int32], ctx: RunContext
    ) -> sp.csr_matrix:
        """(labels, d + 1) weights in the order of `order`, so that labels of similar frequency share a block."""
        import scipy.sparse as sp

        from xmcbench.sparse.dual import SolverOptions
        from xmcbench.sparse.onevsrest import train_one_vs_rest

        p, width = self.params, features.shape[1] + 1
        step = max(1, BLOCK_WORK // max(1, features.nnz))
        blocks = [sp.csr_matrix((0, width), dtype=np.float32)]
        for first in range(0, len(order), step):

            def train(first: int = first) -> sp.csr_matrix:
                block = labels[:, order[first : first + step]]
                options = SolverOptions(
                    p.cost, p.tolerance, p.max_iter, threshold=p.threshold, seed=ctx.seed("ovr") + first
                )
                return train_one_vs_rest(
                    features, block, options, lambda done, _: ctx.progress(first + done, len(order), "labels")
                )

            blocks.append(checkpointed_csr(ctx.checkpoints, f"weights-{first}", width, train))
        return sp.vstack(blocks, format="csr")

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k labels of largest margin among those with training rows."""
        from xmcbench.sparse.inverted import best_labels

        if (weights := self.weights) is None:
            raise not_fitted("ovr", "predict")
        features = features_of("ovr", inputs, len(weights.by_feature.indptr) - 1)
        k = min(k, len(self.labels))

        def best(rows: Csr) -> Best:
            positions, scores = best_labels(weights, rows, k)
            return self.labels[positions], scores

        return predict_in_parts(features, k, ROWS, best, ctx)

    def explain(self, inputs: Inputs, labels: Sequence[int], ctx: RunContext) -> list[list[Step]]:
        """The features of the row, each with weight × value, and the constant; they sum to the margin."""
        from xmcbench.sparse.csr import unit_rows
        from xmcbench.sparse.inverted import products

        if (weights := self.weights) is None:
            raise not_fitted("ovr", "explain")
        row = unit_rows(features_of("ovr", inputs, len(weights.by_feature.indptr) - 1))
        explained = []
        for label in labels:
            position = int(np.searchsorted(self.labels, label))
            if label not in self.labels[position : position + 1]:
                explained.append([unknown_label("one-vs-rest")])
                continue
            reasons = feature_reasons(row.indices, products(weights, row, position), weights.bias[position])
            explained.append([step("margin w·x + b", reasons, "the score")])
        return explained

    def save(self, folder: Path) -> None:
        """Write the labels and their weights by feature to one npz file."""
        if self.weights is None:
            raise not_fitted("ovr", "save")
        arrays = {**self.weights.by_feature._asdict(), "bias": self.weights.bias, "labels": self.labels}
        write_npz(folder / "ovr.npz", arrays, compressed=False)

    def load(self, folder: Path) -> None:
        """Map what `save` wrote; DataError if the file is missing or damaged."""
        from xmcbench.sparse.csr import Csr
        from xmcbench.sparse.inverted import InvertedWeights

        path = folder / "ovr.npz"
        arrays = map_npz(path)
        try:
            by_feature = Csr(*(arrays[name] for name in ("indptr", "indices", "data")))
            self.weights, self.labels = InvertedWeights(by_feature, arrays["bias"]), arrays["labels"]
        except KeyError as error:
            raise not_a_model("ovr", path, error) from error
