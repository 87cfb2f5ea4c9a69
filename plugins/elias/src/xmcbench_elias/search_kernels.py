"""Numba kernels of the search on a CPU: from a query's cluster logits to its k best labels.

    cluster logits ─top_clusters─▶ beam ─best_paths─▶ labels, each with its best path ─by_falling_path─▶ K of them
    ─score_labels─▶ the k best of p = s · a · σ(w · φ + b)

Path scores are logarithms, log s + log a in float32, as in the torch form, so both cut at the same K labels. Kernels
release the GIL and are run on plain threads: without numba's own, a first use compiles in half the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from xmcbench.sparse.numba_cache import stamp_whole_packages
from xmcbench_elias.prefetch import prefetch_row

stamp_whole_packages(Path(__file__).parent)  # kernels here hold code of `prefetch`

BUCKETS = 256  # of path scores; labels of one bucket are visited in the order they were found
NARROW = 20  # at most so many halvings in the hunt for a path score that about so many entries reach
AHEAD = 8  # labels between asking for a row of weights and using it; 4 to 16 measured alike
NOTHING = 2147483647  # an id past every label: the worst there is among equal scores
ROUNDING = 1e-5  # of log p in float32, down to p = 1e-37: below a bound by less than this may be a tie


class Index(NamedTuple):
    """What is searched; L labels, C clusters, all C-contiguous.

    Attributes
    ----------
    labels, values : (C, width) int32 and float32: labels of each cluster's row and log a, by falling value.
    lengths : (C,) int32, entries of each row; past them is padding.
    weight, bias : (L, D) and (L,) float32, the label classifier.
    """

    labels: Any
    values: Any
    lengths: Any
    weight: Any
    bias: Any


class Scratch(NamedTuple):
    """Memory for one query at a time, (L,) each: kept between calls, since fresh pages are dear.

    Attributes
    ----------
    best : float32, −inf everywhere between queries. found, order : int32. paths : float32.
    """

    best: Any
    found: Any
    order: Any
    paths: Any


@njit(cache=True, nogil=True, inline="always")
def probability(log_path: Any, z: Any) -> Any:
    """p = exp(log path + log σ(z)) in float32."""
    z = np.float32(z)
    log_sure = np.float32(min(z, np.float32(0)) - np.log1p(np.exp(-abs(z))))
    return np.float32(np.exp(np.float32(log_path + log_sure)))


@njit(cache=True, nogil=True, fastmath=True)
def dot(one: Any, other: Any) -> Any:
    """Σ one · other in float32, in the order the vector unit likes."""
    total = np.float32(0)
    for d in range(len(one)):
        total += one[d] * other[d]
    return total


@njit(cache=True, nogil=True)
def top_clusters(logits: Any, beam: int, log_alpha: Any, clusters: Any, scores: Any) -> int:
    """The `beam` clusters of largest logit, best first (ties: lower id first), and log s = min(0, log α + log softmax).

    Returns how many there are, 0 where a logit that matters is not finite.
    """
    found = 0
    for c in range(len(logits)):
        x = logits[c]
        if found == beam and x <= scores[found - 1]:
            continue
        if not np.isfinite(x):
            return 0
        at = min(found, beam - 1)
        while at > 0 and x > scores[at - 1]:
            scores[at], clusters[at] = scores[at - 1], clusters[at - 1]
            at -= 1
        scores[at], clusters[at] = x, c
        found = min(found + 1, beam)
    if found == 0:
        return 0
    largest = scores[0]
    total = 0.0
    for c in range(len(logits)):
        if logits[c] > largest - np.float32(30):  # what is lower adds less than float32 can tell
            total += np.exp(logits[c] - largest)
    log_total = np.float32(np.log(total))
    for at in range(found):
        scores[at] = min(np.float32(0), scores[at] - largest - log_total + log_alpha)
    return found


@njit(cache=True, nogil=True)
def worse(p: Any, label: int, other_p: Any, other: int) -> bool:
    """Does (p, label) come after the other in the one order: p falling, then label rising?"""
    return p < other_p or (p == other_p and label > other)


@njit(cache=True, nogil=True)
def sift(ids: Any, scores: Any, at: int, size: int, label: int, p: Any) -> None:
    """Put (label, p) in place of node `at` of a heap of `size` whose root is the worst, and mend what is below it."""
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and worse(scores[child + 1], ids[child + 1], scores[child], ids[child]):
            child += 1
        if not worse(scores[child], ids[child], p, label):
            break
        ids[at], scores[at] = ids[child], scores[child]
        at = child
    ids[at], scores[at] = label, p


@njit(cache=True, nogil=True)
def keep(ids: Any, scores: Any, size: int) -> None:
    """Bring the best `size` ≥ 1 of these to the front, in no order."""
    for at in range(size // 2 - 1, -1, -1):
        sift(ids, scores, at, size, ids[at], scores[at])
    for at in range(size, len(ids)):
        if worse(scores[0], ids[0], scores[at], ids[at]):
            sift(ids, scores, 0, size, ids[at], scores[at])


@njit(cache=True, nogil=True)
def reach(values: Any, score: Any, border: Any, low: int, high: int) -> int:
    """How many entries of a row have score + value ≥ border, known to be within low and high; values fall."""
    while low < high:
        middle = (low + high) >> 1
        if score + values[middle] >= border:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def take_more(clusters: Any, scores: Any, values: Any, lengths: Any, wanted: int, ends: Any, most: Any) -> None:
    """Move the ends of the beam's rows down to one path score, so that they hold at least `wanted` entries more.

    ends : (b,) entries taken of each row, updated; all of them where fewer than `wanted` are left.
    most : (b,) scratch.
    """
    left = 0
    top, bottom = np.float32(-np.inf), np.float32(np.inf)
    for r in range(len(clusters)):
        length = lengths[clusters[r]]
        most[r] = length
        if ends[r] < length:
            left += length - ends[r]
            top = max(top, scores[r] + values[clusters[r], ends[r]])
            bottom = min(bottom, scores[r] + values[clusters[r], length - 1])
    step = 0
    while left > wanted and step < NARROW:
        step += 1
        border = np.float32(0.5) * (top + bottom)
        inside = 0
        for r in range(len(clusters)):
            row = values[clusters[r]]
            inside += reach(row, scores[r], border, ends[r], most[r]) - ends[r]
        if inside < wanted:
            top = border
            if bottom >= top:
                break
            continue
        bottom, left = border, inside
        for r in range(len(clusters)):
            most[r] = reach(values[clusters[r]], scores[r], border, ends[r], most[r])
        if inside <= wanted + (wanted >> 3):
            break
    for r in range(len(clusters)):
        ends[r] = most[r]


@njit(cache=True, nogil=True)
def best_paths(
    clusters: Any, scores: Any, labels: Any, values: Any, lengths: Any, size: int, best: Any, found: Any, ends: Any
) -> int:
    """Every label whose best path score may be among the `size` largest, in `found`; its score in best[label].

    labels, values, lengths : the index, see `Searcher`.
    best : (L,) float32, −inf wherever nothing is found yet; the caller sets it back. found : (L,) int32, out.
    ends : three (b,) int32, scratch.

    A row's entries are taken from its front, all rows down to one path score, until there are `size` labels. So a
    label met later has no better path, and what no row was asked for scores below everything taken.
    """
    taken, start, most = ends
    for r in range(len(clusters)):
        taken[r] = 0
    n_found = 0
    wanted = size + (size >> 3)
    while n_found < size:
        for r in range(len(clusters)):
            start[r] = taken[r]
        take_more(clusters, scores, values, lengths, wanted, taken, most)
        more = 0
        for r in range(len(clusters)):
            c, score = clusters[r], scores[r]
            more += taken[r] - start[r]
            for at in range(start[r], taken[r]):
                label = labels[c, at]
                path = score + values[c, at]
                old = best[label]
                if path > old:
                    if old == -np.inf:
                        found[n_found] = label
                        n_found += 1
                    best[label] = path
        if more == 0:
            break
        wanted = 2 * (size - n_found) + 64
    return n_found


@njit(cache=True, nogil=True)
def by_falling_path(found: Any, best: Any, size: int, order: Any, paths: Any) -> int:
    """The `size` labels of largest path score (ties: lower id first), from high buckets of path scores to low ones.

    order : (≥ found,) int32 out, the labels; paths : the same for their path scores. Returns how many there are.
    """
    n = len(found)
    top, bottom = np.float32(-np.inf), np.float32(np.inf)
    for at in range(n):
        path = best[found[at]]
        top, bottom = max(top, path), min(bottom, path)
    span = top - bottom
    scale = np.float32(BUCKETS - 1) / span if span > 0 else np.float32(0)
    starts = np.zeros(BUCKETS + 1, np.int32)
    for at in range(n):
        starts[int((top - best[found[at]]) * scale) + 1] += 1
    border = BUCKETS
    for bucket in range(BUCKETS):
        starts[bucket + 1] += starts[bucket]
        if border == BUCKETS and starts[bucket + 1] >= size:
            border = bucket
    ends = starts.copy()
    for at in range(n):
        path = best[found[at]]
        bucket = int((top - path) * scale)
        order[ends[bucket]], paths[ends[bucket]] = found[at], path
        ends[bucket] += 1
    if n > size:
        low, high = starts[border], starts[border + 1]
        keep(order[low:high], paths[low:high], size - low)
    return min(n, size)


@njit(cache=True, nogil=True)
def score_labels(order: Any, paths: Any, query: Any, weight: Any, bias: Any, ids: Any, scores: Any) -> int:
    """The k best p of these labels, k = len(ids), best first (ties: lower id first), padded with −1 and −inf.

    No p is above its path score. So once k are found, a label whose path score is strictly below the k-th best p
    (by more than rounding) is not scored. Returns how many were.
    """
    k = len(ids)
    for at in range(k):
        ids[at], scores[at] = NOTHING, -np.inf
    bound = -np.inf
    n_scored = 0
    for at in range(min(AHEAD, len(order))):
        prefetch_row(weight, order[at])
    for at in range(len(order)):
        ahead = at + AHEAD
        if ahead < len(order) and paths[ahead] >= bound:
            prefetch_row(weight, order[ahead])
        path, label = paths[at], order[at]
        if path < bound:
            continue
        n_scored += 1
        z = dot(query, weight[label]) + bias[label]
        if path + min(z, np.float32(0)) < bound:
            continue
        p = probability(path, z)
        if worse(scores[0], ids[0], p, label):
            sift(ids, scores, 0, k, label, p)
            if scores[0] > 1e-37:
                bound = np.log(np.float64(scores[0])) - ROUNDING
    for size in range(k - 1, 0, -1):
        label, p = ids[size], scores[size]
        ids[size], scores[size] = ids[0], scores[0]
        sift(ids, scores, 0, size, label, p)
    for at in range(min(len(order), k), k):
        ids[at] = -1
    return n_scored


@njit(cache=True, nogil=True)
def cluster_logits(query: Any, weight: Any, bias: Any, out: Any) -> None:
    """out[c] = weight[c] · query + bias[c]: for one query, where a library's threads take longer to start."""
    for c in range(len(weight)):
        out[c] = dot(weight[c], query) + bias[c]


@njit(cache=True, nogil=True)
def search(
    logits: Any,
    queries: Any,
    beam: int,
    log_alpha: Any,
    size: int,
    index: Any,
    scratch: Any,
    ids: Any,
    scores: Any,
    counts: Any,
) -> None:
    """Queries one after the other, each from its cluster logits to its k best labels.

    Parameters
    ----------
    logits, queries : (n, C) and (n, D) float32. beam : b ≤ C. log_alpha : float32. size : K ≥ 1.
    index, scratch : see `Index` and `Scratch`.
    ids, scores : (n, k) int32 and float32 out, k ≥ 1, see `score_labels`.
    counts : (n, 2) int64 out: labels in the shortlist (−1: a cluster's logit is not finite), and labels scored.
    """
    beam_scores = np.empty(beam, np.float32)
    clusters, taken = np.empty(beam, np.int32), np.empty(beam, np.int32)
    start, most = np.empty(beam, np.int32), np.empty(beam, np.int32)
    best, found, order, paths = scratch
    for i in range(len(queries)):
        b = top_clusters(logits[i], beam, log_alpha, clusters, beam_scores)
        rows = index.labels, index.values, index.lengths
        n_found = best_paths(clusters[:b], beam_scores[:b], *rows, size, best, found, (taken, start, most))
        n = by_falling_path(found[:n_found], best, size, order, paths)
        for at in range(n_found):
            best[found[at]] = -np.inf
        counts[i, 0] = n if b > 0 else -1
        counts[i, 1] = score_labels(order[:n], paths[:n], queries[i], index.weight, index.bias, ids[i], scores[i])
