"""The highest P@k that any method can expect on synthetic rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xmcbench.data.synthetic import Slots, World

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


def best_precision(world: World, slots: Slots, n_rows: int) -> dict[str, float]:
    """{"P@1": …, "P@3": …, "P@5": …} as fractions, for predicting the k most probable labels of each row.

    `slots` must be sorted by row.
    """
    totals = _sum_of_best(plain(world, slots, n_rows), max(CUTS))
    return {f"P@{k}": float(totals[:k].sum() / (k * n_rows)) for k in CUTS}


def plain(world: World, slots: Slots, n_rows: int) -> Plain:
    """Plain arrays of a world and the slots of `n_rows` rows; `slots` must be sorted by row."""
    n_nodes, per_label = len(world.node_words), world.parents.shape[1]
    nodes = world.parents.ravel()
    order = np.argsort(nodes, kind="stable")
    return Plain(
        row_starts=np.searchsorted(slots.row, np.arange(n_rows + 1)),
        label=slots.label,
        node=slots.node,
        shown=slots.shown,
        frequency=world.frequency,
        child_starts=np.searchsorted(nodes[order], np.arange(n_nodes + 1)),
        children=order // per_label,
        mass=np.bincount(nodes, np.repeat(world.frequency, per_label), n_nodes),
    )


@njit(cache=True, nogil=True)
def _row_marginals(data: Any, row: int, miss: Any) -> Any:
    """(label ids that may be true, their probabilities). `miss` is scratch: (L,) of ones, on entry and on return."""
    candidates = []
    for s in range(data.row_starts[row], data.row_starts[row + 1]):
        if data.shown[s]:
            if miss[data.label[s]] == 1.0:
                candidates.append(data.label[s])
            miss[data.label[s]] = 0.0
            continue
        p = data.node[s]
        for c in range(data.child_starts[p], data.child_starts[p + 1]):
            child = data.children[c]
            if miss[child] == 1.0:
                candidates.append(child)
            miss[child] *= 1.0 - data.frequency[child] / data.mass[p]
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
