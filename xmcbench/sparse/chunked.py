"""Classifiers of a label tree laid out for search: the weights of a node's children are grouped by feature.

A row is scored against all children of a node at once: each of its features is looked up once and gives the weights of
all children. Source: Etter et al., "Accelerating Inference for Sparse Extreme Multi-Label Ranking Trees" (WWW 2022);
their "chunk" corresponds to one node here. Two additions reduce memory access:

- A node's feature set is a bitmap with a running count per 64 bits, which fits into the first-level cache where a
  sorted list or a hash table would not. A node with few of very many features has a sorted list, which is smaller.
- A feature with a weight in at least a quarter of the children is stored as a dense line over all children, which takes
  a few vector instructions where a list takes one step per child.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray

from xmcbench.sparse.csr import Csr, add_line
from xmcbench.sparse.shares import run_shares

if TYPE_CHECKING:
    import scipy.sparse as sp

FULL = 4  # a feature of at least 1 / 4 of the children is a line; lines then take at most twice the memory of lists
BITS = 12  # bytes per 64 features of a bitmap; a listed feature takes 4. A bitmap is used up to twice the list's size
COUNT = 20  # bits for the length of a list; a longer list is stored as a line


class Row(NamedTuple):
    """A row to be scored, and room for what a node has of it.

    Attributes
    ----------
    columns, numbers : (nnz,) int32 and float32, the row's features, ascending, and their values.
    positions, found : int64 and float32, at least nnz: positions among a node's features, and values, of those of the
        row's features that the node has.
    """

    columns: NDArray[np.int32]
    numbers: NDArray[np.float32]
    positions: NDArray[np.int64]
    found: NDArray[np.float32]


class Chunks(NamedTuple):
    """The classifiers of all children of V inner nodes; nodes are numbered level by level, root 0.

    Attributes
    ----------
    child_ptr : (V + 1,) int64: children of node v are nodes child_ptr[v] … child_ptr[v + 1] − 1.
    bias : (nodes,) float32, the bias weight of each node's classifier; the root has none.
    first : (V + 1,) int64: v's features have positions first[v] … first[v + 1] − 1 in `start`, in ascending order.
    where : (V,) int64: w ≥ 0: v's bitmap is the ⌈d / 64⌉ words from bits[w] on; −1 − w: its list starts at listed[w].
    bits, before : uint64 and int32: bit f mod 64 of word f div 64 is set if a child of v has a weight for feature f;
        the number of v's bits that are set in earlier words.
    listed : int32, features of the nodes that have a list.
    start : int64, location of a feature's weights: s ≥ 0 is a line, lines[s : s + children of v]; −1 − s is a list,
        with its length in the last 20 bits and its offset into `children` and `values` above them. `children` counts
        from v's first child.
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

        Indices may be in any order; a bias weight that is not stored is 0. The root's row and rows beyond the last
        child of `child_ptr` are ignored.

        Raises
        ------
        ValueError : there are fewer rows than nodes.
        """
        if weights.shape[0] < child_ptr[-1]:
            raise ValueError(f"weights have {weights.shape[0]} rows, the tree has {child_ptr[-1]} nodes")
        inner, width = len(child_ptr) - 1, int(weights.shape[1]) - 1
        matrix = Csr.of(weights)
        sizes = np.zeros((3, inner), np.int64)
        workers = get_num_threads()
        run_shares(_measure, workers, child_ptr, matrix, width, sizes)
        words = -(-width // 64)
        by_bits = BITS * words <= 8 * sizes[0]
        starts = np.cumsum(sizes, axis=1) - sizes
        in_bits, in_list = words * by_bits, sizes[0] * ~by_bits
        chunks = cls(
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
        run_shares(_fill, workers, matrix, width, starts[1], starts[2], chunks)
        return chunks


@njit(cache=True, nogil=True)
def _count(child_ptr: Any, matrix: Any, width: int, node: int) -> Any:
    """(d,) int64: number of children of `node` with a weight for each feature, without bias weights."""
    counts = np.zeros(width, np.int64)
    for child in range(child_ptr[node], child_ptr[node + 1]):
        for at in range(matrix.indptr[child], matrix.indptr[child + 1]):
            if matrix.indices[at] < width:
                counts[matrix.indices[at]] += 1
    return counts


@njit(cache=True, nogil=True)
def _is_line(count: int, n_children: int) -> bool:
    return FULL * count >= n_children or count >> COUNT > 0


@njit(cache=True, nogil=True)
def _measure(child_ptr: Any, matrix: Any, width: int, sizes: Any, worker: int, workers: int) -> None:
    """Write every `workers`-th node's number of features, of numbers in lines and of numbers in lists."""
    for node in range(worker, sizes.shape[1], workers):
        counts, n_children = _count(child_ptr, matrix, width, node), child_ptr[node + 1] - child_ptr[node]
        for feature in range(width):
            if counts[feature] > 0:
                sizes[0, node] += 1
                if _is_line(counts[feature], n_children):
                    sizes[1, node] += n_children
                else:
                    sizes[2, node] += counts[feature]


@njit(cache=True, nogil=True)
def _fill(matrix: Any, width: int, line_ptr: Any, list_ptr: Any, chunks: Any, worker: int, workers: int) -> None:
    for node in range(worker, len(line_ptr), workers):
        _fill_node(matrix, width, node, line_ptr[node], list_ptr[node], chunks)


@njit(cache=True, nogil=True)
def _fill_node(matrix: Any, width: int, node: int, next_line: int, next_list: int, chunks: Any) -> None:
    first, last = chunks.child_ptr[node], chunks.child_ptr[node + 1]
    places = _count(chunks.child_ptr, matrix, width, node)  # counts, then positions in lines or lists to write to
    is_line = np.zeros(width, np.bool_)
    n_features, where = 0, chunks.where[node]
    for feature in range(width):
        count = places[feature]
        if where >= 0 and feature % 64 == 0:
            chunks.before[where + feature // 64] = n_features
        if count > 0:
            if where >= 0:
                chunks.bits[where + feature // 64] |= np.uint64(1) << np.uint64(feature % 64)
            else:
                chunks.listed[-1 - where + n_features] = feature
            is_line[feature] = _is_line(count, last - first)
            if is_line[feature]:
                chunks.start[chunks.first[node] + n_features] = next_line
                places[feature], next_line = next_line, next_line + last - first
            else:
                chunks.start[chunks.first[node] + n_features] = -1 - (next_list << COUNT | count)
                places[feature], next_list = next_list, next_list + count
            n_features += 1
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
def room_for(x: Any) -> Any:
    """`Row.positions` and `Row.found` for the longest row of a `Csr`."""
    longest = 0
    for row in range(len(x.indptr) - 1):
        longest = max(longest, x.indptr[row + 1] - x.indptr[row])
    return np.empty(longest, np.int64), np.empty(longest, np.float32)


@njit(cache=True, nogil=True)
def add_margins(chunks: Any, node: int, row: Any, z: Any) -> None:
    """z = w·x + bias of each child of `node` for a `Row`, summed in feature order.

    The features that the node has are found first, without a branch for each: a processor that guesses whether the
    node has a feature can't load weights ahead, and these loads are most of the time.
    """
    child, first = chunks.child_ptr[node], chunks.first[node]
    for i in range(len(z)):
        z[i] = chunks.bias[child + i]
    n_found, n_features = _locate(chunks, node, row), chunks.first[node + 1] - first
    if n_found == 0:
        return
    line = chunks.start[first]
    if line >= 0 and chunks.start[first + n_features - 1] == line + (n_features - 1) * len(z):  # lines alone
        if len(z) == 2:
            _add_pairs(chunks.lines, line, row, n_found, z)
        else:
            for i in range(n_found):
                add_line(row.found[i], chunks.lines, np.uint64(line + row.positions[i] * len(z)), z)
        return
    for i in range(n_found):
        start, number = chunks.start[np.uint64(first + row.positions[i])], row.found[i]
        if start >= 0:
            add_line(number, chunks.lines, np.uint64(start), z)
        else:
            begin, count = (-1 - start) >> COUNT, (-1 - start) & ((1 << COUNT) - 1)
            for at in range(begin, begin + count):
                z[np.uint32(chunks.children[at])] += number * chunks.values[at]


@njit(cache=True, nogil=True)
def _add_pairs(lines: Any, line: int, row: Any, n_found: int, z: Any) -> None:
    """Add the lines of a node of two children, most nodes of a binary tree: a loop over each would take longer."""
    left, right = z[0], z[1]
    for i in range(n_found):
        start = np.uint64(line + 2 * row.positions[i])
        left += row.found[i] * lines[start]
        right += row.found[i] * lines[start + np.uint64(1)]
    z[0], z[1] = left, right


@njit(cache=True, nogil=True)
def _locate(chunks: Any, node: int, row: Any) -> int:
    """Write positions and numbers of those of a row's features that the node has; returns how many."""
    where, n_found = chunks.where[node], 0
    for i in range(len(row.columns)):
        if where >= 0:
            position, has = _in_bits(chunks, where, row.columns[i])
        else:
            position, has = _in_list(chunks, node, row.columns[i])
        row.positions[n_found], row.found[n_found] = position, row.numbers[i]
        n_found += has
    return n_found


@njit(cache=True, nogil=True)
def _in_bits(chunks: Any, where: int, feature: int) -> Any:
    """Position of a feature among a node's features by bitmap, and 1 if the node has it, else 0."""
    word, bit = np.uint64(where + (feature >> 6)), np.uint64(feature & 63)
    bits = chunks.bits[word]
    below = bits & ((np.uint64(1) << bit) - np.uint64(1))
    return chunks.before[word] + _ones(below), np.int64((bits >> bit) & np.uint64(1))


@njit(cache=True, nogil=True)
def _in_list(chunks: Any, node: int, feature: int) -> Any:
    """`_in_bits` for a node with a list, by binary search without branches that a processor would have to guess."""
    low, size = np.int64(-1 - chunks.where[node]), chunks.first[node + 1] - chunks.first[node]
    begin = low
    if size == 0:
        return np.int64(0), np.int64(0)
    while size > 1:
        half = size >> 1
        low += half * np.int64(chunks.listed[np.uint64(low + half)] <= feature)
        size -= half
    return low - begin, np.int64(chunks.listed[np.uint64(low)] == feature)


@njit(cache=True, nogil=True)
def _ones(bits: Any) -> Any:
    """Number of bits set; the compiler turns this sum into one instruction."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))
