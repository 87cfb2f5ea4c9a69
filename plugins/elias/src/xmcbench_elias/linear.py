"""The ranker: linear classifiers on the features, as wide trees of them, as one-vs-rest, or as both.

Trees learn each label against rows of labels near it, one-vs-rest against all rows; where labels have few rows the
trees are better, where they have many one-vs-rest is, and together they are better than either (CHOICES.md). They find
labels of their own, so a label that the network lost can still come first.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench.methods.ovr import Ovr
from xmcbench.methods.tree import Bonsai, Tree
from xmcbench.topk import TopK

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Inputs, TrainData

WORK = 5e10  # labels · stored features up to which one-vs-rest is trained: two minutes on two cores
TREES, ALL = "trees", "all"


def kinds(chosen: str | None, train: TrainData) -> tuple[str, ...]:
    """What a `ranker` parameter asks for; None: one-vs-rest beside the trees where the work of it allows."""
    assert train.features is not None
    affordable = train.n_labels * float(train.features.nnz) <= WORK
    named = chosen or ("both" if affordable else TREES)
    return {"both": (TREES, ALL), TREES: (TREES,), ALL: (ALL,), "none": ()}[named]


class Linear:
    """Fitted classifiers by kind."""

    def __init__(self, methods: dict[str, Tree | Ovr]) -> None:
        self.methods = methods

    @classmethod
    def fit(cls, which: tuple[str, ...], train: TrainData, ctx: RunContext, name: str) -> Linear:
        """Train each kind with the defaults of `bonsai` and `ovr`, whose seeds these are; checkpoints are by `name`."""
        made = cls({kind: _new(kind) for kind in which})
        for kind, method in made.methods.items():
            # What they tell of themselves would stand as ELIAS's own.
            method.fit(train, replace(ctx, folder=ctx.folder / f"{name}-{kind}", phases={}, notes={}))
        return made

    def predict(self, kind: str, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k best labels of a kind: mean path scores of trees, in [0, 1], or margins of one-vs-rest."""
        return self.methods[kind].predict(inputs, k, replace(ctx, query={}))

    def save(self, folder: Path) -> None:
        """A folder for each kind."""
        for kind, method in self.methods.items():
            (folder / kind).mkdir(exist_ok=True)
            method.save(folder / kind)

    @classmethod
    def load(cls, folder: Path) -> Linear:
        """Read what `save` wrote.

        Raises
        ------
        DataError : a file is missing or damaged.
        """
        made = cls({kind: _new(kind) for kind in (TREES, ALL) if (folder / kind).is_dir()})
        for kind, method in made.methods.items():
            method.load(folder / kind)
        return made


def _new(kind: str) -> Tree | Ovr:
    made: type[Tree] | type[Ovr] = Bonsai if kind == TREES else Ovr
    return made(made.info.parameters())
