"""The network over several processes: each has the weights of its labels and features; all else is the same in all.

Rank r of P has the labels r, r + P, r + 2 P, …, numbered 0, 1, 2, … in its model, so that frequent labels are spread
evenly and a lower number is a lower label. Each process has its labels' part of every row of the adjacency. The
features of a bag of words are divided in the same way.

All processes embed all rows of a batch. Each computes the cluster scores of its share of the rows, which all exchange,
and then the losses of its labels in all rows. What is added up where:

    forward     the loss, the normaliser of each row of the adjacency, and the vectors of a row's features
    backward    the gradients of embeddings, cluster classifier, cluster scores and normalisers
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmcbench.encoders.bow import Bag, BowEncoder
from xmcbench.encoders.encoder import Encoder
from xmcbench.encoders.weights import Arrays, weights_of
from xmcbench.growing import Spilling
from xmcbench.processes import Ranks
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.network.exchanges import log_entries, summed, summed_gradient
from xmcbench_elias.network.model import EMPTY, LABEL_BIAS, EliasModel

BLOCK = 1 << 14  # labels or features whose weights rank 0 receives and writes at a time
DRAWN = 1 << 14  # rows of initial weights drawn at a time: a multiple of 16 numbers, which torch draws together


@dataclass(frozen=True)
class Shard:
    """The labels of this process, of `n_labels` in all; or its features, of so many."""

    ranks: Ranks
    n_labels: int

    @property
    def size(self) -> int:
        """Number of labels of this process."""
        return self.size_of(self.ranks.rank)

    def size_of(self, rank: int) -> int:
        return len(range(rank, self.n_labels, self.ranks.count))

    def own(self, table: Any) -> Any:
        """The rows of this process's labels, of a table with a row for each label."""
        return table[self.ranks.rank :: self.ranks.count]

    def rows(self, n_rows: int) -> slice:
        """This process's share of the rows of a batch."""
        return self.rows_of(n_rows, self.ranks.rank)

    def rows_of(self, n_rows: int, rank: int) -> slice:
        return slice(n_rows * rank // self.ranks.count, n_rows * (rank + 1) // self.ranks.count)

    def global_ids(self, labels: Tensor) -> Tensor:
        """Labels from this model's numbers; `n_labels` or more at padding."""
        return labels * self.ranks.count + self.ranks.rank

    def batch(self, batch: Batch) -> Batch:
        """The same rows with this process's labels alone, by the numbers of its model."""
        is_own = batch.true_labels % self.ranks.count == self.ranks.rank
        counts = torch.cat([is_own.new_zeros(1, dtype=torch.int64), is_own.cumsum(0)])[batch.true_indptr]
        return Batch(batch.inputs, counts, batch.true_labels[is_own] // self.ranks.count)

    def columns(self, entries: NDArray[np.int64], rank: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The columns of each row of `entries` (C, width) that hold labels of a rank.

        Returns (C, width of that rank) int64: their positions, 0 at padding, and the labels by the numbers of that
        rank's model, padded with their number.
        """
        held = (entries < self.n_labels) & (entries % self.ranks.count == rank)
        width = max(1, int(held.sum(axis=1).max(initial=0)))
        order = np.argsort(~held, axis=1, kind="stable")[:, :width]
        kept = np.take_along_axis(held, order, 1)
        labels = np.take_along_axis(entries, order, 1) // self.ranks.count
        return np.where(kept, order, 0), np.where(kept, labels, self.size_of(rank))


class DividedBow(BowEncoder):
    """The bag of words with the vectors of this process's features; what each process sums of a row is added up."""

    def __init__(self, whole: BowEncoder, ranks: Ranks) -> None:
        torch.nn.Module.__init__(self)
        self.width, self.vocabulary, self.features = whole.width, whole.vocabulary, Shard(ranks, len(whole.embed))
        self.embed = torch.nn.Parameter(self.features.own(whole.embed.detach()).clone())
        self.embed_bias, self.mix, self.mix_bias = whole.embed_bias, whole.mix, whole.mix_bias

    def summed(self, batch: Bag) -> Tensor:
        """See `BowEncoder`, of all features."""
        ranks = self.features.ranks
        is_own = batch.indices % ranks.count == ranks.rank
        own = torch.where(is_own, batch.indices // ranks.count, self.features.size)  # others are padding
        return summed(super().summed(Bag(batch.indptr, own, batch.values)), ranks)


class ShardedModel(EliasModel):
    """The weights and the index of this process's labels; `n_labels`, `entries` and `adjacency` are those alone.

    Attributes
    ----------
    width : columns of the entries of all labels. lengths : (C, 1) number of entries of each row, of all labels.
    all_entries : the entries of all labels, in rank 0 alone.
    """

    def __init__(
        self,
        encoder: Encoder,
        entries: NDArray[np.int64],
        shard: Shard,
        alpha: float,
        share: float,
        generator: torch.Generator,
    ) -> None:
        """`entries` (C, width) of all labels, as of `EliasModel`."""
        self.shard = shard
        if isinstance(encoder, BowEncoder):
            encoder = DividedBow(encoder, shard.ranks)
        labels = torch.from_numpy(shard.columns(entries, shard.ranks.rank)[1])
        super().__init__(encoder, labels, shard.size, alpha, share, generator)
        self.register_buffer("lengths", torch.zeros(len(entries), 1, dtype=torch.int64), persistent=False)
        self.lengths: Tensor
        self._describe(entries)

    def _describe(self, entries: NDArray[np.int64]) -> None:
        """Keep what is needed of the entries (C, width) of all labels."""
        self.width = entries.shape[1]
        self.lengths.copy_(torch.from_numpy((entries < self.shard.n_labels).sum(axis=1, keepdims=True)))
        self.all_entries = entries if self.shard.ranks.rank == 0 else None

    def fresh_labels(self, generator: torch.Generator) -> None:
        """See `EliasModel`; the weights are those of one process, drawn block by block."""
        n_labels, width, count = self.shard.n_labels, self.label_weight.shape[1], self.shard.ranks.count
        at = 0
        with torch.no_grad():
            self.label_bias.fill_(LABEL_BIAS)
            for start in range(0, n_labels, DRAWN):
                # the end is drawn with the last block, as torch draws it
                stop = n_labels if n_labels - start < 2 * DRAWN else start + DRAWN
                block = torch.randn(stop - start, width, generator=generator)
                own = block[(self.shard.ranks.rank - start) % count :: count] * 0.02
                self.label_weight[at : at + len(own)] = own.to(self.label_weight.device)
                at += len(own)
                if stop == n_labels:
                    break

    def put_graph(self, entries: NDArray[np.int64], counts: NDArray[np.float32]) -> None:
        """See `EliasModel`; both arrays are of all labels."""
        columns, labels = self.shard.columns(entries, self.shard.ranks.rank)
        super().put_graph(labels, np.take_along_axis(counts, columns, 1))
        self._describe(entries)

    def cluster_logits(self, embedding: Tensor) -> Tensor:
        """(n, C) logits for a share of the rows; the classifier's gradient is that of all rows."""
        ranks = self.shard.ranks
        return embedding @ summed_gradient(self.cluster_weight, ranks).T + summed_gradient(self.cluster_bias, ranks)

    def log_entries(self) -> Tensor:
        """See `EliasModel`, for this process's labels."""
        if self.adjacency is None:
            return torch.where(self.filled, 0.0, EMPTY)
        log_beta = (self.share * self.lengths).clamp(min=1.0).log()
        return log_entries(self.adjacency, self.filled, log_beta, self.shard.ranks, EMPTY)

    def owners(self) -> Tensor:
        """See `EliasModel`, of all labels."""
        out = torch.zeros(self.shard.n_labels, dtype=torch.int64, device=self.entries.device)
        self.shard.own(out)[:] = super().owners()
        return self.shard.ranks.sum(out)

    def clamped_share(self) -> float:
        """See `EliasModel`, of all labels."""
        with torch.no_grad():
            values = self.log_entries()[self.filled]
        clamped = torch.tensor([float((values == 0).sum()), float(len(values))], dtype=torch.float64)
        total = self.shard.ranks.sum(clamped)
        return float(total[0] / total[1])

    def settle_replicas(self) -> None:
        """Give what is the same in all processes the weights of rank 0, from which other processors may deviate."""
        for name, weight in self.state_dict().items():
            if name not in self.divided() and name not in ("adjacency", "entries"):
                self.shard.ranks.spread(weight)

    def divided(self) -> dict[str, Shard]:
        """How the rows of each table are divided, by its name in the `state_dict`."""
        tables = {"label_weight": self.shard, "label_bias": self.shard}
        if isinstance(self.encoder, DividedBow):
            tables["encoder.embed"] = self.encoder.features
        return tables


def whole_weights(model: ShardedModel, folder: Path) -> Arrays | None:
    """The `state_dict` of the model of all labels in rank 0, mapped from files in `folder`; None in others."""
    ranks, entries, divided = model.shard.ranks, model.all_entries, model.divided()
    ranks.told()  # others wait here while rank 0 works alone
    weights = weights_of(model)
    if entries is None:
        for name in weights:
            if name == "adjacency":
                ranks.send(torch.from_numpy(weights[name]))
            elif name in divided:
                for part in _parts(weights[name], divided[name]):
                    ranks.send(torch.from_numpy(part))
        return None
    whole: Arrays = {}
    for name, mine in {**weights, "entries": entries}.items():
        blocks: Iterable[NDArray[Any]] = [mine]
        shape = mine.shape
        if name == "adjacency":
            blocks, shape = [_whole_adjacency(mine, entries, model.shard)], entries.shape
        elif name in divided:
            blocks, shape = _whole_blocks(mine, divided[name]), (divided[name].n_labels, *mine.shape[1:])
        table = Spilling(mine.dtype, 0, folder)
        for block in blocks:
            table.append(block.ravel())
        whole[name] = table.whole(mmap.ACCESS_COPY).reshape(shape)
    return whole


def _parts(table: NDArray[Any], shard: Shard) -> Iterator[NDArray[Any]]:
    """The rows that this process has in each block of `_whole_blocks`; none for a block in which it has no row."""
    step = max(1, BLOCK // shard.ranks.count)
    for start in range(0, shard.size, step):
        yield table[start : start + step]


def _whole_blocks(mine: NDArray[Any], shard: Shard) -> Iterator[NDArray[Any]]:
    """All rows of a divided table in blocks, of rank 0's part and those that the others send."""
    ranks, first = shard.ranks, 0
    for part in _parts(mine, shard):
        size = min(len(part) * ranks.count, shard.n_labels - first)
        block = np.empty((size, *mine.shape[1:]), mine.dtype)
        block[:: ranks.count] = part
        for sender in range(1, ranks.count):
            own = block[sender :: ranks.count]
            if len(own):
                own[:] = ranks.received(torch.from_numpy(np.empty_like(own)), sender).numpy()
        first += size
        yield block


def _whole_adjacency(mine: NDArray[Any], entries: NDArray[np.int64], shard: Shard) -> NDArray[Any]:
    """The adjacency (C, width) of all labels, of rank 0's part and those that the others send."""
    whole = np.zeros(entries.shape, mine.dtype)
    for sender in range(shard.ranks.count):
        columns, labels = shard.columns(entries, sender)
        rows, places = np.nonzero(labels < shard.size_of(sender))
        part = mine if sender == 0 else shard.ranks.received(torch.empty(columns.shape), sender).numpy()
        whole[rows, columns[rows, places]] = part[rows, places]
    return whole
