"""The ranker: linear classifiers on the features, in wide trees, as one-vs-rest, or both.

Trees train each label against rows of similar labels, one-vs-rest against all rows. Trees are better for labels with
few rows, one-vs-rest for labels with many, and both together are better than either (CHOICES.md). Their candidates are
independent of the network's, so a label that the network misses can still be ranked first.

The trees are those of Bonsai; with very many labels, as many trees of balanced clusters. The clusters of Bonsai's three
levels are not: with 670,091 labels some have 16,000, whose training takes most of the time. Weights below 0.2 are left
out there, which takes a quarter of the memory (CHOICES.md).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xmcbench.context import RunContext
from xmcbench.method import Inputs, TrainData
from xmcbench.methods.ovr import Ovr
from xmcbench.methods.tree import Bonsai, Tree
from xmcbench.methods.tree.params import TreeParams
from xmcbench.topk import TopK
from xmcbench_elias.params import REGIMES

WORK = 5e10  # labels · stored features up to which one-vs-rest is trained by default: minutes on two cores
BALANCED = REGIMES[0][0]  # labels from which clusters are balanced
TREES, ALL = "trees", "all"


def kinds(chosen: str | None, train: TrainData) -> tuple[str, ...]:
    """The kinds of a `ranker` parameter; None: trees, and one-vs-rest if it is affordable."""
    assert train.features is not None
    return kinds_of(chosen, train.n_labels, train.features.nnz)


def kinds_of(chosen: str | None, n_labels: int, entries: int) -> tuple[str, ...]:
    """`kinds` from the numbers of labels and of stored features."""
    affordable = n_labels * float(entries) <= WORK
    choice = chosen or ("both" if affordable else TREES)
    return {"both": (TREES, ALL), TREES: (TREES,), ALL: (ALL,), "none": ()}[choice]


class Linear:
    """Fitted linear classifiers by kind."""

    def __init__(self, methods: dict[str, Tree | Ovr]) -> None:
        self.methods = methods

    @classmethod
    def fit(cls, which: tuple[str, ...], train: TrainData, ctx: RunContext, name: str) -> Linear:
        """Train each kind with the seeds of its method; `name` prefixes the checkpoint folders."""
        linear = cls({kind: method_of(kind, train.n_labels) for kind in which})
        for kind, method in linear.methods.items():
            # Separate phases and notes, so that those of the method are not recorded as ELIAS's.
            method.fit(train, ctx.part(f"{name}-{kind}", phases={}, notes={}))
        return linear

    def predict(self, kind: str, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k best labels by one kind: mean path scores of trees, in [0, 1], or margins of one-vs-rest."""
        return self.methods[kind].predict(inputs, k, replace(ctx, query={}))

    def save(self, folder: Path) -> None:
        """Write each kind into its own folder."""
        for kind, method in self.methods.items():
            (folder / kind).mkdir(exist_ok=True)
            method.save(folder / kind)

    @classmethod
    def load(cls, folder: Path, n_labels: int) -> Linear:
        """Read what `save` wrote; DataError if a file is missing or damaged."""
        linear = cls({kind: method_of(kind, n_labels) for kind in (TREES, ALL) if (folder / kind).is_dir()})
        for kind, method in linear.methods.items():
            method.load(folder / kind)
        return linear


def method_of(kind: str, n_labels: int) -> Tree | Ovr:
    """The method of a kind, not fitted, with its defaults; three balanced trees where there are very many labels."""
    if kind == ALL:
        return Ovr(Ovr.info.parameters())
    return Tree(TreeParams(trees=3, threshold=0.2)) if n_labels >= BALANCED else Bonsai(Bonsai.info.parameters())
