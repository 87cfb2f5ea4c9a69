"""Kernels of tf-idf: where the terms of a text are, which term each one is, and rows of weights.

All work on a block of texts: `codes` are the code points of its lower-cased texts, one after the other, and text i is
`codes[ends[i]:ends[i + 1]]`. A token is (start, length) in them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from xmcbench.data.characters import LETTER, MARK, OTHER, WORD

SPACE = 32
HASH = 0x7FFFFFFF  # largest hash, in the upper half of a slot; the lower half is the number of the term
NUMBER = 0xFFFFFFFF


@njit(cache=True, nogil=True)
def word_tokens(
    codes: NDArray[np.uint32], ends: NDArray[np.int64], classes: NDArray[np.uint8], shortest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(starts, lengths, indptr) of the words in each text, in the order of `xmcbench.data.text.words_of`.

    Words are the longest runs of `WORD`, of at least `shortest` characters. A run of `LETTER` and `MARK` gives its
    characters, each with its marks, then the pairs of them, then the triples.
    """
    unspaced = 0
    for code in codes:
        unspaced += classes[code] >= LETTER
    most = (len(codes) + len(ends)) // 2 + 3 * unspaced  # before each word is another character, or its text begins
    starts, lengths = np.empty(most, np.int64), np.empty(most, np.int64)
    indptr = np.zeros(len(ends), np.int64)
    n = 0
    for row in range(len(ends) - 1):
        position, end = ends[row], ends[row + 1]
        while position < end:
            kind, start = classes[codes[position]], position
            if kind == OTHER:
                position += 1
            elif kind == WORD:
                while position < end and classes[codes[position]] == WORD:
                    position += 1
                if position - start >= shortest:
                    starts[n], lengths[n] = start, position - start
                    n += 1
            else:
                first = n
                while position < end and classes[codes[position]] >= LETTER:
                    if position > start and classes[codes[position]] == MARK:
                        lengths[n - 1] += 1
                    else:
                        starts[n], lengths[n] = position, 1
                        n += 1
                    position += 1
                stop = n
                for size in range(2, 4):
                    for character in range(first, stop - size + 1):
                        last = character + size - 1
                        starts[n], lengths[n] = starts[character], starts[last] + lengths[last] - starts[character]
                        n += 1
        indptr[row + 1] = n
    return starts[:n], lengths[:n], indptr


@njit(cache=True, nogil=True)
def piece_tokens(
    codes: NDArray[np.uint32], ends: NDArray[np.int64], shortest: int, longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(starts, lengths, indptr) of the n-grams of each word with a space at both ends, as scikit-learn's `char_wb`.

    Each text is its words with one space before, between and after them. A word that is too short for n characters
    gives one token.
    """
    most = (longest - shortest + 1) * len(codes)
    starts, lengths = np.empty(most, np.int64), np.empty(most, np.int64)
    indptr = np.zeros(len(ends), np.int64)
    n = 0
    for row in range(len(ends) - 1):
        start = ends[row]
        for position in range(start + 1, ends[row + 1]):
            if codes[position] != SPACE:
                continue
            width = position + 1 - start
            for size in range(shortest, longest + 1):
                for offset in range(max(1, width - size + 1)):
                    starts[n], lengths[n] = start + offset, min(size, width)
                    n += 1
                if width <= size:
                    break
            start = position
        indptr[row + 1] = n
    return starts[:n], lengths[:n], indptr


@njit(cache=True, nogil=True)
def term_ids(
    codes: NDArray[np.uint32],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    ids: NDArray[np.int64],
    done: int,
    term_codes: NDArray[np.uint32],
    term_ends: NDArray[np.int64],
    slots: NDArray[np.int64],
    n_terms: int,
    adds: bool,
) -> tuple[int, int]:
    """Write the numbers of tokens into `ids`, from token `done` on; returns (tokens done, terms).

    Term i is `term_codes[term_ends[i]:term_ends[i + 1]]`. An unknown token is added as a new term, or, unless `adds`,
    has the number −1. The kernel stops early where there is no room for a new term. A slot is −1 or a hash and a
    number; slots are tried one after the other (linear probing), and characters are compared where hashes are equal.
    """
    mask = len(slots) - 1
    for token in range(done, len(starts)):
        start, length = starts[token], lengths[token]
        code_hash = np.int64(HASH)
        for position in range(start, start + length):  # FNV-1a of code points
            code_hash = ((code_hash ^ np.int64(codes[position])) * 16777619) & HASH
        slot = (code_hash ^ (code_hash >> 15)) & mask
        found = np.int64(-1)
        while found < 0 and slots[slot] >= 0:
            if slots[slot] >> 32 == code_hash:
                term = slots[slot] & NUMBER
                begin = term_ends[term]
                if term_ends[term + 1] - begin == length:
                    found = term
                    for i in range(length):
                        if term_codes[begin + i] != codes[start + i]:
                            found = np.int64(-1)
                            break
            slot = (slot + 1) & mask
        if found < 0 and adds:
            begin = term_ends[n_terms]
            if 2 * n_terms >= len(slots) or n_terms + 1 >= len(term_ends) or begin + length > len(term_codes):
                return token, n_terms
            for i in range(length):
                term_codes[begin + i] = codes[start + i]
            term_ends[n_terms + 1] = begin + length
            slots[slot] = (code_hash << 32) | n_terms
            found = np.int64(n_terms)
            n_terms += 1
        ids[token] = found
    return len(starts), n_terms


@njit(cache=True, nogil=True)
def _sort(keys: NDArray[np.int64]) -> None:
    """Shell sort in place: quick for short rows, and compiled in a tenth of the time of numba's `sort`."""
    gap = 1
    while 3 * gap < len(keys):
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, len(keys)):
            key, place = keys[i], i
            while place >= gap and keys[place - gap] > key:
                keys[place] = keys[place - gap]
                place -= gap
            keys[place] = key
        gap //= 3


@njit(cache=True, nogil=True)
def row_counts(
    ids: NDArray[np.int64], indptr: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """(indptr, ids, counts) of each row's distinct ids, ascending; negative ids are dropped. Reorders `ids`."""
    row_ids, counts = np.empty(len(ids), np.int32), np.empty(len(ids), np.int32)
    row_ends = np.zeros(len(indptr), np.int64)
    n = 0
    for row in range(len(indptr) - 1):
        tokens = ids[indptr[row] : indptr[row + 1]]
        _sort(tokens)
        first = n
        for token in tokens:
            if token < 0:
                continue
            if n > first and row_ids[n - 1] == token:
                counts[n - 1] += 1
            else:
                row_ids[n], counts[n] = token, 1
                n += 1
        row_ends[row + 1] = n
    return row_ends, row_ids[:n], counts[:n]


@njit(cache=True, nogil=True)
def place_rows(
    indptr: NDArray[np.int64],
    ranks: NDArray[np.int32],
    columns: NDArray[np.int32],
    weights: NDArray[np.float64],
    starts: NDArray[np.int64],
    out_columns: NDArray[np.int32],
    out_weights: NDArray[np.float32],
) -> None:
    """Write each row with norm 1 and ascending columns into the output, from `starts` of the row on.

    The squares of a row are summed in the order of `ranks`, since the order decides the last bit of the sum.
    """
    longest = 0
    for row in range(len(indptr) - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    keys = np.empty(longest, np.int64)
    for row in range(len(indptr) - 1):
        first, length = indptr[row], indptr[row + 1] - indptr[row]
        order = keys[:length]
        for i in range(length):
            order[i] = (np.int64(ranks[first + i]) << 32) | i
        _sort(order)
        total = 0.0
        for i in range(length):
            weight = weights[first + (order[i] & NUMBER)]
            total += weight * weight
        norm = math.sqrt(total)
        for i in range(length):
            order[i] = (np.int64(columns[first + i]) << 32) | i
        _sort(order)
        for i in range(length):
            out_columns[starts[row] + i] = order[i] >> 32
            out_weights[starts[row] + i] = weights[first + (order[i] & NUMBER)] / norm


class Terms:
    """Distinct terms, numbered in the order in which they were added.

    Parameters
    ----------
    room : for so many terms at first, and four characters of each; more is made when it is needed.
    """

    def __init__(self, room: int = 1 << 12, characters: int = 1 << 14) -> None:
        self.n = 0
        self.codes = np.empty(characters, np.uint32)
        self.ends = np.zeros(room + 1, np.int64)
        self.slots = np.full(1 << (2 * room - 1).bit_length(), -1, np.int64)

    @classmethod
    def of(cls, codes: NDArray[Any], ends: NDArray[np.int64]) -> Terms:
        """From distinct terms, term i being `codes[ends[i]:ends[i + 1]]`."""
        terms = cls(max(1, len(ends) - 1), len(codes))
        own_ends = np.array(ends)  # kernels are compiled for writable arrays
        terms.add(codes.astype(np.uint32), own_ends[:-1], np.diff(own_ends))
        return terms

    def find(
        self, codes: NDArray[np.uint32], starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """(tokens,) numbers of known terms, −1 for others."""
        ids = np.empty(len(starts), np.int64)
        term_ids(codes, starts, lengths, ids, 0, self.codes, self.ends, self.slots, self.n, False)
        return ids

    def add(
        self, codes: NDArray[np.uint32], starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """(tokens,) numbers of the terms, with those that are new added."""
        ids = np.empty(len(starts), np.int64)
        done = 0
        while True:
            tables = (self.codes, self.ends, self.slots)
            done, self.n = term_ids(codes, starts, lengths, ids, done, *tables, self.n, True)
            if done == len(starts):
                return ids
            larger = Terms(2 * len(self.ends) - 2, 2 * len(self.codes) + int(lengths[done]))
            larger.add(self.codes, self.ends[: self.n], np.diff(self.ends[: self.n + 1]))
            self.codes, self.ends, self.slots = larger.codes, larger.ends, larger.slots
