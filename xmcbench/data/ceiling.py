"""The highest P@k that any method can expect on synthetic rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from xmcbench.data.planted import Slots, World, children_of

CUTS = (1, 3, 5)
Array = NDArray[Any]


class Plain(NamedTuple):
    """Plain arrays for the kernels: slots grouped by row, children grouped by node."""

    row_starts: Array  # (rows + 1,) index of each row's first slot
    label: Array  # (slots,)
    node: Array
    shown: Array
    frequency: Array  # (L,)
    child_starts: Array  # (nodes + 1,) index of each node's first child
    children: Array  # label ids
    mass: Array  # (nodes,) Σ frequency over the node's children


class Ceiling:
    """The best expected P@k over rows that are added by chunks."""

    def __init__(self, world: World) -> None:
        self.totals, self.n_rows = np.zeros(max(CUTS)), 0
        self.frequency = world.frequency
        self.children = children_of(world)
        per_label = world.parents.shape[1]
        self.mass = np.bincount(
            world.parents.ravel(), np.repeat(world.frequency, per_label), minlength=len(world.node_words)
        )

    def plain(self, slots: Slots, n_rows: int) -> Plain:
        """Plain arrays of the world and the slots of `n_rows` rows, which must be sorted by row."""
        return Plain(
            row_starts=np.searchsorted(slots.row, np.arange(n_rows + 1)),
            label=slots.label,
            node=slots.node,
            shown=slots.shown,
            frequency=self.frequency,
            child_starts=self.children.starts,
            children=self.children.labels,
            mass=self.mass,
        )

    def add(self, slots: Slots, n_rows: int) -> None:
        """Add rows by their slots, sorted by row."""
        self.totals += _sum_of_best(self.plain(slots, n_rows), max(CUTS))
        self.n_rows += n_rows

    def precision(self) -> dict[str, float]:
        """{"P@1": …, "P@3": …, "P@5": …} as fractions, for predicting the k most probable labels of each row."""
        return {f"P@{k}": float(self.totals[:k].sum() / (k * self.n_rows)) for k in CUTS}


@njit(cache=True, nogil=True)
def _row_marginals(data: Any, row: int, miss: Any) -> Any:
    """(label ids that may be true, their probabilities). `miss` is scratch: (L,) of ones, on entry and on return."""
    candidates = []
    hidden = 0  # slots of the same node in sequence
    for s in range(data.row_starts[row], data.row_starts[row + 1]):
        p = data.node[s]
        if data.shown[s]:
            if miss[data.label[s]] == 1.0:
                candidates.append(np.int64(data.label[s]))
            miss[data.label[s]] = 0.0
        else:
            hidden += 1
        if hidden and (s + 1 == data.row_starts[row + 1] or data.node[s + 1] != p):
            for c in range(data.child_starts[p], data.child_starts[p + 1]):
                child = data.children[c]
                if miss[child] == 1.0:
                    candidates.append(child)
                miss[child] *= (1.0 - data.frequency[child] / data.mass[p]) ** hidden
            hidden = 0
    labels = np.array(candidates, np.int64)
    probabilities = 1.0 - miss[labels]
    miss[labels] = 1.0
    return labels, probabilities


@njit(cache=True, nogil=True)
def _sum_of_best(data: Any, k: int) -> Any:
    """(k,) sums over rows of the largest, second largest, … label probability."""
    totals = np.zeros(k)
    miss = np.ones(len(data.frequency))
    for row in range(len(data.row_starts) - 1):
        _, probabilities = _row_marginals(data, row, miss)
        for i in range(min(k, len(probabilities))):  # k is small: k passes instead of a sort, which is slow to compile
            best = np.argmax(probabilities)
            totals[i] += probabilities[best]
            probabilities[best] = -1.0
    return totals
