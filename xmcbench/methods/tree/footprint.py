"""What label trees take of memory and disk."""

from __future__ import annotations

from typing import Any

from xmcbench.method import Facts, Footprint, Machine
from xmcbench.methods.sizes import (
    PER_WEIGHT,
    centroid_bytes,
    clustering_bytes,
    labels_with_rows,
    linear_weights,
    rows_per_label,
)

COMPILING = 215 << 20  # bytes while the first run on a machine compiles training and search; measured on tiny data
WORKING = 50 << 20  # bytes of a search call of 2,048 rows, and of the weights in work before they are pruned


def footprint(params: Any, data: Facts, machine: Machine) -> Footprint:
    """The larger of two phases, clustering and the training of the last tree, beside the centroids of labels.

    Centroids are in files where they are large, which counts as disk. In training, a thread copies the rows of a node,
    and the first levels have all rows below few nodes. The weights of a tree exist twice when its levels are joined,
    and then once more in the order of the search. Small data take less than what the compiler holds once.
    """
    centroids, in_files = centroid_bytes(data)
    per_tree = int(labels_with_rows(data) * weights_per_label(params, data))
    copies = 8 * data.entries * min(machine.threads, params.arity)
    clustering = clustering_bytes(data, copied=params.clusters == "kmeans")
    training = copies + 24 * per_tree + PER_WEIGHT * per_tree * (params.trees - 1) + 32 * data.pairs
    scratch = 8 * machine.threads * data.n_features * min(params.arity, 100)
    memory = 4 * data.entries + centroids + max(clustering, training) + scratch + WORKING
    return Footprint(memory=max(memory, COMPILING), disk=(PER_WEIGHT + 8) * per_tree * params.trees + in_files)


def weights_per_label(params: Any, data: Facts) -> float:
    """Weights of a label's classifier, and its share of those of the nodes above it."""
    positives = rows_per_label(data)
    own: float = linear_weights(data, positives, positives * params.max_leaf, params.threshold)
    arity, below = int(params.arity), min(int(params.max_leaf), data.n_labels)  # labels of a node above the labels
    parent = linear_weights(data, positives * below, positives * below * arity, params.threshold)
    return own + parent / below * arity / (arity - 1)
