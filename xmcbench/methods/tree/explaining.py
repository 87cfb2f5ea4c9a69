"""Why a label tree gives a label: the classifiers on the path from the root to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xmcbench.methods.helpers import feature_reasons
from xmcbench.reasons import Step, step, unknown_label
from xmcbench.sparse.beam import SearchTree, descend, path_margins
from xmcbench.sparse.csr import Csr, unit_rows

if TYPE_CHECKING:
    import scipy.sparse as sp


def explain(
    trees: Sequence[SearchTree], features: sp.csr_matrix, labels: Sequence[int], beam: int, power: int
) -> list[list[Step]]:
    """The steps of each label for the only row of `features`: tree by tree, from the root down.

    A step is the margin z of a node, which multiplies the label's score in that tree by exp(−max(0, 1 − z)^power). The
    score is the mean over the trees; a tree whose beam does not reach the label adds 0, in a step without reasons.
    """
    row = Csr.of(unit_rows(features))
    explained: list[list[Step]] = [[] for _ in labels]
    for number, tree in enumerate(trees, 1):
        name = f"tree {number} of {len(trees)}" if len(trees) > 1 else "tree"
        reached = set(descend(tree.chunks, row, tree.depth, beam, power, cut=False).nodes.tolist())
        for label, steps in zip(labels, explained, strict=True):
            place = np.flatnonzero(tree.labels == label)
            if not len(place):
                steps.append(unknown_label(name))
                continue
            leaf = tree.inner + int(place[0])
            if leaf not in reached:
                steps.append(Step(name, 0.0, (), "the search did not reach the label: adds 0"))
                continue
            for level, margin in enumerate(path_margins(tree, row, leaf), 1):
                what = "the label" if level == tree.depth else f"group {margin.node}"
                where = f"level {level} of {tree.depth}"
                where = f"{name}, {where}" if len(trees) > 1 else where
                title = f"{where}: margin of {what}, one of {margin.siblings}"
                if margin.siblings == 1:
                    steps.append(Step(title, 0.0, (), "factor 1: there is no other"))
                    continue
                reasons = feature_reasons(row.indices, margin.products, margin.bias)
                z = sum(reason.value for reason in reasons)
                steps.append(step(title, reasons, f"factor {math.exp(-(max(0.0, 1.0 - z) ** power)):.3g}"))
    return explained
