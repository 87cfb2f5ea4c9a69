"""Classifiers of a label tree laid out for search: all children of a node together, feature by feature.

A row meets the children of a node at once: each of its features is looked up a single time, and what is found there are
the weights of the children. Source: Etter et al., "Accelerating Inference for Sparse Extreme Multi-Label Ranking Trees"
(WWW 2022), whose "chunk" is what a node holds here. Two things are our own, for processors are fast and memory is slow.
A node's features are a row of bits, with how many there are before each 64 of them: it stays in the first cache where a
sorted list or a hash table would not. (Where a node has few of very many features, a list is smaller, and it is one.)
And a feature that a quarter of the children have a weight for is held as a line of all of them, a few vector
instructions where a list takes a step a child: on eurlex-4.3k nearly all weights that rows meet near the root are in
lines, and half of those in leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from xmcbench.sparse.csr import add_line, parts

if TYPE_CHECKING:
    import scipy.sparse as sp

FULL = 4  # a feature of at least a quarter of the children is a line; then lines take at most twice a list's memory
BITS = 12  # bytes for 64 features as bits; a listed one takes 4, and a node's list is at least half its bits
COUNT = 20  # bits for the length of a list; what would be longer is a line


class Chunks(NamedTuple):
    """The classifiers of all children of V inner nodes; nodes are numbered level by level, root 0.

    Attributes
    ----------
    child_ptr : (V + 1,) int64: children of node v are child_ptr[v] … child_ptr[v + 1] − 1, side by side.
    bias : (nodes,) float32, the bias weight of each node's classifier; the root has none.
    first : (V + 1,) int64: v's features are first[v] … first[v + 1] − 1, by rising number.
    where : (V,) int64: w ≥ 0 are its ⌈d / 64⌉ words of bits from bits[w] on; −1 − w its list from listed[w] on.
    bits, before : uint64 and int32: bit f mod 64 of word f div 64 is set where a child of v has a weight for feature f;
        how many of v's are set in the words before.
    listed : int32, features of the nodes that have a list.
    start : int64, a feature's place: s ≥ 0 is a line, lines[s : s + children of v]; else −1 − s is a list, its length
        in the last 20 bits and where it begins above them: which children, counted from v's first, and their values.
    lines, children, values : float32, int32, float32.
    """

    child_ptr: NDArray[np.int64]
    bias: NDArray[np.float32]
    first: NDArray[np.int64]
    where: NDArray[np.int64]
    bits: NDArray[np.uint64]
    before: NDArray[np.int32]
    listed: NDArray[np.int32]
    start: NDArray[np.int64]
    lines: NDArray[np.float32]
    children: NDArray[np.int32]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, child_ptr: NDArray[np.int64], weights: sp.csr_matrix) -> Chunks:
        """From (nodes, d + 1) CSR weights, the bias weight at column d, as `xmcbench.sparse.linear` gives them.

        Indices may be in any order; a bias weight that is not stored is 0. Nodes beyond the last child of `child_ptr`
        don't matter, and neither does the root's row.

        Raises
        ------
        ValueError : there are fewer rows than nodes.
        """
        if weights.shape[0] < child_ptr[-1]:
            raise ValueError(f"weights have {weights.shape[0]} rows, the tree has {child_ptr[-1]} nodes")
        inner, width = len(child_ptr) - 1, int(weights.shape[1]) - 1
        matrix = parts(weights)
        sizes = np.zeros((3, inner), np.int64)
        _measure(child_ptr, matrix, width, sizes)
        words = -(-width // 64)
        by_bits = BITS * words <= 8 * sizes[0]
        starts = np.cumsum(sizes, axis=1) - sizes
        in_bits, in_list = words * by_bits, sizes[0] * ~by_bits
        found = cls(
            np.asarray(child_ptr, np.int64),
            np.zeros(child_ptr[-1], np.float32),
            np.concatenate([[0], np.cumsum(sizes[0])]),
            np.where(by_bits, np.cumsum(in_bits) - in_bits, -1 - (np.cumsum(in_list) - in_list)),
            np.zeros(in_bits.sum(), np.uint64),
            np.zeros(in_bits.sum(), np.int32),
            np.empty(in_list.sum(), np.int32),
            np.empty(sizes[0].sum(), np.int64),
            np.zeros(sizes[1].sum(), np.float32),
            np.empty(sizes[2].sum(), np.int32),
            np.empty(sizes[2].sum(), np.float32),
        )
        _fill(matrix, width, starts[1], starts[2], found)
        return found


@njit(cache=True, nogil=True)
def _count(child_ptr: Any, matrix: Any, width: int, node: int) -> Any:
    """(d,) int64: how many children of `node` have a weight for each feature; bias weights aside."""
    counts = np.zeros(width, np.int64)
    for child in range(child_ptr[node], child_ptr[node + 1]):
        for at in range(matrix.indptr[child], matrix.indptr[child + 1]):
            if matrix.indices[at] < width:
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
    found, where = 0, chunks.where[node]
    for feature in range(width):
        count = places[feature]
        if where >= 0 and feature % 64 == 0:
            chunks.before[where + feature // 64] = found
        if count > 0:
            if where >= 0:
                chunks.bits[where + feature // 64] |= np.uint64(1) << np.uint64(feature % 64)
            else:
                chunks.listed[-1 - where + found] = feature
            is_line[feature] = _is_line(count, last - first)
            if is_line[feature]:
                chunks.start[chunks.first[node] + found] = next_line
                places[feature], next_line = next_line, next_line + last - first
            else:
                chunks.start[chunks.first[node] + found] = -1 - (next_list << COUNT | count)
                places[feature], next_list = next_list, next_list + count
            found += 1
    for child in range(first, last):
        for at in range(matrix.indptr[child], matrix.indptr[child + 1]):
            feature = matrix.indices[at]
            if feature == width:
                chunks.bias[child] += matrix.data[at]
            elif is_line[feature]:
                chunks.lines[places[feature] + child - first] += matrix.data[at]
            else:
                chunks.children[places[feature]] = child - first
                chunks.values[places[feature]] = matrix.data[at]
                places[feature] += 1


@njit(cache=True, nogil=True)
def add_margins(chunks: Any, node: int, columns: Any, numbers: Any, z: Any) -> None:
    """z = w·x + bias of each child of `node` for the row of `columns` and `numbers`; features are added in order."""
    child, where = chunks.child_ptr[node], chunks.where[node]
    for i in range(len(z)):
        z[i] = chunks.bias[child + i]
    for i in range(len(columns)):
        place = _in_bits(chunks, where, columns[i]) if where >= 0 else _in_list(chunks, node, columns[i])
        if place >= 0:
            start = chunks.start[chunks.first[node] + place]
            if start >= 0:
                add_line(numbers[i], chunks.lines, np.uint64(start), z)
            else:
                first, count = (-1 - start) >> COUNT, (-1 - start) & ((1 << COUNT) - 1)
                for at in range(first, first + count):
                    z[np.uint32(chunks.children[at])] += numbers[i] * chunks.values[at]


@njit(cache=True, nogil=True)
def _in_bits(chunks: Any, where: int, feature: int) -> Any:
    """How many of a node's features come before this one; −1: it has it not."""
    word, bit = where + (feature >> 6), np.uint64(1) << np.uint64(feature & 63)
    bits = chunks.bits[word]
    return chunks.before[word] + _ones(bits & (bit - np.uint64(1))) if bits & bit else -1


@njit(cache=True, nogil=True)
def _in_list(chunks: Any, node: int, feature: int) -> Any:
    """The same by halving the list."""
    begin = -1 - chunks.where[node]
    low, high = begin, begin + chunks.first[node + 1] - chunks.first[node]
    end = high
    while low < high:
        middle = (low + high) // 2
        if chunks.listed[middle] < feature:
            low = middle + 1
        else:
            high = middle
    return low - begin if low < end and chunks.listed[low] == feature else -1


@njit(cache=True, nogil=True)
def _ones(bits: Any) -> Any:
    """How many bits are set; the compiler knows this sum and makes one instruction of it."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))
