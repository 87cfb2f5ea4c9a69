"""Rows of synthetic data: a planted label graph, of any size from a seed, with a known best reachable score.

The generative model, for one row:

1. The world: L labels with frequencies q(l) ∝ (rank + shift)^−exponent, by default Zipf's 1 / rank. Each label has
   `parents` parents, drawn uniformly from ⌈L / branching⌉ nodes. Every label and every node owns `words` words (feature
   ids, drawn with replacement from all).
2. A row has 1 + Poisson(per_row / per_topic − 1) topics. Each topic draws a label from q and, uniformly, one of the
   label's parents: the topic's node. It has 1 + Poisson(per_topic − 1) slots: the first has the drawn label, each other
   one draws a label among the node's children, in proportion to q. By default, every topic has one slot.
3. Each topic adds its node's words to the row. With probability 1 − noise, each slot also adds its label's words;
   otherwise the label is hidden and only its node is visible.
4. Poisson(background) words with Zipf frequencies are noise. A feature is the count of its word; rows are scaled to
   length 1.
5. The row's labels are the labels of its slots, hidden or not; a label drawn twice counts once.

A predictor that knows the world and can separate the slots of a row knows the shown labels with certainty. A hidden
label is child l of node p with probability q(l) / Σ q over p's children, independently of the other slots: this is the
distribution of a topic's first label given its node, too. This gives P(l is true | row) for every label, and the best
expected P@k is the mean over rows of the sum of the k largest of these probabilities, divided by k. A method sees
words, not slots, so this value is a ceiling. It is nearly reached if `features` is so large that words rarely collide.

Rows are drawn by chunks, each from a random seed of its own, and built by blocks of a few rows, which are appended to
the arrays of the result: the memory is that of the result and of one chunk's slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.data.growing import GrowingMatrix, GrowingTexts
from xmcbench.data.spec import Split
from xmcbench.data.texts import Texts

if TYPE_CHECKING:
    from xmcbench.data.synthetic import Parameters

CHUNK = 1 << 16  # rows per chunk; each chunk has its own random seed
BLOCK = 1 << 9  # rows built at once
SEEDS = {"train": 1, "test": 2}  # part of the random seed of a chunk
Array = NDArray[Any]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """The parts of the model that all rows of a seed share.

    Attributes
    ----------
    frequency : (L,) float64, the label distribution q, sums to 1.
    parents : (L, parents) int64 node ids, distinct per label.
    label_words : (L, words) and node_words : (nodes, words) int64 feature ids.
    """

    frequency: NDArray[np.float64]
    parents: Ints
    label_words: Ints
    node_words: Ints


@dataclass(frozen=True)
class Slots:
    """Slots of some rows: slot i of row `row[i]` has `label[i]` and shows it, or shows only its `node[i]`.

    `row`, `label` and `node` are int32, sorted by row and topic. `starts_topic[i]`: it is the first slot of its topic.
    """

    row: Array
    label: Array
    node: Array
    shown: NDArray[np.bool_]
    starts_topic: NDArray[np.bool_]


@dataclass(frozen=True)
class Children:
    """The labels of node n: `labels[starts[n]:starts[n + 1]]`; `cumulative` : (len(labels) + 1,) sums of their q."""

    starts: Ints
    labels: Ints
    cumulative: NDArray[np.float64]


def make_world(p: Parameters) -> World:
    """Draw label frequencies, parents and words."""
    rng = np.random.default_rng([p.seed, 0])
    frequency = 1.0 / (1.0 + p.shift + rng.permutation(p.labels)) ** p.exponent
    parents = rng.integers(0, p.nodes, (p.labels, p.parents))
    while True:  # redraw until the parents of each label are distinct
        sorted_parents = np.sort(parents, axis=1)
        rows_with_repeats = np.flatnonzero((sorted_parents[:, 1:] == sorted_parents[:, :-1]).any(axis=1))
        if len(rows_with_repeats) == 0:
            break
        parents[rows_with_repeats] = rng.integers(0, p.nodes, (len(rows_with_repeats), p.parents))
    label_words = rng.integers(0, p.features, (p.labels, p.words))
    node_words = rng.integers(0, p.features, (p.nodes, p.words))
    return World(frequency / frequency.sum(), parents, label_words, node_words)


def children_of(world: World) -> Children:
    nodes, per_label = world.parents.ravel(), world.parents.shape[1]
    order = np.argsort(nodes, kind="stable")
    starts = np.searchsorted(nodes[order], np.arange(len(world.node_words) + 1))
    labels = order // per_label
    return Children(starts, labels, np.concatenate([[0.0], np.cumsum(world.frequency[labels])]))


def make_split(p: Parameters, world: World, which: str, see: Callable[[Slots, int], None] | None = None) -> Split:
    """Generate the rows of "train" or "test"; `see` gets the slots of the first chunk and its number of rows."""
    children = children_of(world)
    label_cumulative, word_cumulative = np.cumsum(world.frequency), np.cumsum(1.0 / np.arange(1, p.features + 1))
    words = [f"w{i}" for i in range(p.features)]
    n_rows = p.rows if which == "train" else p.test
    features, labels, texts = GrowingMatrix(), GrowingMatrix(), GrowingTexts()
    for start in range(0, n_rows, CHUNK):
        rng = np.random.default_rng([p.seed, SEEDS[which], start // CHUNK])
        n = min(CHUNK, n_rows - start)
        slots = draw_slots(p, world, children, label_cumulative, n, rng)
        noise_words = rng.poisson(p.background, n)
        if see is not None and start == 0:
            see(slots, n)
        for first in range(0, n, BLOCK):
            last = min(first + BLOCK, n)
            block = Slots(*(part[slice(*np.searchsorted(slots.row, [first, last]))] for part in vars(slots).values()))
            row, topics, shown = block.row - first, block.starts_topic, block.shown
            noise = np.repeat(np.arange(last - first), noise_words[first:last])
            drawn = np.searchsorted(word_cumulative, rng.random(len(noise)) * word_cumulative[-1], side="right")
            rows: list[Array] = [np.repeat(row[topics], p.words), np.repeat(row[shown], p.words), noise]
            ids: list[Array] = [
                world.node_words[block.node[topics]].ravel(),
                world.label_words[block.label[shown]].ravel(),
                drawn,
            ]
            counts = distinct(np.concatenate(rows), np.concatenate(ids), last - first, p.features)
            if p.texts:
                texts.append(row_texts(counts, words))
            features.append(counts.lengths, counts.ids, unit_rows(counts))
            of_labels = distinct(row, block.label, last - first, p.labels)
            labels.append(of_labels.lengths, of_labels.ids, np.ones(len(of_labels.ids), np.float32))
    return Split(features.csr(p.features), texts.texts() if p.texts else None, labels.csr(p.labels))


def draw_slots(
    p: Parameters, world: World, children: Children, cumulative: Array, n: int, rng: np.random.Generator
) -> Slots:
    """Draw topics and slots of n rows; `cumulative`: (L,) sums of the label distribution."""
    row = np.repeat(np.arange(n), 1 + rng.poisson(p.per_row / p.per_topic - 1, n))  # of each topic
    label = np.searchsorted(cumulative, rng.random(len(row)) * cumulative[-1], side="right")
    node = world.parents[label, rng.integers(0, p.parents, len(row))]
    sizes = 1 + rng.poisson(p.per_topic - 1, len(row))
    starts_topic = np.zeros(int(sizes.sum()), np.bool_)
    starts_topic[np.cumsum(sizes) - sizes] = True
    row, node, label = (np.repeat(each.astype(np.int32), sizes) for each in (row, node, label))
    for start in range(0, len(row), CHUNK):
        part = slice(start, start + CHUNK)
        is_other = ~starts_topic[part]
        label[part][is_other] = _child(children, node[part][is_other], rng.random(int(is_other.sum())))
    return Slots(row, label, node, rng.random(len(row)) >= p.noise, starts_topic)


def _child(children: Children, node: Array, at: Array) -> Array:
    """A child of each node in proportion to q; `at`: uniform in [0, 1)."""
    start, stop = children.starts[node], children.starts[node + 1]
    low, high = children.cumulative[start], children.cumulative[stop]
    position = np.searchsorted(children.cumulative, low + at * (high - low), side="right") - 1
    position = np.clip(position, start, stop - 1)  # a sum may be rounded
    return np.asarray(children.labels[position])


@dataclass(frozen=True)
class Counts:
    """The distinct ids of some rows: `lengths` per row, `ids` ascending in each row, and how often each occurs."""

    lengths: Ints
    ids: Ints
    times: Ints


def distinct(rows: Array, ids: Array, n_rows: int, width: int) -> Counts:
    """Count the ids, below `width`, of each of `n_rows` rows."""
    keys = rows.astype(np.int64) * width + ids
    keys.sort()
    at = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    row, found = np.divmod(keys[at], width)
    return Counts(np.bincount(row, minlength=n_rows), found, np.diff(at, append=len(keys)))


def unit_rows(counts: Counts) -> Array:
    """The counts as float32 values of rows of length 1; every row has an id."""
    starts = np.cumsum(counts.lengths) - counts.lengths
    norms = np.sqrt(np.add.reduceat(counts.times.astype(np.float64) ** 2, starts))
    return counts.times.astype(np.float32) / np.repeat(norms, counts.lengths).astype(np.float32)


def row_texts(counts: Counts, words: list[str]) -> list[str]:
    """One text per row, in which each word is repeated by its count."""
    tokens = np.repeat(counts.ids, counts.times).tolist()
    starts = np.cumsum(counts.lengths) - counts.lengths
    ends = np.add.reduceat(counts.times, starts).cumsum().tolist()
    return [" ".join([words[t] for t in tokens[a:b]]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def label_texts(world: World, n_words: int) -> Texts:
    """For each label, its words and those of its parents."""
    words = [f"w{i}" for i in range(n_words)]

    def texts() -> Iterator[str]:
        for start in range(0, len(world.parents), BLOCK):
            block = slice(start, start + BLOCK)
            of_parents = world.node_words[world.parents[block]]
            ids = np.hstack([world.label_words[block], of_parents.reshape(len(of_parents), -1)])
            yield from (" ".join([words[i] for i in row]) for row in ids.tolist())

    return Texts.pack(texts())
