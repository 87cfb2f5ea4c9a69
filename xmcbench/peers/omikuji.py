"""omikuji: partitioned label trees in Rust (Parabel, Bonsai, collapsed trees), through its Python binding.

Sources: the program itself, version 0.5.2; Parabel (Prabhu et al., WWW 2018); Bonsai (Khandagale et al., Machine
Learning 109, 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xmcbench.errors import DataError, UsageError, XmcError
from xmcbench.method import Inputs, MethodInfo, param
from xmcbench.peers import rows
from xmcbench.peers.rows import quiet
from xmcbench.topk import TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.method import Facts

SOURCE = "omikuji 0.5.2"
LOSSES = {"hinge": "HINGE", "log": "LOG"}
# Bytes per stored feature of a label's centroid, measured: of the table of its sums with what is copied from it, and of
# each tree, whose nodes store their weights by feature, with an index, in lists that have grown by doubling.
PER_CENTROID_ENTRY = 45


@dataclass(frozen=True)
class OmikujiParams:
    """omikuji's hyper-parameters with its names and defaults, which make it Parabel."""

    n_trees: int = param(3, "trees whose scores are averaged", SOURCE, above=0)
    min_branch_size: int = param(100, "a node of fewer labels is not split further", SOURCE)
    max_depth: int = param(20, "maximum number of levels of a tree", SOURCE, above=0)
    centroid_threshold: float = param(0.0, "smaller entries of label centroids are dropped", SOURCE)
    collapse_every_n_layers: int = param(0, "number of layers merged into one of higher arity; 0: none", SOURCE)
    linear_loss_type: Literal["hinge", "log"] = param("hinge", "squared hinge or logistic loss", SOURCE)
    linear_c: float = param(1.0, "weight of the loss against the L2 penalty", SOURCE, above=0)
    linear_eps: float = param(0.1, "classifiers stop at this spread of projected gradients", SOURCE, above=0)
    linear_max_iter: int = param(20, "maximum number of passes over the rows of a classifier", SOURCE, above=0)
    linear_weight_threshold: float = param(0.1, "weights of smaller magnitude are dropped", SOURCE)
    cluster_k: int = param(2, "children of a node, at most min_branch_size", SOURCE, least=2)
    cluster_balanced: bool = param(True, "children have similar numbers of labels", SOURCE)
    cluster_eps: float = param(0.0001, "k-means stops at a smaller gain in mean similarity", SOURCE, above=0)
    cluster_min_size: int = param(2, "smaller clusters are merged into others", SOURCE, above=0)
    beam: int = param(
        10, "nodes kept on each level in prediction, its beam_size", SOURCE, above=0, query=(5, 10, 20, 50)
    )


class Omikuji(rows.PeerMethod):
    """omikuji in this process, all rows at L2 norm one.

    omikuji takes no seed: clusters are initialised with random rows, so two fits differ. Training reads an XMC text
    file in the run's folder. The Python binding predicts one row per call; its threads share the trees of a row. Labels
    without a training row are never predicted. Among labels that tie at the last position, omikuji chooses which to
    return. Training can't be interrupted: Ctrl-C and time limits take effect when it ends.
    """

    info: ClassVar[MethodInfo] = MethodInfo(
        name="omikuji",
        summary="the peer omikuji: Parabel, Bonsai and collapsed label trees",
        family="tree",
        version="1",
        citation=(
            "@inproceedings{prabhu2018parabel, title={Parabel: Partitioned Label Trees for Extreme Classification "
            "with Application to Dynamic Search Advertising}, author={Prabhu, Yashoteja and Kag, Anil and "
            "Harsola, Shrutendra and Agrawal, Rahul and Varma, Manik}, booktitle={WWW}, year={2018}}\n"
            "@misc{omikuji, title={Omikuji: an efficient implementation of partitioned label trees}, "
            "author={Dong, Tom}, howpublished={https://github.com/tomtung/omikuji}}"
        ),
        parameters=OmikujiParams,
        presets={
            "parabel": {},
            "bonsai": {"cluster_k": 100, "cluster_balanced": False, "max_depth": 3},
            "collapse5": {"collapse_every_n_layers": 5},
        },
        needs=("features",),
        scores="product over the path of exp(−max(0, 1 − margin)²), mean over the trees, 0 to 1",
        comparable=True,
        seeded=False,
        seconds={"icd10cm": 60, "eurlex-4.3k": 60},
    )

    def __init__(self, params: OmikujiParams) -> None:
        super().__init__(params)
        if params.cluster_k > params.min_branch_size:  # with more clusters than labels, omikuji ends the process
            raise UsageError(
                f"omikuji: cluster_k is {params.cluster_k} and min_branch_size {params.min_branch_size}",
                "cluster_k must be at most min_branch_size: a node can't have more children than labels.",
            )
        self.model: Any = None
        self.threads = 0

    def trees(self) -> int:
        return int(self.params.n_trees)

    def training_bytes(self, data: Facts) -> int:
        """Centroids of labels, and trees, each with about as many weights as the centroids have features."""
        from xmcbench.methods.sizes import centroid_entries

        return PER_CENTROID_ENTRY * (1 + self.trees()) * centroid_entries(data)

    def train(self, features: sp.csr_matrix, labels: sp.csr_matrix, folder: Path, ctx: RunContext) -> None:
        """Write the rows to a text file and train on it."""
        from xmcbench.data.formats import write_xmc

        path = ctx.folder / "train.txt"
        with ctx.phase("write"):
            write_xmc(path, features, labels)
        with ctx.phase("train"), quiet():  # omikuji writes megabytes of progress to standard error
            import omikuji

            hyper = omikuji.Model.default_hyper_param()
            for name in dir(hyper):
                if name == "linear_loss_type":
                    hyper.linear_loss_type = omikuji.LossType[LOSSES[self.params.linear_loss_type]].value
                elif hasattr(self.params, name):
                    setattr(hyper, name, getattr(self.params, name))
            try:
                omikuji.Model.train_on_data(str(path), hyper, n_threads=ctx.threads).save(str(folder))
            except RuntimeError as error:
                raise XmcError(f"omikuji: {error}", rows.parameters_of(self.params)) from error
        path.unlink()

    def warm_up(self, ctx: RunContext) -> None:
        """Start the prediction threads."""
        if self.model is not None and self.threads != ctx.threads:
            self.model.init_prediction_thread_pool(ctx.threads)
            self.threads = ctx.threads

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """Beam search for the k best labels; `ctx.query["beam"]` overrides the width of the beam."""
        features = rows.queries("omikuji", inputs, self.n_features)
        self.warm_up(ctx)
        beam, k = int(ctx.query.get("beam", self.params.beam)), min(k, len(self.seen))
        indices, values = features.indices.tolist(), features.data.tolist()
        predicted = (
            self.model.predict(list(zip(indices[i:j], values[i:j], strict=True)), beam_size=beam, top_k=k)
            for i, j in pairwise(features.indptr.tolist())
        )
        return self.ranked(predicted, inputs.n_rows, k, ctx)

    def read(self, folder: Path) -> None:
        """Read omikuji's CBOR and JSON files."""
        with quiet():
            import omikuji

            try:
                self.model = omikuji.Model.load(str(folder))
            except RuntimeError as error:
                raise DataError(f"{folder}: omikuji can't read its model ({error})", "Fit again.") from error
        self.threads = 0
