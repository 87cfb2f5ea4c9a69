"""Numba kernels of the search on a CPU, from a query's cluster logits to its k best labels.

    cluster logits ─top_clusters─▶ beam ─best_paths─▶ labels, each with its best path ─by_falling_path─▶ K of them
    ─score_labels─▶ the k best of p = s · a · σ(w · φ + b)

Path scores are logarithms, log s + log a in float32, as in the torch form, so both shortlist the same K labels. Kernels
release the GIL and run on plain threads: without numba's parallel backend they compile in half the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from xmcbench.sparse.numba_cache import stamp_whole_package
from xmcbench.sparse.topk import FREE, heapify, offer, put_in_order, sift, worse
from xmcbench.topk import PAD
from xmcbench_elias.search.prefetch import prefetch_row

stamp_whole_package(Path(__file__).parent)  # kernels here inline code of `prefetch`

BUCKETS = 256  # of path scores; labels of one bucket are visited in the order they were reached
NARROW = 20  # maximum number of bisection steps when searching the path-score threshold
AHEAD = 8  # labels between prefetching a row of weights and using it
ROUNDING = 1e-5  # rounding error of log p in float32, down to p = 1e-37: closer values may be ties


class Index(NamedTuple):
    """The search index of L labels and C clusters; all arrays are C-contiguous.

    Attributes
    ----------
    labels, values : (C, width) int32 and float32: labels of each cluster's row and log a, by descending value.
    lengths : (C,) int32, number of entries of each row; the rest is padding.
    weight, bias : (L, D) and (L,) float32, the label classifier.
    """

    labels: Any
    values: Any
    lengths: Any
    weight: Any
    bias: Any


class Scratch(NamedTuple):
    """Memory for one query at a time, (L,) each, reused between calls, since allocating pages is expensive.

    Attributes
    ----------
    best : float32, −inf everywhere between queries. reached, order : int32. paths : float32.
    """

    best: Any
    reached: Any
    order: Any
    paths: Any

    @classmethod
    def empty(cls, n_labels: int) -> Scratch:
        best, paths = np.full(n_labels, -np.inf, np.float32), np.empty(n_labels, np.float32)
        return cls(best, np.empty(n_labels, np.int32), np.empty(n_labels, np.int32), paths)


class Predictions(NamedTuple):
    """Where results of n queries are written.

    Attributes
    ----------
    ids, scores : (n, k) int32 and float32, k ≥ 1: labels of best p, best first, padded with −1 and −inf.
    counts : (n, 2) int64: labels in the shortlist (−1: a cluster's logit is not finite), and labels scored.
    """

    ids: Any
    scores: Any
    counts: Any


@njit(cache=True, nogil=True, inline="always")
def probability(log_path: Any, z: Any) -> Any:
    """p = exp(log path + log σ(z)) in float32."""
    z = np.float32(z)
    log_sure = np.float32(min(z, np.float32(0)) - np.log1p(np.exp(-abs(z))))
    return np.float32(np.exp(np.float32(log_path + log_sure)))


@njit(cache=True, nogil=True, fastmath=True)
def dot(one: Any, other: Any) -> Any:
    """Σ one · other in float32; fastmath lets the compiler vectorise it."""
    total = np.float32(0)
    for d in range(len(one)):
        total += one[d] * other[d]
    return total


@njit(cache=True, nogil=True)
def top_clusters(logits: Any, beam: int, log_alpha: Any, clusters: Any, scores: Any) -> int:
    """The `beam` clusters of largest logit, best first (ties: lower id first), and log s = min(0, log α + log softmax).

    Returns their number, or 0 if a logit that is compared is not finite.
    """
    count = 0
    for c in range(len(logits)):
        x = logits[c]
        if count == beam and x <= scores[count - 1]:
            continue
        if not np.isfinite(x):
            return 0
        at = min(count, beam - 1)
        while at > 0 and x > scores[at - 1]:
            scores[at], clusters[at] = scores[at - 1], clusters[at - 1]
            at -= 1
        scores[at], clusters[at] = x, c
        count = min(count + 1, beam)
    if count == 0:
        return 0
    largest = scores[0]
    total = 0.0
    for c in range(len(logits)):
        if logits[c] > largest - np.float32(30):  # lower logits are below float32's precision
            total += np.exp(logits[c] - largest)
    log_total = np.float32(np.log(total))
    for at in range(count):
        scores[at] = min(np.float32(0), scores[at] - largest - log_total + log_alpha)
    return count


@njit(cache=True, nogil=True)
def reach(values: Any, score: Any, threshold: Any, low: int, high: int) -> int:
    """Number of entries of a row with score + value ≥ threshold, between low and high; values descend."""
    while low < high:
        middle = (low + high) >> 1
        if score + values[middle] >= threshold:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def take_more(clusters: Any, scores: Any, index: Any, wanted: int, ends: Any, new_ends: Any) -> None:
    """Extend the ends of the beam's rows down to one common path score, by at least `wanted` entries in all.

    ends : (b,) number of entries taken of each row, updated; all entries if fewer than `wanted` are left.
    new_ends : (b,) scratch.
    """
    values = index.values
    n_candidates = 0
    top, bottom = np.float32(-np.inf), np.float32(np.inf)
    for r in range(len(clusters)):
        length = index.lengths[clusters[r]]
        new_ends[r] = length
        if ends[r] < length:
            n_candidates += length - ends[r]
            top = max(top, scores[r] + values[clusters[r], ends[r]])
            bottom = min(bottom, scores[r] + values[clusters[r], length - 1])
    step = 0
    while n_candidates > wanted and step < NARROW:
        step += 1
        threshold = np.float32(0.5) * (top + bottom)
        n_selected = 0
        for r in range(len(clusters)):
            row = values[clusters[r]]
            n_selected += reach(row, scores[r], threshold, ends[r], new_ends[r]) - ends[r]
        if n_selected < wanted:
            top = threshold
            if bottom >= top:
                break
            continue
        bottom, n_candidates = threshold, n_selected
        for r in range(len(clusters)):
            new_ends[r] = reach(values[clusters[r]], scores[r], threshold, ends[r], new_ends[r])
        if n_selected <= wanted + (wanted >> 3):
            break
    for r in range(len(clusters)):
        ends[r] = new_ends[r]


@njit(cache=True, nogil=True)
def best_paths(clusters: Any, scores: Any, index: Any, size: int, best: Any, reached: Any, ends: Any) -> int:
    """Every label whose best path score may be among the `size` largest, in `reached`; its score in best[label].

    Returns the number of labels. `best` (L,) is −inf on entry; the caller resets it. `ends`: (3, ≥ b) int32, scratch.

    Entries are taken from the front of each row, in all rows down to one common path score, until there are `size`
    labels. Every entry that was not taken scores below all entries taken.
    """
    taken_ends, last_ends, new_ends = ends[0], ends[1], ends[2]
    for r in range(len(clusters)):
        taken_ends[r] = 0
    n_reached = 0
    wanted = size + (size >> 3)
    while n_reached < size:
        for r in range(len(clusters)):
            last_ends[r] = taken_ends[r]
        take_more(clusters, scores, index, wanted, taken_ends, new_ends)
        n_new = 0
        for r in range(len(clusters)):
            c, score = clusters[r], scores[r]
            n_new += taken_ends[r] - last_ends[r]
            for at in range(last_ends[r], taken_ends[r]):
                label = index.labels[c, at]
                path = score + index.values[c, at]
                last_best = best[label]
                if path > last_best:
                    if last_best == -np.inf:
                        reached[n_reached] = label
                        n_reached += 1
                    best[label] = path
        if n_new == 0:
            break
        wanted = 2 * (size - n_reached) + 64
    return n_reached


@njit(cache=True, nogil=True)
def by_falling_path(reached: Any, best: Any, size: int, order: Any, paths: Any) -> int:
    """The `size` labels of largest path score (ties: lower id first), sorted by buckets of descending path score.

    order : (≥ len(reached),) int32 out, the labels; paths : their path scores. Returns the number of labels.
    """
    n = len(reached)
    top, bottom = np.float32(-np.inf), np.float32(np.inf)
    for at in range(n):
        path = best[reached[at]]
        top, bottom = max(top, path), min(bottom, path)
    span = top - bottom
    scale = np.float32(BUCKETS - 1) / span if span > 0 else np.float32(0)
    starts = np.zeros(BUCKETS + 1, np.int32)
    for at in range(n):
        starts[int((top - best[reached[at]]) * scale) + 1] += 1
    cut_bucket = BUCKETS
    for bucket in range(BUCKETS):
        starts[bucket + 1] += starts[bucket]
        if cut_bucket == BUCKETS and starts[bucket + 1] >= size:
            cut_bucket = bucket
    ends = starts.copy()
    for at in range(n):
        path = best[reached[at]]
        bucket = int((top - path) * scale)
        order[ends[bucket]], paths[ends[bucket]] = reached[at], path
        ends[bucket] += 1
    if n > size:
        low, high = starts[cut_bucket], starts[cut_bucket + 1]
        ids, scores, n_kept = order[low:high], paths[low:high], size - low
        heapify(ids[:n_kept], scores[:n_kept])
        offer(ids[:n_kept], scores[:n_kept], ids[n_kept:], scores[n_kept:])
    return min(n, size)


@njit(cache=True, nogil=True)
def score_labels(order: Any, paths: Any, query: Any, weight: Any, bias: Any, ids: Any, scores: Any) -> int:
    """The k best p of these labels, k = len(ids), best first (ties: lower id first), padded with −1 and −inf.

    A label's p is at most its path score. So once there are k labels, a label with a path score strictly below the
    k-th best p (by more than rounding) is not scored. Returns the number of labels scored.
    """
    k = len(ids)
    for at in range(k):
        ids[at], scores[at] = FREE, -np.inf
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
    put_in_order(ids, scores)
    ids[len(order) :] = PAD
    return n_scored


@njit(cache=True, nogil=True)
def cluster_logits(query: Any, weight: Any, bias: Any, out: Any) -> None:
    """out[c] = weight[c] · query + bias[c]: for one query, since a library's threads would take longer to start."""
    for c in range(len(weight)):
        out[c] = dot(weight[c], query) + bias[c]


@njit(cache=True, nogil=True)
def search(logits: Any, queries: Any, beam: int, log_alpha: Any, size: int, index: Any, scratch: Any, out: Any) -> None:
    """Search queries one by one, each from its cluster logits to its k best labels.

    Parameters
    ----------
    logits, queries : (n, C) and (n, D) float32. beam : b ≤ C. log_alpha : float32. size : K ≥ 1.
    index, scratch, out : see `Index`, `Scratch` and `Predictions`.
    """
    beam_scores, all_clusters, ends = (
        np.empty(beam, np.float32),
        np.empty(beam, np.int32),
        np.empty((3, beam), np.int32),
    )
    best, order, paths = scratch.best, scratch.order, scratch.paths
    for i in range(len(queries)):
        b = top_clusters(logits[i], beam, log_alpha, all_clusters, beam_scores)
        n_reached = best_paths(all_clusters[:b], beam_scores[:b], index, size, best, scratch.reached, ends)
        reached = scratch.reached[:n_reached]
        n = by_falling_path(reached, best, size, order, paths)
        for label in reached:
            best[label] = -np.inf
        out.counts[i, 0] = n if b > 0 else -1
        out.counts[i, 1] = score_labels(
            order[:n], paths[:n], queries[i], index.weight, index.bias, out.ids[i], out.scores[i]
        )
