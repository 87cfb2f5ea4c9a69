"""Label trees of linear classifiers: the classical methods of the field, on the bag of words alone.

Labels are clustered by what their rows look like (PIFA); every node of the tree learns to say whether a row has a
label below it, from the rows that have one below its parent; prediction is a beam search from the root.
Sources: Parabel (Prabhu et al., WWW 2018), Bonsai (Khandagale et al., Machine Learning 2020), PECOS's XR-Linear (Yu et
al., JMLR 2022).
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, UsageError
from xmcbench.files import read_npz, write_npz
from xmcbench.method import Inputs, Machine, MethodInfo, TrainData
from xmcbench.methods.tree.params import PRESETS, TreeParams, check, params_of
from xmcbench.topk import TopK

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Facts
    from xmcbench.sparse.beam import SearchTree

PARABEL = (
    "@inproceedings{prabhu2018parabel, title={Parabel: Partitioned Label Trees for Extreme Classification "
    "with Application to Dynamic Search Advertising}, author={Prabhu, Yashoteja and Kag, Anil and "
    "Harsola, Shrutendra and Agrawal, Rahul and Varma, Manik}, booktitle={WWW}, year={2018}}"
)
BONSAI = (
    "@article{khandagale2020bonsai, title={Bonsai: diverse and shallow trees for extreme multi-label classification}, "
    "author={Khandagale, Sujay and Xiao, Han and Babbar, Rohit}, journal={Machine Learning}, volume={109}, year={2020}}"
)
PECOS = (
    "@article{yu2022pecos, title={PECOS: Prediction for Enormous and Correlated Output Spaces}, author={Yu, Hsiang-Fu "
    "and Zhong, Kai and Zhang, Jiong and Chang, Wei-Cheng and Dhillon, Inderjit S.}, journal={JMLR}, volume={23}, "
    "year={2022}}"
)
ROWS = 2048  # rows a search call: many share a node, and Ctrl-C and deadlines come through


def _info(name: str, summary: str, citation: str, seconds: dict[str, float]) -> MethodInfo:
    return MethodInfo(
        name=name,
        summary=summary,
        family="tree",
        version="2",
        citation=citation,
        parameters=TreeParams if name == "tree" else params_of(name),
        presets=MappingProxyType(PRESETS if name == "tree" else {}),
        needs=("features",),
        seconds=MappingProxyType(seconds),
    )


class Tree:
    """Label trees, one linear classifier a node and a label, beam search, mean of the trees.

    Labels without a training row are in no cluster and are never predicted, so a row can have fewer than k labels.
    """

    info: ClassVar[MethodInfo] = _info(
        "tree",
        "label trees of linear classifiers on sparse features, as Parabel, Bonsai and XR-Linear",
        PARABEL,
        {"icd10cm": 20, "eurlex-4.3k": 25},
    )

    def __init__(self, params: Any) -> None:
        check(self.info.name, params)
        self.params = params
        self.trees: list[SearchTree] = []
        self.n_features = self.n_labels = 0

    @classmethod
    def skip(cls, data: Facts, machine: Machine) -> str | None:
        """Runs wherever there are features."""
        return None

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Tree after tree: cluster, then train level by level."""
        from xmcbench.methods.tree.growth import Growth
        from xmcbench.sparse.clustering import label_centroids
        from xmcbench.sparse.csr import unit_rows

        assert train.features is not None
        features = unit_rows(train.features)
        self.n_features, self.n_labels = int(features.shape[1]), train.n_labels
        seen = np.flatnonzero(np.bincount(train.labels.indices, minlength=self.n_labels)).astype(np.int32)
        with ctx.phase("cluster"):
            centroids = label_centroids(features, train.labels[:, seen])
        self.trees, levels = [], []
        for number in range(self.params.trees):
            growth = Growth(self.params, number, ctx)
            tree = growth.cluster(centroids, seen)
            self.trees.append(growth.train(features, train.labels, tree))
            levels.append(tree.sizes())
        ctx.note("levels", levels)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """Beam search with `ctx.query["beam"]`, else the parameter's; at most k labels a row."""
        from xmcbench.sparse.beam import search
        from xmcbench.sparse.csr import unit_rows

        name = self.info.name
        if not self.trees:
            raise UsageError(f"{name}: predict before fit or load")
        assert inputs.features is not None
        n, width = inputs.features.shape
        if width != self.n_features:
            raise DataError(f"{name}: rows have {width} features, the model was trained on {self.n_features}")
        beam, power = int(ctx.query.get("beam", self.params.beam)), self.params.power
        k = min(k, len(self.trees[0].labels))
        ids, scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
        for start in range(0, n, ROWS):
            part = slice(start, start + ROWS)
            rows = inputs.features[part] if n > ROWS else inputs.features  # scipy's slicing costs a tenth of a query
            ids[part], scores[part] = search(
                self.trees, unit_rows(rows), k, beam=beam, power=power, n_labels=self.n_labels
            )
            ctx.progress(min(start + ROWS, n), n)
        return TopK(ids, scores)

    def save(self, folder: Path) -> None:
        """One npz: the trees' links, labels and weights, ready for search."""
        if not self.trees:
            raise UsageError(f"{self.info.name}: save before fit or load")
        sizes = np.array([len(self.trees), self.n_features, self.n_labels])
        arrays: dict[str, NDArray[Any]] = {"sizes": sizes}
        for number, tree in enumerate(self.trees):
            own = {**tree.chunks._asdict(), "labels": tree.labels, "depth": np.array(tree.depth)}
            arrays.update({f"{number}_{name}": array for name, array in own.items()})
        write_npz(folder / "tree.npz", arrays, compressed=False)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises
        ------
        DataError : the file is missing or damaged.
        """
        from xmcbench.sparse.beam import SearchTree
        from xmcbench.sparse.chunked import Chunks

        path = folder / "tree.npz"
        arrays = read_npz(path)
        try:
            count, self.n_features, self.n_labels = arrays["sizes"].tolist()
            self.trees = [
                SearchTree(
                    Chunks(*(arrays[f"{number}_{name}"] for name in Chunks._fields)),
                    arrays[f"{number}_labels"],
                    int(arrays[f"{number}_depth"]),
                )
                for number in range(count)
            ]
        except (KeyError, ValueError, TypeError) as error:
            raise DataError(f"{path}: not a tree model ({error})", "Fit again.") from error


class Parabel(Tree):
    """`tree[preset=parabel]`: three balanced binary trees."""

    info = _info(
        "parabel", "three balanced binary label trees, as Parabel", PARABEL, {"icd10cm": 40, "eurlex-4.3k": 60}
    )


class Bonsai(Tree):
    """`tree[preset=bonsai]`: three wide and shallow trees."""

    info = _info("bonsai", "three wide, shallow label trees, as Bonsai", BONSAI, {"icd10cm": 50, "eurlex-4.3k": 90})


class XrLinear(Tree):
    """`tree[preset=xrlinear]`: one balanced 16-ary tree."""

    info = _info(
        "xrlinear", "one balanced 16-ary label tree, as PECOS's XR-Linear", PECOS, {"icd10cm": 20, "eurlex-4.3k": 25}
    )
