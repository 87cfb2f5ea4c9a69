"""Label trees of linear classifiers on sparse features.

Labels are clustered by the mean of their rows' features (PIFA). Each node of the tree has a classifier that decides
whether a row has a label below the node, trained on the rows that have a label below its parent. Prediction is a beam
search from the root.
Sources: Parabel (Prabhu et al., WWW 2018), Bonsai (Khandagale et al., Machine Learning 2020), PECOS's XR-Linear (Yu et
al., JMLR 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xmcbench.files import write_npz
from xmcbench.method import Footprint, Inputs, Machine, MethodInfo, TrainData
from xmcbench.methods.helpers import Best, features_of, not_a_model, not_fitted, predict_in_parts
from xmcbench.methods.tree.params import PRESETS, TreeParams, check, params_of
from xmcbench.npz_files import map_npz
from xmcbench.topk import TopK

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Facts
    from xmcbench.reasons import Step
    from xmcbench.sparse.beam import SearchTree
    from xmcbench.sparse.csr import Csr

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
ROWS = 2048  # rows per search call: enough for many rows to share a node


def _info(name: str, summary: str, citation: str, seconds: dict[str, float]) -> MethodInfo:
    return MethodInfo(
        name=name,
        summary=summary,
        family="tree",
        version="3",
        citation=citation,
        parameters=TreeParams if name == "tree" else params_of(name),
        presets=PRESETS if name == "tree" else {},
        needs=("features",),
        scores="product over the path of exp(−max(0, 1 − margin)^power), mean over the trees, 0 to 1",
        comparable=True,
        seconds=seconds,
    )


class Tree:
    """Label trees with one linear classifier per node and label; beam search; scores are averaged over the trees.

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
        """Never skip: the method only needs features."""
        return None

    def footprint(self, data: Facts, machine: Machine) -> Footprint:
        """See `xmcbench.methods.tree.footprint`."""
        from xmcbench.methods.tree.footprint import footprint

        return footprint(self.params, data, machine)

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Build one tree after the other: cluster, then train level by level."""
        from xmcbench.methods.tree.growth import Growth
        from xmcbench.sparse.centroids import label_centroids
        from xmcbench.sparse.csr import unit_rows

        assert train.features is not None
        features = unit_rows(train.features)
        self.n_features, self.n_labels = int(features.shape[1]), train.n_labels
        seen = np.flatnonzero(np.bincount(train.labels.indices, minlength=self.n_labels)).astype(np.int32)
        with ctx.phase("cluster"):
            centroids = label_centroids(features, train.labels[:, seen], ctx.folder, ctx.progress)
        self.trees, levels = [], []
        for number in range(self.params.trees):
            growth = Growth(self.params, number, ctx)
            tree = growth.cluster(centroids, self.n_features, seen)
            self.trees.append(growth.train(features, train.labels, tree))
            levels.append(tree.sizes())
        ctx.note("levels", levels)

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """Beam search for the k best labels; `ctx.query["beam"]` overrides the width of the beam."""
        from xmcbench.sparse.beam import search

        if not self.trees:
            raise not_fitted(self.info.name, "predict")
        features = features_of(self.info.name, inputs, self.n_features)
        beam, power = int(ctx.query.get("beam", self.params.beam)), self.params.power
        k = min(k, len(self.trees[0].labels))

        def best(rows: Csr) -> Best:
            return search(self.trees, rows, k, beam=beam, power=power)

        return predict_in_parts(features, k, ROWS, best, ctx)

    def explain(self, inputs: Inputs, labels: Sequence[int], ctx: RunContext) -> list[list[Step]]:
        """In each tree, the margins of the nodes on the path to each label; the score is the mean of their products."""
        from xmcbench.methods.tree.explaining import explain

        if not self.trees:
            raise not_fitted(self.info.name, "explain")
        features = features_of(self.info.name, inputs, self.n_features)
        beam = int(ctx.query.get("beam", self.params.beam))
        return explain(self.trees, features, labels, beam, self.params.power)

    def save(self, folder: Path) -> None:
        """Write the links, labels and weights of all trees to one npz file."""
        if not self.trees:
            raise not_fitted(self.info.name, "save")
        sizes = np.array([len(self.trees), self.n_features, self.n_labels])
        arrays: dict[str, NDArray[Any]] = {"sizes": sizes}
        for number, tree in enumerate(self.trees):
            tree_arrays = {**tree.chunks._asdict(), "labels": tree.labels, "depth": np.array(tree.depth)}
            arrays.update({f"{number}_{name}": array for name, array in tree_arrays.items()})
        write_npz(folder / "tree.npz", arrays, compressed=False)

    def load(self, folder: Path) -> None:
        """Map what `save` wrote; DataError if the file is missing or damaged."""
        from xmcbench.sparse.beam import SearchTree
        from xmcbench.sparse.chunked import Chunks

        path = folder / "tree.npz"
        arrays = map_npz(path)
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
            raise not_a_model("tree", path, error) from error


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
