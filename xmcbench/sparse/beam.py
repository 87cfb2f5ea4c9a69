"""Beam search down label trees of sparse linear classifiers, and the mean of several trees.

A node's score is the product of exp(−max(0, 1 − z)^p) over the nodes from the root to it, z = w·x + bias: p = 2 in
Parabel (Prabhu et al., WWW 2018) and Bonsai, p = 3 in PECOS's default "l3-hinge" (Yu et al., JMLR 2022). An only child
has its parent's score. A label's score is the mean over the trees, zero where a tree does not reach it: omikuji's and
Parabel's. Equal scores: the lower id first.

A batch is searched level by level, so that each node is loaded from memory once for all rows that reach it. A few
rows are searched one by one in the calling thread, which saves starting threads. Both ways give the same sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray

from xmcbench.sparse.chunked import Chunks, Row, add_margins, room_for
from xmcbench.sparse.csr import Csr, blocks_of, row_of
from xmcbench.sparse.shares import run_shares
from xmcbench.sparse.topk import best_first

ENTRIES = 4 << 20  # labels ranked at once, of all rows and trees, 20 bytes each: clusters of k-means may be very large
FEW = 8  # batches of at most this many rows are searched in one thread
MANY, SHARES = 512, 4  # from so many rows on, so many shares of each thread
FREE, MULTIPLIER = -1, 2654435769  # of a hash table: an empty slot; 2³² / golden ratio (Knuth, volume 3, 6.4)
MIN_SCORE = np.float32(1e-45)  # smallest float32 above zero: every label that is reached gets a positive score


class SearchTree(NamedTuple):
    """A label tree ready for search.

    Attributes
    ----------
    chunks : the classifiers of all nodes, and the links from nodes to children.
    labels : (leaves,) int32: label of leaf v is labels[v − inner nodes].
    depth : levels below the root; all leaves are on the last one.
    """

    chunks: Chunks
    labels: NDArray[np.int32]
    depth: int

    @property
    def inner(self) -> int:
        """Nodes that have children."""
        return len(self.chunks.child_ptr) - 1


class Beam(NamedTuple):
    """Nodes that rows reach on one level: row i's are nodes[ptr[i] : ptr[i + 1]], with the logarithms of their scores.

    `ptr` (n + 1,) int64, `nodes` (m,) int32 as labels are, so that the heap is compiled once, `logs` (m,) float32.
    """

    ptr: NDArray[np.int64]
    nodes: NDArray[np.int32]
    logs: NDArray[np.float32]

    def part(self, first: int, last: int) -> Beam:
        """The nodes of rows first … last − 1."""
        begin, end = self.ptr[first], self.ptr[last]
        return Beam(self.ptr[first : last + 1] - begin, self.nodes[begin:end], self.logs[begin:end])


class Visits(NamedTuple):
    """The pairs of a row and a node in a beam, sorted by node, so that each node's weights are loaded once.

    `pairs` (m,) int64 positions in `Beam.nodes`, `rows` (m,) int64.
    """

    pairs: NDArray[np.int64]
    rows: NDArray[np.int64]


def search(
    trees: Sequence[SearchTree], x: Csr, k: int, *, beam: int, power: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k labels of largest mean score of each row, among those below the `beam` best nodes of every level.

    Parameters
    ----------
    x : n rows, scaled as in training, sorted indices.
    power : p of the module's formula, 2 or 3.

    Returns
    -------
    ids : (n, k) int32, score descending then id ascending, −1 where fewer labels are reached.
    scores : (n, k) float32 in [0, 1], −inf at padding.
    """
    n = len(x.indptr) - 1
    ids, scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    trees = [tree for tree in trees if len(tree.labels)]
    if not (trees and n and k):
        return ids, scores
    if n <= FEW:
        _rank(trees, [descend(tree.chunks, x, tree.depth, beam, power, cut=False) for tree in trees], ids, scores)
        return ids, scores
    above = [(tree, descend(tree.chunks, x, tree.depth - 1, beam, power)) for tree in trees]
    reached = np.zeros(n + 1, np.int64)  # leaves of all rows before each
    for tree, beams in above:
        reached += _starts(tree.chunks.child_ptr, beams.nodes)[beams.ptr]
    for first, last in blocks_of(np.diff(reached), ENTRIES):
        rows = x._replace(indptr=x.indptr[first : last + 1])
        ends = [_next_level(tree.chunks, rows, beams.part(first, last), None, power) for tree, beams in above]
        _rank(trees, ends, ids[first:last], scores[first:last])
    return ids, scores


def _rank(
    trees: Sequence[SearchTree], ends: Sequence[Beam], ids: NDArray[np.int32], scores: NDArray[np.float32]
) -> None:
    """Write the best labels of each row, from the leaves that it reaches in each tree, and their mean scores."""
    before = np.cumsum([0, *(len(end.nodes) for end in ends)])
    ptr = np.stack([first + end.ptr for first, end in zip(before, ends, strict=False)])
    labels = np.concatenate([tree.labels[end.nodes - tree.inner] for tree, end in zip(trees, ends, strict=True)])
    logs = np.concatenate([end.logs for end in ends])
    run_shares(_combine, _shares(len(ids)), ptr, labels, logs, ids, scores)


def descend(chunks: Chunks, x: Csr, depth: int, beam: int, power: int, *, cut: bool = True) -> Beam:
    """The nodes that rows reach `depth` levels below the root.

    Parameters
    ----------
    x : (n, d) rows, scaled as in training.
    cut : keep only the `beam` best nodes on the last level too, not all children of the beam above it.
    """
    n = len(x.indptr) - 1
    if n <= FEW:
        return Beam(*_descend_alone(chunks, x, depth, beam, power, cut))
    beams = Beam(np.arange(n + 1), np.zeros(n, np.int32), np.zeros(n, np.float32))
    for level in range(depth):
        beams = _next_level(chunks, x, beams, beam if cut or level < depth - 1 else None, power)
    return beams


def _next_level(chunks: Chunks, x: Csr, beams: Beam, beam: int | None, power: int) -> Beam:
    """The `beam` best children of the nodes of each row, or all of them."""
    n = len(x.indptr) - 1
    shares = _shares(n)
    starts = _starts(chunks.child_ptr, beams.nodes)
    logs = np.empty(starts[-1], np.float32)
    order = _by_node(beams.nodes, int(beams.nodes.min()), int(beams.nodes.max()))
    visits = Visits(order, np.repeat(np.arange(n), np.diff(beams.ptr))[order])
    run_shares(_expand, shares, chunks, x, beams, starts, visits, power, logs)
    counts = np.diff(starts[beams.ptr])
    if beam is not None:
        counts = np.minimum(counts, beam)
    ptr = np.concatenate([[0], np.cumsum(counts)])
    selected = Beam(ptr, np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.float32))
    run_shares(_best, shares, chunks.child_ptr, beams, starts, logs, selected)
    return selected


def _shares(n: int) -> int:
    """Shares of n rows: more than threads where that costs little, since readers and writers of rows use a core too."""
    if n <= FEW:
        return 1
    return get_num_threads() * (SHARES if n >= MANY else 1)


class Margin(NamedTuple):
    """A node's classifier on one row: bias, and weight × value of each of the row's features, (nnz,) float32."""

    node: int
    siblings: int  # children of its parent, with itself
    bias: float
    products: NDArray[np.float32]


def path_margins(tree: SearchTree, row: Csr, leaf: int) -> list[Margin]:
    """The classifiers on the path from the root to `leaf`, for the only row of `row`; an only child has zeros."""
    chunks, path = tree.chunks, []
    unbiased = chunks._replace(bias=np.zeros_like(chunks.bias))
    node = leaf
    while node:
        parent = int(np.searchsorted(chunks.child_ptr, node, side="right")) - 1
        first, last = int(chunks.child_ptr[parent]), int(chunks.child_ptr[parent + 1])
        products, z = np.zeros(len(row.indices), np.float32), np.empty(last - first, np.float32)
        for i in range(len(products) if last - first > 1 else 0):
            feature = Row(row.indices[i : i + 1], row.data[i : i + 1], np.empty(1, np.int64), np.empty(1, np.float32))
            add_margins(unbiased, parent, feature, z)
            products[i] = z[node - first]
        bias = float(chunks.bias[node]) if last - first > 1 else 0.0
        path.append(Margin(node, last - first, bias, products))
        node = parent
    return path[::-1]


@njit(cache=True, nogil=True)
def _starts(child_ptr: Any, nodes: Any) -> Any:
    """(m + 1,) int64: where the children of each of `nodes` begin in a list of all their children."""
    starts = np.zeros(len(nodes) + 1, np.int64)
    for i in range(len(nodes)):
        starts[i + 1] = starts[i] + child_ptr[nodes[i] + 1] - child_ptr[nodes[i]]
    return starts


@njit(cache=True, nogil=True)
def _by_node(nodes: Any, first: int, last: int) -> Any:
    """(m,) int64: positions in `nodes`, from `first` to `last`, sorted by node: a short range, so by counting."""
    ends = np.zeros(last - first + 2, np.int64)
    for node in nodes:
        ends[node - first + 1] += 1
    ends = np.cumsum(ends)
    order = np.empty(len(nodes), np.int64)
    for i in range(len(nodes)):
        order[ends[nodes[i] - first]] = i
        ends[nodes[i] - first] += 1
    return order


@njit(cache=True, nogil=True)
def _expand(
    chunks: Any, x: Any, beams: Any, starts: Any, visits: Any, power: int, logs: Any, share: int, shares: int
) -> None:
    """Score the children of a share of the nodes of `beams`."""
    positions, found = room_for(x)
    for i in range(len(visits.pairs) * share // shares, len(visits.pairs) * (share + 1) // shares):
        pair = visits.pairs[i]
        columns, numbers = row_of(x, visits.rows[i])
        z = logs[starts[pair] : starts[pair + 1]]
        _score(chunks, beams.nodes[pair], Row(columns, numbers, positions, found), beams.logs[pair], power, z)


@njit(cache=True, nogil=True)
def _score(chunks: Any, node: int, row: Any, parent_log: Any, power: int, z: Any) -> None:
    """Write the log scores of a node's children into `z`; `parent_log` is the log score of the node."""
    if len(z) == 1:
        z[0] = parent_log
        return
    add_margins(chunks, node, row, z)
    for child in range(len(z)):
        short = max(np.float32(0.0), np.float32(1.0) - z[child])
        z[child] = parent_log - (short * short if power == 2 else short * short * short)


@njit(cache=True, nogil=True)
def _children(child_ptr: Any, nodes: Any, starts: Any) -> Any:
    """Children of all `nodes`, concatenated; `starts` as `_starts` gives them."""
    children = np.empty(starts[-1], np.int32)
    for i in range(len(nodes)):
        for j in range(starts[i + 1] - starts[i]):
            children[starts[i] + j] = child_ptr[nodes[i]] + j
    return children


@njit(cache=True, nogil=True)
def _best(child_ptr: Any, beams: Any, starts: Any, logs: Any, selected: Any, share: int, shares: int) -> None:
    """Write the best children of every `shares`-th row's nodes to `selected`, as many as there is room for."""
    for row in range(share, len(selected.ptr) - 1, shares):
        _best_of_row(child_ptr, beams, starts, logs, selected, row)


@njit(cache=True, nogil=True)
def _best_of_row(child_ptr: Any, beams: Any, starts: Any, logs: Any, selected: Any, row: int) -> None:
    first, last = beams.ptr[row], beams.ptr[row + 1]
    row_starts = starts[first : last + 1]
    children = _children(child_ptr, beams.nodes[first:last], row_starts - row_starts[0])
    child_logs = logs[starts[first] : starts[last]]
    nodes = selected.nodes[selected.ptr[row] : selected.ptr[row + 1]]
    node_logs = selected.logs[selected.ptr[row] : selected.ptr[row + 1]]
    if len(nodes) == len(children):  # all children fit into the beam, and their order does not matter
        for i in range(len(nodes)):
            nodes[i], node_logs[i] = children[i], child_logs[i]
    else:
        best_first(children, child_logs, nodes, node_logs)


@njit(cache=True, nogil=True)
def _descend_alone(chunks: Any, x: Any, depth: int, beam: int, power: int, cut: bool) -> Any:
    """`descend` row by row in one thread, as arrays of a `Beam`."""
    n = len(x.indptr) - 1
    ptr, all_nodes, all_logs = np.zeros(n + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
    positions, found = room_for(x)
    for number in range(n):
        columns, numbers = row_of(x, number)
        row = Row(columns, numbers, positions, found)
        nodes, logs = np.zeros(1, np.int32), np.zeros(1, np.float32)
        for level in range(depth):
            starts = _starts(chunks.child_ptr, nodes)
            children, child_logs = _children(chunks.child_ptr, nodes, starts), np.empty(starts[-1], np.float32)
            for i in range(len(nodes)):
                _score(chunks, nodes[i], row, logs[i], power, child_logs[starts[i] : starts[i + 1]])
            if len(children) > beam and (cut or level < depth - 1):
                nodes, logs = np.empty(beam, np.int32), np.empty(beam, np.float32)
                best_first(children, child_logs, nodes, logs)
            else:
                nodes, logs = children, child_logs
        ptr[number + 1] = ptr[number] + len(nodes)
        all_nodes, all_logs = np.concatenate((all_nodes, nodes)), np.concatenate((all_logs, logs))
    return ptr, all_nodes, all_logs


@njit(cache=True, nogil=True)
def _combine(ptr: Any, labels: Any, logs: Any, ids: Any, scores: Any, share: int, shares: int) -> None:
    """Rank labels by their mean score over the trees. Tree t's labels for row i are from ptr[t, i] to ptr[t, i + 1].

    A label's place among the row's candidates is found by a hash table: a sum per label of the data set would take
    memory, and for one row time, by the number of labels.
    """
    table = np.empty(0, np.int32)
    for row in range(share, len(ids), shares):
        n_entries = 0
        for tree in range(len(ptr)):
            n_entries += ptr[tree, row + 1] - ptr[tree, row]
        size = 1
        while size < 2 * n_entries:
            size *= 2
        if size > len(table):
            table = np.empty(size, np.int32)
        for slot in range(size):
            table[slot] = FREE
        candidates, sums, n_candidates = np.empty(n_entries, np.int32), np.empty(n_entries, np.float32), 0
        for tree in range(len(ptr)):
            for entry in range(ptr[tree, row], ptr[tree, row + 1]):
                label, score = labels[entry], np.float32(np.exp(np.float64(logs[entry])) / len(ptr))
                slot = (label * MULTIPLIER >> 16) & (size - 1)
                while table[slot] != FREE and candidates[table[slot]] != label:
                    slot = (slot + 1) & (size - 1)
                if table[slot] == FREE:
                    table[slot], candidates[n_candidates], sums[n_candidates] = n_candidates, label, 0.0
                    n_candidates += 1
                sums[table[slot]] += max(score, MIN_SCORE)
        best_first(candidates[:n_candidates], sums[:n_candidates], ids[row], scores[row])
