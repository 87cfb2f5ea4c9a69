r"""Tf-idf on all threads: the matrices of scikit-learn's `TfidfVectorizer`, to the bit.

Texts are read in blocks, which do not change the result. A block's lower-cased texts become one array of code points,
and kernels find its tokens and count them (`xmcbench.data.term_kernels`).

Equal bits need scikit-learn's order of operations: weights are (1 + ln count) · (1 + ln((1 + n) / (1 + df))) in
float64; squares of a training row are summed in the order in which its terms first occur in the training texts, and
those of another row in alphabetical order; then each weight is divided by the norm and rounded to float32.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import numba
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.characters import any_script_classes, word_classes
from xmcbench.data.term_kernels import Terms, piece_tokens, place_rows, row_counts, word_tokens
from xmcbench.data.vectorizer import Options, Tokens

T = TypeVar("T")
R = TypeVar("R")
BLOCK = 1 << 18  # characters of the texts that a thread works on
PIECES = (3, 5)  # characters of a piece of a word


class Counts(NamedTuple):
    """The distinct terms of each row of a block and their counts, as CSR: (n + 1,), (nnz,) and (nnz,)."""

    indptr: NDArray[np.int64]
    ids: NDArray[np.int32]
    counts: NDArray[np.int32]


class Fit(NamedTuple):
    """What the training texts give for one part.

    Attributes
    ----------
    terms : those that are kept, in alphabetical order.
    idf : (m,) float64.
    column_of : (all terms,) int32 column of each term in order of first occurrence; −1 if it is not kept.
    blocks : terms of each block of texts, in order of first occurrence.
    """

    terms: list[str]
    idf: NDArray[np.float64]
    column_of: NDArray[np.int32]
    blocks: list[Counts]


def tokens_of(
    texts: Sequence[str], tokens: Tokens
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(code points of all texts, starts, lengths, indptr): the tokens of each text, in scikit-learn's order."""
    if tokens == "pieces":
        texts = [" ".join(("", *text.lower().split(), "")) for text in texts]
    joined = "".join(texts)
    if joined.isascii():
        joined = joined.lower()  # faster than text by text
    elif tokens != "pieces":
        texts = [text.lower() for text in texts]  # text by text, since final sigma depends on what follows
        joined = "".join(texts)
    codes = np.frombuffer(bytearray(joined, "utf-32-le", "surrogatepass"), np.uint32)  # writable, as kernels expect
    ends = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=ends[1:])
    if tokens == "pieces":
        return codes, *piece_tokens(codes, ends, *PIECES)
    classes = any_script_classes() if tokens == "words of any script" else word_classes()
    return codes, *word_tokens(codes, ends, classes, 2 if tokens == "long words" else 1)


def fit(options: Options, texts: Iterable[str]) -> Fit:
    """Count the terms of the training texts, and choose those that are kept.

    ValueError if none is.
    """
    terms = Terms()
    df, tf = np.zeros(0, np.int64), np.zeros(0, np.int64)
    blocks: list[Counts] = []

    def count(block: list[str]) -> tuple[Terms, Counts]:
        codes, starts, lengths, indptr = tokens_of(block, options.tokens)
        own = Terms()
        return own, Counts(*row_counts(own.add(codes, starts, lengths), indptr))

    n_texts = 0
    for own, counted in in_order(count, blocks_of(texts)):
        id_of = terms.add(own.codes, own.ends[: own.n], np.diff(own.ends[: own.n + 1]))
        if terms.n > len(df):
            df, tf = np.pad(df, (0, terms.n)), np.pad(tf, (0, terms.n))
        df[id_of] += np.bincount(counted.ids, minlength=own.n)
        tf[id_of] += np.bincount(counted.ids, counted.counts, own.n).astype(np.int64)
        blocks.append(counted._replace(ids=id_of.astype(np.int32)[counted.ids]))
        n_texts += len(counted.indptr) - 1
    if not terms.n:
        raise ValueError("empty vocabulary, since no text has a word")
    kept = np.flatnonzero(df[: terms.n] >= options.min_df)
    if not len(kept):
        raise ValueError(f"no term is in {options.min_df} texts or more")
    kept, strings = _sorted(kept, terms)
    if options.max_features is not None and len(kept) > options.max_features:
        most = (-tf[kept].astype(np.float64)).argsort()[: options.max_features]  # scikit-learn's, so that ties agree
        most.sort()
        kept, strings = kept[most], [strings[i] for i in most.tolist()]
    column_of = np.full(terms.n, -1, np.int32)
    column_of[kept] = np.arange(len(kept), dtype=np.int32)
    idf = np.log((n_texts + 1.0) / (df[kept] + 1.0)) + 1.0
    if len(kept) < terms.n:
        for number, block in enumerate(blocks):
            blocks[number] = _kept(block, column_of)
    return Fit(strings, idf, column_of, blocks)


def _sorted(kept: NDArray[np.int64], terms: Terms) -> tuple[NDArray[np.int64], list[str]]:
    """Numbers of terms in alphabetical order, and these terms."""
    text = terms.codes[: terms.ends[terms.n]].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    places = zip(terms.ends[kept].tolist(), terms.ends[kept + 1].tolist(), strict=True)
    strings = [text[start:end] for start, end in places]
    order = sorted(range(len(strings)), key=strings.__getitem__)
    return kept[order], [strings[i] for i in order]


def _kept(block: Counts, column_of: NDArray[np.int32]) -> Counts:
    """The counts of terms that have a column."""
    is_kept = column_of[block.ids] >= 0
    ends = np.zeros(len(is_kept) + 1, np.int64)
    np.cumsum(is_kept, out=ends[1:])
    return Counts(ends[block.indptr], block.ids[is_kept], block.counts[is_kept])


def training_rows(fits: Sequence[Fit]) -> sp.csr_matrix:
    """The rows of the training texts, with the columns of the parts side by side. Removes the blocks of each fit."""
    blocks = deque(zip(*(part.blocks for part in fits), strict=True))
    for part in fits:
        part.blocks.clear()
    return _rows(blocks, [part.idf for part in fits], [part.column_of for part in fits])


def known_rows(
    tokens: Sequence[Tokens], terms: Sequence[Terms], idfs: Sequence[NDArray[np.float64]], texts: Iterable[str]
) -> sp.csr_matrix:
    """The rows of texts for parts with these kinds of tokens, terms in the order of the columns, and idf."""

    def count(block: list[str]) -> tuple[Counts, ...]:
        counted = []
        for kind, known in zip(tokens, terms, strict=True):
            codes, starts, lengths, indptr = tokens_of(block, kind)
            counted.append(Counts(*row_counts(known.find(codes, starts, lengths), indptr)))
        return tuple(counted)

    return _rows(deque(in_order(count, blocks_of(texts))), idfs, [None] * len(idfs))


def _rows(
    blocks: deque[tuple[Counts, ...]],
    idfs: Sequence[NDArray[np.float64]],
    columns: Sequence[NDArray[np.int32] | None],
) -> sp.csr_matrix:
    """The matrix of counted blocks; `columns` are those of the ids of each part, None for the same numbers.

    Each block is removed once its rows are in the matrix.
    """
    lengths = [np.zeros(1, np.int64)]
    lengths += [np.sum([np.diff(counted.indptr) for counted in block], axis=0) for block in blocks]
    indptr = np.cumsum(np.concatenate(lengths))
    indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)

    def place(job: tuple[NDArray[np.int64], tuple[Counts, ...]]) -> None:
        starts, block = job
        shift = 0
        for counted, idf, column_of in zip(block, idfs, columns, strict=True):
            part_columns = counted.ids if column_of is None else column_of[counted.ids]
            weights = np.log(counted.counts.astype(np.float64))
            weights += 1.0
            weights *= idf[part_columns]
            place_rows(counted.indptr, counted.ids, part_columns + np.int32(shift), weights, starts, indices, data)
            starts = starts + np.diff(counted.indptr)
            shift += len(idf)

    def jobs() -> Iterator[tuple[NDArray[np.int64], tuple[Counts, ...]]]:
        row = 0
        while blocks:
            block = blocks.popleft()
            n_rows = len(block[0].indptr) - 1
            yield indptr[row : row + n_rows], block
            row += n_rows

    for _ in in_order(place, jobs()):
        pass
    shape = (len(indptr) - 1, sum(map(len, idfs)))
    matrix = sp.csr_matrix((data, indices, indptr), shape=shape, copy=False)
    matrix.has_sorted_indices = matrix.has_canonical_format = True
    return matrix


def blocks_of(texts: Iterable[str]) -> Iterator[list[str]]:
    """Consecutive texts of `BLOCK` characters or a little more."""
    block, size = [], 0
    for text in texts:
        block.append(text)
        size += len(text)
        if size >= BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


def in_order(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`map` on numba's number of threads; a few items are worked on before their results are asked for."""
    remaining = iter(items)
    first = list(islice(remaining, 2))
    workers = numba.get_num_threads() if len(first) == 2 else 1
    if workers == 1:
        yield from map(work, chain(first, remaining))
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[R]] = deque()
        for item in chain(first, remaining):
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
