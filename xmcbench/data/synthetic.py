"""Data of any size from a seed, with a planted graph of labels and a best reachable score that is known.

The generative model, for one row:

1. The world: L labels in Zipf frequency, q(l) ∝ 1 / rank. Each label has `parents` parents out of ⌈L / branching⌉
   nodes, uniformly. Every label and every node owns `WORDS` words (feature ids, drawn with replacement from all).
2. A row has 1 + Poisson(per_row − 1) slots. Each draws a label from q and one of its parents, uniformly.
3. Each slot writes its parent's words into the row. With probability 1 − noise it writes its label's words as well;
   otherwise the label is hidden and only its parent can be told.
4. Poisson(BACKGROUND) words of Zipf frequency belong to nobody. A feature is the count of its word; rows have length 1.
5. The row's labels are those of its slots, hidden or not; a label drawn twice counts once.

Who knows the world and can tell the slots of a row apart knows the shown labels for certain; a hidden one is child l
of the node p with probability q(l) / Σ q over p's children, independently of the other slots. That gives
P(l is true | row) for every label, and the best expected P@k is the mean over rows of the k largest of them, divided
by k. A method sees words, not slots, so this is a ceiling; it is nearly reached where `features` is large enough that
words rarely clash.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.data.recipes import Parsed
from xmcbench.data.spec import Split
from xmcbench.data.texts import Texts
from xmcbench.errors import UsageError, unknown

if TYPE_CHECKING:
    import scipy.sparse as sp

VERSION = 1  # of the model: raise it when the same parameters give other rows
WORDS = 4  # a label or node is told from others by so many words
BACKGROUND = 5.0  # words that mean nothing, a row
CHUNK = 1 << 16  # rows made at a time, each chunk from a seed of its own
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Parameters:
    """Sizes of a synthetic data set; the defaults (ours) train in about a minute."""

    rows: int = 10_000  # of train
    test: int = 2_000  # rows
    labels: int = 2_000
    features: int = 5_000  # words
    per_row: float = 3.0  # label slots a row, on average
    parents: int = 2  # of each label
    branching: int = 20  # labels for each node; a node has branching × parents children
    noise: float = 0.3  # share of slots that show their parent only
    seed: int = 0

    def __post_init__(self) -> None:
        low = {"rows": 1, "test": 1, "labels": 2, "features": 1, "per_row": 1, "parents": 1, "branching": 1, "seed": 0}
        wrong = [f"{name}={getattr(self, name)}: at least {least}" for name, least in low.items()
                 if not getattr(self, name) >= least]  # fmt: skip
        if not 0 <= self.noise <= 1:
            wrong.append(f"noise={self.noise}: between 0 and 1")
        if self.parents > self.nodes:
            wrong.append(
                f"parents={self.parents}: {self.labels} labels at branching {self.branching} have {self.nodes}"
            )
        if max(self.rows, self.test, self.labels, self.features, self.per_row) >= 2**31:
            wrong.append("sizes stay below 2³¹")
        if wrong:
            raise UsageError(f"synthetic: {'; '.join(wrong)}")

    @property
    def nodes(self) -> int:
        return -(-self.labels // self.branching)

    @property
    def name(self) -> str:
        """ "synthetic", or "synthetic[labels=…,…]" with what differs from the defaults, in one order."""
        default = {f.name: f.default for f in dataclasses.fields(self)}
        said = [(key, value) for key, value in dataclasses.asdict(self).items() if value != default[key]]
        return "synthetic" + (f"[{','.join(f'{key}={value}' for key, value in said)}]" if said else "")


def parameters(name: str) -> Parameters:
    """Read "synthetic" or "synthetic[labels=100000,rows=50000]".

    Raises
    ------
    UsageError : not of that form, an unknown key, a value that is no number or out of range.
    """
    found = re.fullmatch(r"\s*synthetic\s*(?:\[(.*)\])?\s*", name, re.IGNORECASE)
    if found is None:
        raise UsageError(f"{name!r} is no synthetic data set", 'Write "synthetic[labels=100000,rows=50000,seed=1]".')
    kinds = {key: type(value) for key, value in dataclasses.asdict(Parameters()).items()}
    values: dict[str, Any] = {}
    for part in (found[1] or "").split(",") if (found[1] or "").strip() else []:
        key, _, text = (word.strip() for word in part.partition("="))
        if key not in kinds:
            raise unknown("parameter of synthetic", key, kinds)
        if key in values:
            raise UsageError(f"{name!r}: {key} stands twice")
        try:
            values[key] = kinds[key](text)
        except ValueError:
            raise UsageError(f"{name!r}: {key}={text!r} is no {kinds[key].__name__}") from None
    return Parameters(**values)


@dataclass(frozen=True)
class World:
    """What all rows of one seed share.

    Attributes
    ----------
    frequency : (L,) float64, the label distribution q, sums to 1.
    parents : (L, parents) int64 node ids, distinct in a row.
    label_words : (L, WORDS) and node_words : (nodes, WORDS) int64 feature ids.
    """

    frequency: NDArray[np.float64]
    parents: Ints
    label_words: Ints
    node_words: Ints


@dataclass(frozen=True)
class Slots:
    """The hidden truth of some rows: slot i of row `row[i]` has `label[i]` and shows it, or its `node[i]` only."""

    row: Ints
    label: Ints
    node: Ints
    shown: NDArray[np.bool_]


def make(p: Parameters) -> Parsed:
    """Both splits, label texts (a label's words and its parents' words), and the ceiling in `extra`."""
    from xmcbench.data.ceiling import best_precision

    world = make_world(p)
    train, _ = _split(p, world, p.rows, 1)
    test, slots = _split(p, world, p.test, 2)
    own = np.hstack([world.label_words, world.node_words[world.parents].reshape(p.labels, -1)])
    best = best_precision(world, slots, p.test)
    extra = {
        "parameters": dataclasses.asdict(p),
        "best_reachable": {
            **best,
            "meaning": "expected P@k on these test rows of a predictor that knows the generating model and tells "
            "the label slots of a row apart; no method can expect more",
        },
    }
    return Parsed(train, test, label_texts=_spell(own, p.features), extra=extra)


def make_world(p: Parameters) -> World:
    """Label frequencies, parents and words."""
    rng = np.random.default_rng([p.seed, 0])
    frequency = 1.0 / (1.0 + rng.permutation(p.labels))
    parents = rng.integers(0, p.nodes, (p.labels, p.parents))
    while True:  # parents are distinct: draw again where they aren't
        ordered = np.sort(parents, axis=1)
        again = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
        if len(again) == 0:
            break
        parents[again] = rng.integers(0, p.nodes, (len(again), p.parents))
    label_words = rng.integers(0, p.features, (p.labels, WORDS))
    return World(frequency / frequency.sum(), parents, label_words, rng.integers(0, p.features, (p.nodes, WORDS)))


def _split(p: Parameters, world: World, n: int, which: int) -> tuple[Split, Slots]:
    """n rows made chunk by chunk; `which` sets the seed of train (1) and test (2) apart."""
    import scipy.sparse as sp

    label_steps, word_steps = np.cumsum(world.frequency), np.cumsum(1.0 / np.arange(1, p.features + 1))
    features, labels, texts, slots = [], [], [], []
    for start in range(0, n, CHUNK):
        rng = np.random.default_rng([p.seed, which, start // CHUNK])
        here = min(CHUNK, n - start)
        drawn = _draw_slots(p, world, label_steps, here, rng)
        counts = _words(world, drawn, here, word_steps, rng)
        texts.append(_spell_counts(counts))
        length = np.sqrt(np.add.reduceat(counts.data.astype(np.float64) ** 2, counts.indptr[:-1]))
        counts.data /= np.repeat(length, np.diff(counts.indptr)).astype(np.float32)
        features.append(counts)
        labels.append(_ones(drawn.row, drawn.label, (here, p.labels)))
        slots.append(dataclasses.replace(drawn, row=drawn.row + start))
    together = Slots(*(np.concatenate([getattr(s, f.name) for s in slots]) for f in dataclasses.fields(Slots)))
    rows = Split(sp.vstack(features, "csr"), [t for part in texts for t in part], sp.vstack(labels, "csr"))
    return rows, together


def _draw_slots(p: Parameters, world: World, steps: NDArray[np.float64], n: int, rng: np.random.Generator) -> Slots:
    row = np.repeat(np.arange(n), 1 + rng.poisson(p.per_row - 1, n))
    label = np.searchsorted(steps, rng.random(len(row)) * steps[-1], side="right")
    node = world.parents[label, rng.integers(0, p.parents, len(row))]
    return Slots(row, label, node, rng.random(len(row)) >= p.noise)


def _words(world: World, slots: Slots, n: int, steps: NDArray[np.float64], rng: np.random.Generator) -> sp.csr_matrix:
    """(n, features) word counts."""
    import scipy.sparse as sp

    background = np.repeat(np.arange(n), rng.poisson(BACKGROUND, n))
    rows = [np.repeat(slots.row, WORDS), np.repeat(slots.row[slots.shown], WORDS), background]
    words = [
        world.node_words[slots.node].ravel(),
        world.label_words[slots.label[slots.shown]].ravel(),
        np.searchsorted(steps, rng.random(len(background)) * steps[-1], side="right"),
    ]
    at = (np.concatenate(rows), np.concatenate(words))
    return sp.csr_matrix((np.ones(len(at[0]), np.float32), at), shape=(n, len(steps)))  # sums, and sorts on the way


def _ones(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sp.csr_matrix:
    import scipy.sparse as sp

    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.data[:] = 1
    return matrix


def _spell_counts(counts: sp.csr_matrix) -> list[str]:
    """Each row as text, a word as often as it counts."""
    tokens = np.repeat(counts.indices, counts.data.astype(np.int64)).tolist()
    ends = np.add.reduceat(counts.data.astype(np.int64), counts.indptr[:-1]).cumsum().tolist()
    words = [f"w{i}" for i in range(counts.shape[1])]
    return [" ".join([words[t] for t in tokens[a:b]]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _spell(ids: Ints, n_words: int) -> Texts:
    words = [f"w{i}" for i in range(n_words)]
    return Texts.pack(" ".join([words[i] for i in row.tolist()]) for row in ids)
