"""Classifiers of a label tree laid out for search: all children of a node together, feature by feature.

A row meets the children of a node at once: each of its features is looked up a single time, and what is found there are
the weights of the children. Source: Etter et al., "Accelerating Inference for Sparse Extreme Multi-Label Ranking Trees"
(WWW 2022), whose "chunk" is what a node holds here. Two things are our own, for processors are fast and memory is slow.
A node's features are a row of bits, with how many there are before each 64 of them: it stays in the first cache where a
sorted list or a hash table would not. And a feature that a quarter of the children have a weight for is held as a line
of all of them, a few vector instructions where a list takes a step a child: on eurlex-4.3k nearly all weights that rows
meet near the root are in lines, and half of those in leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from xmcbench.sparse.csr import parts

if TYPE_CHECKING:
    import scipy.sparse as sp

FULL = 4  # a feature of at least a quarter of the children is a line; then lines take at most twice a list's memory
COUNT = 20  # bits for the length of a list; what would be longer is a line


class Chunks(NamedTuple):
    """The classifiers of all children of V inner nodes; nodes are numbered level by level, root 0.

    Attributes
    ----------
    child_ptr : (V + 1,) int64: children of node v are child_ptr[v] … child_ptr[v + 1] − 1, side by side.
    bias : (nodes,) float32, the bias weight of each node's classifier; the root has none.
    bits : (V, ⌈d / 64⌉) uint64: bit f mod 64 of bits[v, f div 64] is set where a child of v has a weight for feature f.
    before : the same shape, int32: how many bits of v are set in the words before this one.
    first : (V,) int64: where v's features begin in `start`, which they stand in by rising number.
    start : int64, a feature's place: s ≥ 0 is a line, lines[s : s + children of v]; else −1 − s is a list, its length
        in the last 20 bits and where it begins above them: which children, counted from v's first, and their values.
    lines, children, values : float32, int32, float32.
    """

    child_ptr: NDArray[np.int64]
    bias: NDArray[np.float32]
    bits: NDArray[np.uint64]
    before: NDArray[np.int32]
    first: NDArray[np.int64]
    start: NDArray[np.int64]
    lines: NDArray[np.float32]
    children: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, child_ptr: NDArray[np.int64], weights: sp.csr_matrix) -> Chunks:
        """From (nodes, d + 1) CSR weights as `xmcbench.sparse.linear` gives them, the bias weight last in each row.

        Nodes beyond the last child of `child_ptr` don't matter, and the root's row is empty.
        """
        inner, width = len(child_ptr) - 1, int(weights.shape[1]) - 1
        matrix = parts(weights)
        rows = np.arange(1, child_ptr[-1])
        bias = np.zeros(child_ptr[-1], np.float32)
        bias[rows] = matrix.data[matrix.indptr[rows + 1] - 1]
        sizes = np.zeros((3, inner), np.int64)
        _measure(child_ptr, matrix, width, sizes)
        ends = np.cumsum(sizes, axis=1)
        first, line_ptr, list_ptr = ends - sizes
        features, in_lines, in_lists = ends[:, -1].tolist() if inner else (0, 0, 0)
        found = cls(
            np.asarray(child_ptr, np.int64),
            bias,
            np.zeros((inner, -(-width // 64)), np.uint64),
            np.zeros((inner, -(-width // 64)), np.int32),
            first,
            np.empty(features, np.int64),
            np.zeros(in_lines, np.float32),
            np.empty(in_lists, np.int32),
            np.zeros(in_lists, np.float32),
        )
        _fill(matrix, width, line_ptr, list_ptr, found)
        return found


@njit(cache=True, nogil=True)
def _count(child_ptr: Any, matrix: Any, width: int, node: int) -> Any:
    """(d,) int64: how many children of `node` have a weight for each feature; bias weights, last in a row, aside."""
    counts = np.zeros(width, np.int64)
    for child in range(child_ptr[node], child_ptr[node + 1]):
        for at in range(matrix.indptr[child], matrix.indptr[child + 1] - 1):
            counts[matrix.indices[at]] += 1
    return counts


@njit(cache=True, nogil=True)
def _is_line(count: int, n_children: int) -> bool:
    return FULL * count >= n_children or count >> COUNT > 0


@njit(cache=True, nogil=True, parallel=True)
def _measure(child_ptr: Any, matrix: Any, width: int, sizes: Any) -> None:
    """Features, places in lines and places in lists that each node needs."""
    for node in prange(sizes.shape[1]):
        counts, n_children = _count(child_ptr, matrix, width, node), child_ptr[node + 1] - child_ptr[node]
        for feature in range(width):
            if counts[feature] > 0:
                sizes[0, node] += 1
                if _is_line(counts[feature], n_children):
                    sizes[1, node] += n_children
                else:
                    sizes[2, node] += counts[feature]


@njit(cache=True, nogil=True, parallel=True)
def _fill(matrix: Any, width: int, line_ptr: Any, list_ptr: Any, chunks: Any) -> None:
    for node in prange(len(line_ptr)):
        _fill_node(matrix, width, node, line_ptr[node], list_ptr[node], chunks)


@njit(cache=True, nogil=True)
def _fill_node(matrix: Any, width: int, node: int, next_line: int, next_list: int, chunks: Any) -> None:
    first, last = chunks.child_ptr[node], chunks.child_ptr[node + 1]
    places = _count(chunks.child_ptr, matrix, width, node)  # first counts, then where in lines or lists to write
    is_line = np.zeros(width, np.bool_)
    found = 0
    for feature in range(width):
        count, word = places[feature], feature // 64
        if feature % 64 == 0:
            chunks.before[node, word] = found
        if count > 0:
            chunks.bits[node, word] |= np.uint64(1) << np.uint64(feature % 64)
            is_line[feature] = _is_line(count, last - first)
            if is_line[feature]:
                chunks.start[chunks.first[node] + found] = next_line
                places[feature], next_line = next_line, next_line + last - first
            else:
                chunks.start[chunks.first[node] + found] = -1 - (next_list << COUNT | count)
                places[feature], next_list = next_list, next_list + count
            found += 1
    for child in range(first, last):
        for at in range(matrix.indptr[child], matrix.indptr[child + 1] - 1):
            feature = matrix.indices[at]
            if is_line[feature]:
                chunks.lines[places[feature] + child - first] = matrix.data[at]
            else:
                chunks.children[places[feature]] = child - first
                chunks.values[places[feature]] = matrix.data[at]
                places[feature] += 1


@njit(cache=True, nogil=True)
def add_margins(chunks: Any, node: int, columns: Any, numbers: Any, z: Any) -> None:
    """z = w·x + bias of each child of `node` for the row of `columns` and `numbers`; features are added in order."""
    child = chunks.child_ptr[node]
    for i in range(len(z)):
        z[i] = chunks.bias[child + i]
    for i in range(len(columns)):
        word, bit = np.uint32(columns[i]) >> np.uint32(6), np.uint64(1) << np.uint64(columns[i] & 63)
        bits = chunks.bits[node, word]
        if bits & bit:
            place = chunks.first[node] + chunks.before[node, word] + _ones(bits & (bit - np.uint64(1)))
            start = chunks.start[place]
            if start >= 0:
                _add_line(numbers[i], chunks.lines, np.uint64(start), z)
            else:
                first, count = (-1 - start) >> COUNT, (-1 - start) & ((1 << COUNT) - 1)
                for at in range(first, first + count):
                    z[np.uint32(chunks.children[at])] += numbers[i] * chunks.values[at]


@njit(cache=True, nogil=True)
def _ones(bits: Any) -> Any:
    """How many bits are set; the compiler knows this sum and makes one instruction of it."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def _add_line(number: Any, lines: Any, start: Any, z: Any) -> None:
    """A function of its own, and an unsigned start: what is this simple becomes vector instructions."""
    for child in range(len(z)):
        z[child] += number * lines[start + np.uint64(child)]
