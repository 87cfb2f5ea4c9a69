"""PECOS: XR-Linear, a hierarchy of linear rankers over clustered labels, in a process and an environment of its own.

Sources: the program itself, libpecos 1.2.8; Yu et al., PECOS: Prediction for Enormous and Correlated Output Spaces
(JMLR 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xmcbench.method import Inputs, Machine, MethodInfo, TrainData, check_bounds, param
from xmcbench.peers import environment, packages, rows
from xmcbench.topk import TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.method import Facts
    from xmcbench.peers.child import Child

Arrays = dict[str, NDArray[Any]]
WORKER = Path(__file__).with_name("pecos_worker.py")
SOURCE = "libpecos 1.2.8"


@dataclass(frozen=True)
class PecosParams:
    """Defaults are those of PECOS's XR-Linear."""

    nr_splits: int = param(16, "children of a node above the leaves", SOURCE, least=2)
    max_leaf_size: int = param(100, "most labels in a leaf", SOURCE, least=2)
    cost: float = param(
        1.0, "C, weight of the squared hinge loss against the L2 penalty, its Cp and Cn", SOURCE, above=0
    )
    threshold: float = param(0.1, "weights of smaller magnitude are dropped", SOURCE)
    trees: int = param(1, "models of other seeds whose scores are added", SOURCE, above=0)
    beam: int = param(
        10, "nodes kept on each level in prediction, its beam_size", SOURCE, above=0, query=(5, 10, 20, 50)
    )


class Pecos:
    """PECOS's XR-Linear with PIFA label features and hierarchical k-means, all rows at L2 norm one.

    It lives in another process, since it wants numpy < 2. That process's own seconds and peak memory are in the
    record's notes as `train_seconds`, `train_peak_rss_bytes` and the same of `load` and `predict`; the record's own
    `peak_rss_bytes` is that of our process alone.
    Batches are asked of hash-chunked weights and single rows of binary-search-chunked ones, its quickest. Labels
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
        presets=MappingProxyType({"xlinear": {}, "ens3": {"trees": 3}}),
        needs=("features",),
        seconds=MappingProxyType({"icd10cm": 15, "eurlex-4.3k": 25}),
    )

    def __init__(self, params: PecosParams) -> None:
        check_bounds("pecos", params)
        self.params = params
        self.n_features = 0
        self.seen: NDArray[np.int32] = np.empty(0, np.int32)
        self.folder: Path | None = None
        self._child: Child | None = None

    @classmethod
    def skip(cls, data: Facts, machine: Machine) -> str | None:
        """Runs wherever there are features and PECOS's environment."""
        return packages.missing("pecos")

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Train in the other process, which saves into the run's folder."""
        import shutil

        x, y, seen = rows.training("pecos", train)
        p, folder = self.params, ctx.folder / "model"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        ask = {
            "verb": "train",
            "folder": str(folder),
            "seeds": [ctx.seed(f"pecos/tree {number}") for number in range(p.trees)],
            "clustering": {"nr_splits": p.nr_splits, "max_leaf_size": p.max_leaf_size},
            "training": {"Cp": p.cost, "Cn": p.cost, "threshold": p.threshold},
            "x": x.shape,
            "y": y.shape,
        }
        self._stop()
        ctx.note("libpecos", packages.installed("pecos"))  # it isn't among the libraries of our environment
        with ctx.phase("train"):
            self._ask(ask, {**_parts("x", x), **_parts("y", y)}, ctx)
        self._stop()  # prediction starts in a fresh process, whose memory holds no training rows
        rows.keep_notes(folder, int(x.shape[1]), seen)
        self.load(folder)

    def warm_up(self, ctx: RunContext) -> None:
        """Start the process and load the weights in both forms."""
        if self._child is None and self.folder is not None:
            self._ask({"verb": "load", "folder": str(self.folder), "trees": self.params.trees}, {}, ctx)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """Beam search with `ctx.query["beam"]`, else the parameter's; at most k labels a row."""
        import scipy.sparse as sp

        x = rows.queries("pecos", inputs, self.n_features)
        k = min(k, len(self.seen))
        if x.shape[0] == 0:
            return TopK(np.empty((0, k), np.int32), np.empty((0, k), np.float32))
        self.warm_up(ctx)
        ask = {"verb": "predict", "k": k, "beam": int(ctx.query.get("beam", self.params.beam)), "x": x.shape}
        found = self._ask(ask, _parts("x", x), ctx)
        scores = sp.csr_matrix((found["data"], found["indices"], found["indptr"]), (x.shape[0], len(self.seen)))
        top = TopK.from_csr(scores, k)
        return TopK(rows.ours(top.ids, self.seen), top.scores)  # still in order: `seen` rises

    def save(self, folder: Path) -> None:
        """PECOS's own files, npz and JSON, and ours beside them."""
        rows.copy_model("pecos", self.folder, folder)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; PECOS itself reads its files with the first prediction.

        Raises
        ------
        DataError : our file is missing or damaged.
        """
        self.n_features, self.seen = rows.read_notes("pecos", folder)
        self.folder = folder
        self._stop()

    def _ask(self, header: dict[str, Any], arrays: Arrays, ctx: RunContext) -> Arrays:
        """Ask the worker, and put its account of time and memory on record. After an error there is no worker."""
        from xmcbench.peers.child import Child

        packages.require("pecos")
        if self._child is None:
            self._child = Child("pecos", [environment.python(), "-P", WORKER])
        try:
            answer, found = self._child.ask({**header, "threads": ctx.threads}, arrays, ctx.check)
        except BaseException:
            self._stop()
            raise
        for what, value in answer.items():  # its own seconds and peak memory
            ctx.note(f"{header['verb']}_{what}", value)
        return found

    def _stop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _parts(name: str, matrix: sp.csr_matrix) -> Arrays:
    kinds = {"data": np.float32, "indices": np.int32, "indptr": np.int64}
    return {f"{name}.{part}": getattr(matrix, part).astype(kind, copy=False) for part, kind in kinds.items()}
