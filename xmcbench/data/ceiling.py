"""The best P@k that anyone can expect on synthetic rows."""

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
    """Slots row by row and children node by node, for the kernels."""

    row_starts: Array  # (rows + 1,) where each row's slots begin
    label: Array  # (slots,)
    node: Array
    shown: Array
    frequency: Array  # (L,)
    child_starts: Array  # (nodes + 1,) where each node's children begin
    children: Array  # label ids
    mass: Array  # (nodes,) Σ frequency over the node's children


def best_precision(world: World, slots: Slots, n_rows: int) -> dict[str, float]:
    """{"P@1": …, "P@3": …, "P@5": …} as fractions: the k likeliest labels of each row.

    Slots are ordered by row.
    """
    totals = _sum_of_best(plain(world, slots, n_rows), max(CUTS))
    return {f"P@{k}": float(totals[:k].sum() / (k * n_rows)) for k in CUTS}


def plain(world: World, slots: Slots, n_rows: int) -> Plain:
    """Plain arrays out of a world and the slots of `n_rows` rows, ordered by row."""
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
    """Labels that may be true, and how probably; `miss` is (L,) of ones, and is so again afterwards."""
    touched = []
    for s in range(data.row_starts[row], data.row_starts[row + 1]):
        if data.shown[s]:
            if miss[data.label[s]] == 1.0:
                touched.append(data.label[s])
            miss[data.label[s]] = 0.0
            continue
        p = data.node[s]
        for c in range(data.child_starts[p], data.child_starts[p + 1]):
            child = data.children[c]
            if miss[child] == 1.0:
                touched.append(child)
            miss[child] *= 1.0 - data.frequency[child] / data.mass[p]
    labels = np.array(touched, np.int64)
    chances = 1.0 - miss[labels]
    miss[labels] = 1.0
    return labels, chances


@njit(cache=True, nogil=True)
def _sum_of_best(data: Any, k: int) -> Any:
    """(k,) sums over rows of the largest, second largest, … probability."""
    totals = np.zeros(k)
    miss = np.ones(len(data.frequency))
    for row in range(len(data.row_starts) - 1):
        _, chances = _row_marginals(data, row, miss)
        chances = -np.sort(-chances)
        for i in range(min(k, len(chances))):
            totals[i] += chances[i]
    return totals
