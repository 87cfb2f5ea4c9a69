"""PECOS: XR-Linear, a hierarchy of linear rankers over clustered labels, in a separate process and environment.

Sources: the program itself, libpecos 1.2.8; Yu et al., PECOS: Prediction for Enormous and Correlated Output Spaces
(JMLR 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xmcbench.method import Inputs, MethodInfo, param
from xmcbench.peers import environment, packages, rows
from xmcbench.topk import TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.method import Facts
    from xmcbench.peers.child import Child
    from xmcbench.peers.pecos_worker import Arrays

WORKER = Path(__file__).with_name("pecos_worker.py")
SOURCE = "libpecos 1.2.8"
CHILD = 60 << 20  # bytes of a process with PECOS's libraries, beyond `rows.WORKING`; measured, as what follows
PER_CENTROID_ENTRY = 80  # bytes per stored feature of a label's centroid while a model is trained
LOADED = 70  # the same of each loaded model, whose weights are there in two forms


@dataclass(frozen=True)
class PecosParams:
    """Defaults are those of PECOS's XR-Linear."""

    nr_splits: int = param(16, "children of a node above the leaves", SOURCE, least=2)
    max_leaf_size: int = param(100, "maximum number of labels in a leaf", SOURCE, least=2)
    cost: float = param(
        1.0, "C, weight of the squared hinge loss against the L2 penalty, its Cp and Cn", SOURCE, above=0
    )
    threshold: float = param(0.1, "weights of smaller magnitude are dropped", SOURCE)
    trees: int = param(1, "number of models with different seeds whose scores are added", SOURCE, above=0)
    beam: int = param(
        10, "nodes kept on each level in prediction, its beam_size", SOURCE, above=0, query=(5, 10, 20, 50)
    )


class Pecos(rows.PeerMethod):
    """PECOS's XR-Linear with PIFA label features and hierarchical k-means, all rows at L2 norm one.

    PECOS runs in a child process, since it needs numpy < 2. Seconds and peak memory of the child are in the record's
    notes as `train_seconds`, `train_peak_rss_bytes`, and the same for `load` and `predict`; the record's
    `peak_rss_bytes` only covers our process.
    Batches use hash-chunked weights and single rows binary-search-chunked weights, the fastest form for each. Labels
    without a training row are never predicted.
    """

    info: ClassVar[MethodInfo] = MethodInfo(
        name="pecos",
        summary="the peer PECOS: XR-Linear, linear rankers over clustered labels",
        family="tree",
        version="1",
        citation=(
            "@article{yu2022pecos, title={PECOS: Prediction for Enormous and Correlated Output Spaces}, "
            "author={Yu, Hsiang-Fu and Zhong, Kai and Zhang, Jiong and Chang, Wei-Cheng and Dhillon, Inderjit S.}, "
            "journal={Journal of Machine Learning Research}, year={2022}}"
        ),
        parameters=PecosParams,
        presets={"xlinear": {}, "ens3": {"trees": 3}},
        needs=("features",),
        seconds={"icd10cm": 15, "eurlex-4.3k": 25},
    )

    def __init__(self, params: PecosParams) -> None:
        super().__init__(params)
        self._child: Child | None = None

    def trees(self) -> int:
        return int(self.params.trees)

    def training_bytes(self, data: Facts) -> int:
        """Of the child: its libraries, and one model in training with its label features, or all models loaded."""
        from xmcbench.methods.sizes import centroid_entries

        return CHILD + max(PER_CENTROID_ENTRY, LOADED * self.trees()) * centroid_entries(data)

    def train(self, features: sp.csr_matrix, labels: sp.csr_matrix, folder: Path, ctx: RunContext) -> None:
        """Train in the child process, which saves the models."""
        p = self.params
        folder.mkdir(parents=True)
        request = {
            "verb": "train",
            "folder": str(folder),
            "seeds": [ctx.seed(f"pecos/tree {number}") for number in range(p.trees)],
            "clustering": {"nr_splits": p.nr_splits, "max_leaf_size": p.max_leaf_size},
            "training": {"Cp": p.cost, "Cn": p.cost, "threshold": p.threshold},
            "x": features.shape,
            "y": labels.shape,
        }
        self._stop()
        ctx.note("libpecos", packages.installed("pecos"))  # PECOS isn't among the libraries of our environment
        with ctx.phase("train"):
            self._ask(request, {**_parts("x", features), **_parts("y", labels)}, ctx)

    def warm_up(self, ctx: RunContext) -> None:
        """Start the child process and load the weights in both forms."""
        if self._child is None and self.folder is not None:
            self._ask({"verb": "load", "folder": str(self.folder), "trees": self.params.trees}, {}, ctx)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """Beam search for the k best labels; `ctx.query["beam"]` overrides the width of the beam."""
        import scipy.sparse as sp

        x = rows.queries("pecos", inputs, self.n_features)
        k = min(k, len(self.seen))
        if x.shape[0] == 0:
            return TopK(np.empty((0, k), np.int32), np.empty((0, k), np.float32))
        self.warm_up(ctx)
        request = {"verb": "predict", "k": k, "beam": int(ctx.query.get("beam", self.params.beam)), "x": x.shape}
        csr = self._ask(request, _parts("x", x), ctx)
        scores = sp.csr_matrix((csr["data"], csr["indices"], csr["indptr"]), (x.shape[0], len(self.seen)))
        top = TopK.from_csr(scores, k)
        return TopK(rows.dataset_ids(top.ids, self.seen), top.scores)  # still in order, since `seen` is ascending

    def read(self, folder: Path) -> None:
        """PECOS reads its files at the first prediction, in a fresh process, whose memory holds no training rows."""
        self._stop()

    def _ask(self, header: Mapping[str, object], arrays: Arrays, ctx: RunContext) -> Arrays:
        """Send a request to the worker and record its time and memory; an error ends the worker."""
        from xmcbench.peers.child import Child

        packages.require("pecos")
        if self._child is None:
            self._child = Child("pecos", [environment.python(), "-P", WORKER])
        try:
            answer, answer_arrays = self._child.ask({**header, "threads": ctx.threads}, arrays, ctx.check)
        except BaseException:
            self._stop()
            raise
        for name, value in answer.items():  # seconds and peak memory of the worker
            ctx.note(f"{header['verb']}_{name}", value)
        return answer_arrays

    def _stop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _parts(name: str, matrix: sp.csr_matrix) -> Arrays:
    dtypes = {"data": np.float32, "indices": np.int32, "indptr": np.int64}
    return {f"{name}.{part}": getattr(matrix, part).astype(dtype, copy=False) for part, dtype in dtypes.items()}
