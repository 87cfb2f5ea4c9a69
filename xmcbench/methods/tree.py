"""A balanced label tree with linear classifiers: the classical method of the field, on the bag of words alone.

Labels are clustered by what their rows look like (PIFA); every node of the tree learns to say whether a row has a
label below it, from the rows that have one below its parent; prediction is a beam search from the root.
Sources: Parabel (Prabhu et al., WWW 2018), PECOS's XR-Linear (Yu et al., JMLR 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, UsageError
from xmcbench.files import write_npz
from xmcbench.method import Inputs, Machine, MethodInfo, TrainData, param
from xmcbench.topk import TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.data.spec import Facts
    from xmcbench.sparse.beam import SearchTree
    from xmcbench.sparse.labeltree import LabelTree
    from xmcbench.sparse.linear import Problems

BLOCK_WORK = 10_000_000_000  # stored features a pass over the problems of one checkpoint: minutes on two cores
ROWS = 2048  # rows a search call, so that Ctrl-C and deadlines come through


@dataclass(frozen=True)
class TreeParams:
    """Defaults follow PECOS's XR-Linear and Parabel."""

    max_leaf: int = param(100, "most labels in a cluster at the bottom of the tree", "Parabel; PECOS max_leaf_size")
    arity: int = param(16, "most children of a node above the clusters; a power of two", "PECOS nr_splits")
    cost: float = param(
        1.0,
        "C, weight of the squared hinge loss against the L2 penalty",
        "Parabel, PECOS, LIBLINEAR",
        tune=(0.3, 1.0, 3.0),
    )
    tolerance: float = param(0.1, "classifiers stop at this spread of projected gradients", "LIBLINEAR solver 1, PECOS")
    max_iter: int = param(20, "most passes over the rows of one classifier", "Parabel; omikuji linear.max_iter")
    threshold: float = param(0.1, "weights of smaller magnitude are dropped", "Parabel; PECOS threshold")
    beam: int = param(
        10, "nodes kept on each level in prediction", "Parabel; PECOS beam_size", query=(5, 10, 20, 50), tune=(10, 20)
    )


class Tree:
    """Balanced label tree, one linear classifier a node and a label, beam search.

    Labels without a training row are in no cluster and are never predicted, so a row can have fewer than k labels.
    """

    info: ClassVar[MethodInfo] = MethodInfo(
        name="tree",
        summary="balanced label tree of linear classifiers on sparse features, as Parabel and XR-Linear",
        family="tree",
        version="2",
        citation=(
            "@inproceedings{prabhu2018parabel, title={Parabel: Partitioned Label Trees for Extreme Classification "
            "with Application to Dynamic Search Advertising}, author={Prabhu, Yashoteja and Kag, Anil and "
            "Harsola, Shrutendra and Agrawal, Rahul and Varma, Manik}, booktitle={WWW}, year={2018}}"
        ),
        parameters=TreeParams,
        needs=("features",),
        seconds=MappingProxyType({"icd10cm": 50, "eurlex-4.3k": 70}),
    )

    def __init__(self, params: TreeParams) -> None:
        if params.arity < 2 or params.arity & (params.arity - 1):
            raise UsageError(f"tree: arity is {params.arity}, must be a power of two", "Valid: 2, 4, 8, 16, 32, …")
        for name in ("max_leaf", "cost", "tolerance", "max_iter", "beam"):
            if getattr(params, name) <= 0:
                raise UsageError(f"tree: {name} is {getattr(params, name)}, must be above zero")
        self.params = params
        self.model: SearchTree | None = None
        self.n_features = 0

    @classmethod
    def skip(cls, data: Facts, machine: Machine) -> str | None:
        """Runs wherever there are features."""
        return None

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Cluster, then train level by level; what a killed run has finished is taken from its checkpoints."""
        from xmcbench.sparse.beam import SearchTree
        from xmcbench.sparse.csr import parts, unit_rows

        assert train.features is not None
        features = unit_rows(train.features)
        self.n_features = int(features.shape[1])
        with ctx.phase("cluster"):
            tree = self._cluster(features, train.labels, ctx)
        with ctx.phase("train"):
            weights = self._train(features, tree.problems(train.labels), ctx)
        self.model = SearchTree(tree.child_ptr(), tree.labels, tree.depth, parts(weights))
        ctx.note("levels", tree.sizes())
        ctx.note("weights", int(weights.nnz))

    def _cluster(self, features: sp.csr_matrix, labels: sp.csr_matrix, ctx: RunContext) -> LabelTree:
        """The tree over all labels that have a training row."""
        from xmcbench.sparse.clustering import balanced_clusters, cluster_count, label_centroids
        from xmcbench.sparse.labeltree import LabelTree

        seen = np.flatnonzero(np.bincount(labels.indices, minlength=labels.shape[1])).astype(np.int32)
        count = cluster_count(len(seen), self.params.max_leaf)
        kept = ctx.checkpoints.load("clusters")
        if kept is not None:
            clusters = kept[0]["clusters"]
        else:
            ctx.progress(0, count, "label centroids")
            clusters = balanced_clusters(
                label_centroids(features, labels[:, seen]),
                n_clusters=count,
                seed=ctx.seed("tree/cluster"),
                progress=ctx.progress,
            )
            ctx.checkpoints.save("clusters", {"clusters": clusters})
        return LabelTree.build(seen, clusters, count.bit_length() - 1, self.params.arity.bit_length() - 1)

    def _train(self, features: sp.csr_matrix, levels: list[Problems], ctx: RunContext) -> sp.csr_matrix:
        """(nodes, d + 1) weights of all nodes, the root's row empty."""
        import scipy.sparse as sp

        work = [int(problems.work(features).sum()) for problems in levels]
        found = [sp.csr_matrix((1, features.shape[1] + 1), dtype=np.float32)]
        done = 0
        for number, level in enumerate(levels, start=1):
            for first, block in blocks(level, features):
                report = Report(ctx, done, sum(work), f"level {number} of {len(levels)}")
                found.append(self._train_block(features, block, number, first, report))
                done += int(block.work(features).sum())
        return sp.vstack(found, format="csr")

    def _train_block(
        self, features: sp.csr_matrix, block: Problems, level: int, first: int, report: Report
    ) -> sp.csr_matrix:
        """Weights of a level's problems from number `first` on, from a checkpoint where there is one."""
        import scipy.sparse as sp

        from xmcbench.sparse.linear import train_linear

        p, ctx = self.params, report.ctx
        name = f"weights-{level}-{first}"
        kept = ctx.checkpoints.load(name)
        if kept is not None:
            arrays = (kept[0]["data"], kept[0]["indices"], kept[0]["indptr"])
            return sp.csr_matrix(arrays, shape=(block.n_problems, features.shape[1] + 1))
        weights = train_linear(
            features,
            block,
            cost=p.cost,
            tolerance=p.tolerance,
            max_iter=p.max_iter,
            threshold=p.threshold,
            seed=ctx.seed(f"tree/level {level}") + first,
            progress=report,
        )
        ctx.checkpoints.save(name, {"data": weights.data, "indices": weights.indices, "indptr": weights.indptr})
        return weights

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """Beam search with `ctx.query["beam"]`, else the parameter's; at most k labels a row."""
        from xmcbench.sparse.beam import search
        from xmcbench.sparse.csr import unit_rows

        if self.model is None:
            raise UsageError("tree: predict before fit or load")
        assert inputs.features is not None
        n, width = inputs.features.shape
        if width != self.n_features:
            raise DataError(f"tree: rows have {width} features, the model was trained on {self.n_features}")
        beam = int(ctx.query.get("beam", self.params.beam))
        k = min(k, len(self.model.labels))
        ids, scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
        for start in range(0, n, ROWS):
            part = slice(start, start + ROWS)
            ids[part], scores[part] = search(self.model, unit_rows(inputs.features[part]), k, beam=beam)
            ctx.progress(min(start + ROWS, n), n)
        return TopK(ids, scores)

    def save(self, folder: Path) -> None:
        """One npz: the tree's links and the weights as CSR in node order, ready for search."""
        if self.model is None:
            raise UsageError("tree: save before fit or load")
        write_npz(folder / "tree.npz", _arrays(self.model, self.n_features), compressed=False)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises
        ------
        DataError : the file is missing or damaged.
        """
        from xmcbench.sparse.beam import SearchTree
        from xmcbench.sparse.csr import Parts

        path = folder / "tree.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                weights = Parts(file["indptr"], file["indices"], file["data"])
                self.n_features = int(file["n_features"])
                self.model = SearchTree(file["child_ptr"], file["labels"], int(file["depth"]), weights)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise DataError(f"{path}: not a tree model ({error})", "Fit again.") from error


@dataclass(frozen=True)
class Report:
    """Progress of one block as progress of the whole phase."""

    ctx: RunContext
    before: int
    total: int
    note: str

    def __call__(self, done: float, _: float) -> None:
        self.ctx.progress(self.before + done, self.total, self.note)


def blocks(problems: Problems, features: sp.csr_matrix) -> Iterator[tuple[int, Problems]]:
    """Cut a level where its work passes `BLOCK_WORK`: (first problem, problems) of each checkpoint."""
    block = np.cumsum(problems.work(features)) // BLOCK_WORK
    borders = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), problems.n_problems]
    for first, last in pairwise(borders):
        yield first, problems.part(first, last)


def _arrays(model: SearchTree, n_features: int) -> dict[str, NDArray[Any]]:
    indptr, indices, data = model.weights
    return {
        "child_ptr": model.child_ptr,
        "labels": model.labels,
        "depth": np.array(model.depth),
        "n_features": np.array(n_features),
        "indptr": indptr,
        "indices": indices,
        "data": data,
    }
