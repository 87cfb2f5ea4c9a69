"""Synthetic data of any size from a seed, with a planted label graph and a known best reachable score.

The generative model, for one row:

1. The world: L labels with Zipf frequencies, q(l) ∝ 1 / rank. Each label has `parents` parents, drawn uniformly from
   ⌈L / branching⌉ nodes. Every label and every node owns `WORDS_PER_OWNER` words (feature ids, drawn with replacement
   from all).
2. A row has 1 + Poisson(per_row − 1) slots. Each slot draws a label from q and, uniformly, one of the label's parents.
3. Each slot adds its parent's words to the row. With probability 1 − noise it also adds its label's words; otherwise
   the label is hidden and only its parent is visible.
4. Poisson(BACKGROUND_WORDS) words with Zipf frequencies are noise. A feature is the count of its word; rows are scaled
   to length 1.
5. The row's labels are the labels of its slots, hidden or not; a label drawn twice counts once.

A predictor that knows the world and can separate the slots of a row knows the shown labels with certainty. A hidden
label is child l of node p with probability q(l) / Σ q over p's children, independently of the other slots. This gives
P(l is true | row) for every label, and the best expected P@k is the mean over rows of the sum of the k largest of these
probabilities, divided by k. A method sees words, not slots, so this value is a ceiling. It is nearly reached if
`features` is so large that words rarely collide.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench import limits
from xmcbench.data.formats import as_labels
from xmcbench.data.spec import Parsed, Split
from xmcbench.data.texts import Texts
from xmcbench.errors import DataError, UsageError, unknown

VERSION = 1  # version of the generative model; raise it when the same parameters give other rows
WORDS_PER_OWNER = 4  # words owned by each label and each node
BACKGROUND_WORDS = 5.0  # mean number of noise words per row
BYTES_PER_WORD = 16  # of rows, in features and texts together
RARE = 1e-4  # least probability that a draw of a label's parents has no repeats
CHUNK = 1 << 16  # rows per chunk; each chunk has its own random seed
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Parameters:
    """Parameters of a synthetic data set; the defaults (ours) train in about a minute."""

    rows: int = 10_000  # training rows
    test: int = 2_000  # test rows
    labels: int = 2_000
    features: int = 5_000  # words
    per_row: float = 3.0  # mean number of label slots per row
    parents: int = 2  # of each label
    branching: int = 20  # labels for each node; a node has branching × parents children
    noise: float = 0.3  # share of slots that show only their parent
    seed: int = 0

    def __post_init__(self) -> None:
        values = {key: value for key, value in dataclasses.asdict(self).items() if key != "noise"}
        lowest = dict.fromkeys(values, 1) | {"labels": 2, "seed": 0}
        errors = [f"{key}={value}: at least {lowest[key]}" for key, value in values.items() if not value >= lowest[key]]
        if not 0 <= self.noise <= 1:
            errors.append(f"noise={self.noise}: between 0 and 1")
        if not errors and self.parents > self.nodes:
            available = f"{self.labels} labels at branching {self.branching} have {self.nodes}"
            errors.append(f"parents={self.parents}: {available}")
        if max(self.rows, self.test, self.labels, self.features, self.per_row, self.branching) >= 2**31:
            errors.append("sizes must be below 2³¹")
        elif not errors:
            errors += self._too_large()
        if errors:
            raise UsageError(f"synthetic: {'; '.join(errors)}")

    def _too_large(self) -> list[str]:
        """Faults of values that are valid, but need more memory or time than any machine has."""
        words = WORDS_PER_OWNER * (self.labels * (1 + self.parents) + self.nodes)  # of the world and of label texts
        errors = []
        for count, what in ((self.entries, "words in all rows"), (words, "words of labels")):
            if count > limits.SYNTHETIC_ENTRIES:
                errors.append(f"about {count:,} {what}, at most {limits.SYNTHETIC_ENTRIES:,} are possible")
        if self.features > limits.COLUMNS:
            errors.append(f"features={self.features}: at most {limits.COLUMNS:,}")
        if self.seed >= 2**63:
            errors.append("seed must be below 2⁶³")
        taken = np.arange(min(self.parents, self.nodes)) / self.nodes
        if np.log1p(-taken).sum() < np.log(RARE):
            problem = (
                f"parents={self.parents}: too many of {self.nodes} nodes, since a label's are drawn until they differ"
            )
            errors.append(f"{problem}; give fewer, or a smaller branching")
        return errors

    @property
    def entries(self) -> int:
        """The expected number of words in all rows, repeated ones included."""
        return int((self.rows + self.test) * (2 * WORDS_PER_OWNER * self.per_row + BACKGROUND_WORDS))

    @property
    def nodes(self) -> int:
        return -(-self.labels // self.branching)

    @property
    def name(self) -> str:
        """ "synthetic", or "synthetic[labels=…,…]" with the values that differ from the defaults, in a fixed order."""
        default = {f.name: f.default for f in dataclasses.fields(self)}
        changed = [(key, value) for key, value in dataclasses.asdict(self).items() if value != default[key]]
        return "synthetic" + (f"[{','.join(f'{key}={value}' for key, value in changed)}]" if changed else "")


def parameters(name: str) -> Parameters:
    """Read "synthetic" or "synthetic[labels=100000,rows=50000]"; UsageError for an unknown key or an invalid value."""
    match = re.fullmatch(r"\s*synthetic\s*(?:\[(.*)\])?\s*", name, re.IGNORECASE)
    if match is None:
        raise UsageError(f"{name!r} is not a synthetic data set", 'Write "synthetic[labels=100000,rows=50000,seed=1]".')
    types = {key: type(value) for key, value in dataclasses.asdict(Parameters()).items()}
    values: dict[str, Any] = {}
    for part in (match[1] or "").split(",") if (match[1] or "").strip() else []:
        key, _, value = (word.strip() for word in part.partition("="))
        if key not in types:
            raise unknown("parameter of synthetic", key, types)
        if key in values:
            raise UsageError(f"{name!r}: {key} is given twice")
        try:
            values[key] = types[key](value)
        except ValueError:
            expected = "a whole number" if types[key] is int else "a number"
            raise UsageError(f"{name!r}: {key}={value!r} is not {expected}") from None
    return Parameters(**values)


@dataclass(frozen=True)
class World:
    """The parts of the model that all rows of a seed share.

    Attributes
    ----------
    frequency : (L,) float64, the label distribution q, sums to 1.
    parents : (L, parents) int64 node ids, distinct per label.
    label_words : (L, WORDS) and node_words : (nodes, WORDS) int64 feature ids.
    """

    frequency: NDArray[np.float64]
    parents: Ints
    label_words: Ints
    node_words: Ints


@dataclass(frozen=True)
class Slots:
    """Slots of some rows: slot i of row `row[i]` has `label[i]` and shows it, or shows only its `node[i]`."""

    row: Ints
    label: Ints
    node: Ints
    shown: NDArray[np.bool_]


def make(p: Parameters) -> Parsed:
    """Generate both splits, label texts (words of a label and its parents), and the ceiling in `extra`.

    DataError if the rows need more memory than is free.
    """
    from xmcbench.data.ceiling import best_precision

    try:
        limits.check_memory(BYTES_PER_WORD * p.entries)
    except MemoryError as error:
        raise DataError(f"{p.name}: {error}", "Give fewer rows, or use a machine with more memory.") from error
    world = make_world(p)
    train, _ = _split(p, world, p.rows, 1)
    test, slots = _split(p, world, p.test, 2)
    label_words = np.hstack([world.label_words, world.node_words[world.parents].reshape(p.labels, -1)])
    meaning = (
        "expected P@k on these test rows of a predictor that knows the generating model and tells the label slots of a "
        "row apart; no method can expect more"
    )
    ceiling = {**best_precision(world, slots, p.test), "meaning": meaning}
    extra = {"parameters": dataclasses.asdict(p), "best_reachable": ceiling}
    return Parsed(train, test, label_texts=_label_texts(label_words, p.features), extra=extra)


def make_world(p: Parameters) -> World:
    """Draw label frequencies, parents and words."""
    rng = np.random.default_rng([p.seed, 0])
    frequency = 1.0 / (1.0 + rng.permutation(p.labels))
    parents = rng.integers(0, p.nodes, (p.labels, p.parents))
    while True:  # redraw until the parents of each label are distinct
        sorted_parents = np.sort(parents, axis=1)
        rows_with_repeats = np.flatnonzero((sorted_parents[:, 1:] == sorted_parents[:, :-1]).any(axis=1))
        if len(rows_with_repeats) == 0:
            break
        parents[rows_with_repeats] = rng.integers(0, p.nodes, (len(rows_with_repeats), p.parents))
    label_words = rng.integers(0, p.features, (p.labels, WORDS_PER_OWNER))
    return World(
        frequency / frequency.sum(), parents, label_words, rng.integers(0, p.features, (p.nodes, WORDS_PER_OWNER))
    )


def _split(p: Parameters, world: World, n: int, which: int) -> tuple[Split, Slots]:
    """Generate n rows in chunks; `which` is part of the seed: 1 for train, 2 for test."""
    label_cumulative, word_cumulative = np.cumsum(world.frequency), np.cumsum(1.0 / np.arange(1, p.features + 1))
    features, labels, texts, slots = [], [], [], []
    for start in range(0, n, CHUNK):
        rng = np.random.default_rng([p.seed, which, start // CHUNK])
        n_chunk = min(CHUNK, n - start)
        chunk_slots = _draw_slots(p, world, label_cumulative, n_chunk, rng)
        counts = _word_counts(world, chunk_slots, n_chunk, word_cumulative, rng)
        texts.append(_row_texts(counts))
        norms = np.sqrt(np.add.reduceat(counts.data.astype(np.float64) ** 2, counts.indptr[:-1]))
        counts.data /= np.repeat(norms, np.diff(counts.indptr)).astype(np.float32)
        features.append(counts)
        slot_ids, ones = (chunk_slots.row, chunk_slots.label), np.ones(len(chunk_slots.row), np.float32)
        labels.append(as_labels(sp.csr_matrix((ones, slot_ids), shape=(n_chunk, p.labels))))
        slots.append(dataclasses.replace(chunk_slots, row=chunk_slots.row + start))
    all_slots = Slots(*(np.concatenate([getattr(s, f.name) for s in slots]) for f in dataclasses.fields(Slots)))
    rows = Split(sp.vstack(features, "csr"), [t for part in texts for t in part], sp.vstack(labels, "csr"))
    return rows, all_slots


def _draw_slots(
    p: Parameters, world: World, cumulative: NDArray[np.float64], n: int, rng: np.random.Generator
) -> Slots:
    row = np.repeat(np.arange(n), 1 + rng.poisson(p.per_row - 1, n))
    label = np.searchsorted(cumulative, rng.random(len(row)) * cumulative[-1], side="right")
    node = world.parents[label, rng.integers(0, p.parents, len(row))]
    return Slots(row, label, node, rng.random(len(row)) >= p.noise)


def _word_counts(
    world: World, slots: Slots, n: int, cumulative: NDArray[np.float64], rng: np.random.Generator
) -> sp.csr_matrix:
    """(n, features) word counts."""
    background = np.repeat(np.arange(n), rng.poisson(BACKGROUND_WORDS, n))
    rows = [np.repeat(slots.row, WORDS_PER_OWNER), np.repeat(slots.row[slots.shown], WORDS_PER_OWNER), background]
    words = [
        world.node_words[slots.node].ravel(),
        world.label_words[slots.label[slots.shown]].ravel(),
        np.searchsorted(cumulative, rng.random(len(background)) * cumulative[-1], side="right"),
    ]
    coordinates = (np.concatenate(rows), np.concatenate(words))
    ones = np.ones(len(coordinates[0]), np.float32)
    return sp.csr_matrix((ones, coordinates), shape=(n, len(cumulative)))  # sums duplicates and sorts


def _row_texts(counts: sp.csr_matrix) -> list[str]:
    """One text per row, in which each word is repeated by its count."""
    tokens = np.repeat(counts.indices, counts.data.astype(np.int64)).tolist()
    ends = np.add.reduceat(counts.data.astype(np.int64), counts.indptr[:-1]).cumsum().tolist()
    words = [f"w{i}" for i in range(counts.shape[1])]
    return [" ".join([words[t] for t in tokens[a:b]]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _label_texts(ids: Ints, n_words: int) -> Texts:
    words = [f"w{i}" for i in range(n_words)]
    return Texts.pack(" ".join([words[i] for i in row.tolist()]) for row in ids)
