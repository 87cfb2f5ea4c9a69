"""The network over several processes: each has the weights of its labels; encoder and clusters are the same in all.

Rank r of P has the labels r, r + P, r + 2 P, …, numbered 0, 1, 2, … in its model, so that frequent labels are spread
evenly and a lower number is a lower label. Each process has its labels' part of every row of the adjacency.

All processes embed all rows of a batch. Each computes the cluster scores of its share of the rows, which all exchange,
and then the losses of its labels in all rows. What is added up where:

    forward     the loss, and the normaliser of each row of the adjacency
    backward    the gradients of embeddings, cluster classifier, cluster scores and normalisers
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmcbench.encoders.encoder import Encoder
from xmcbench.encoders.weights import Arrays
from xmcbench.processes import Ranks
from xmcbench.scratch import ScratchFile
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.network.model import EMPTY, LABEL_BIAS, EliasModel

DIVIDED = ("label_weight", "label_bias", "adjacency")  # names of weights of labels
BLOCK = 1 << 14  # labels whose weights rank 0 receives and writes at a time
DRAWN = 1 << 14  # rows of initial weights drawn at a time: a multiple of 16 numbers, which torch draws together


@dataclass(frozen=True)
class Shard:
    """The labels of this process, of `n_labels` in all."""

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
        return slice(n_rows * self.ranks.rank // self.ranks.count, n_rows * (self.ranks.rank + 1) // self.ranks.count)

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
        logits = torch.where(self.filled, self.adjacency, EMPTY)
        beta = (self.share * self.lengths).clamp(min=1.0)
        total: Tensor = _LogSumExp.apply(logits.logsumexp(dim=1, keepdim=True), self.shard.ranks)  # type: ignore[no-untyped-call]
        return torch.where(self.filled, (logits - total + beta.log()).clamp(max=0), EMPTY)

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
        """Give encoder and clusters of all processes the weights of rank 0, from which other processors may deviate."""
        for weight in (*self.encoder.state_dict().values(), self.cluster_weight.data, self.cluster_bias.data):
            self.shard.ranks.spread(weight)


def whole_weights(weights: Arrays, entries: NDArray[np.int64] | None, shard: Shard, folder: Path) -> Arrays | None:
    """The `state_dict` of the model of all labels in rank 0, mapped from a scratch file in `folder`; None in others.

    weights : of this process's model. entries : those of all labels (C, width); None in ranks above 0.
    """
    ranks = shard.ranks
    ranks.told()  # others wait here while rank 0 works alone
    if entries is None:
        for name in weights:
            if name == "adjacency":
                ranks.send(torch.from_numpy(weights[name]))
            elif name in DIVIDED:
                for part in _parts(weights[name], shard, ranks.rank):
                    ranks.send(torch.from_numpy(part))
        return None
    file, whole = ScratchFile(folder), {}
    for name, mine in {**weights, "entries": entries}.items():
        blocks: Iterable[NDArray[Any]] = [mine]
        shape = mine.shape
        if name == "adjacency":
            blocks, shape = [_whole_adjacency(mine, entries, shard)], entries.shape
        elif name in DIVIDED:
            blocks, shape = _whole_blocks(mine, shard), (shard.n_labels, *mine.shape[1:])
        whole[name] = file.put(blocks, shape, mine.dtype)
    return whole


def _parts(table: NDArray[Any], shard: Shard, rank: int) -> Iterator[NDArray[Any]]:
    """The rows that a rank has in each block of `_whole_blocks`, but none that are empty."""
    step = max(1, BLOCK // shard.ranks.count)
    for start in range(0, shard.size_of(rank), step):
        yield table[start : start + step]


def _whole_blocks(mine: NDArray[Any], shard: Shard) -> Iterator[NDArray[Any]]:
    """The rows of all labels, of rank 0's part of a table and those that the others send, in blocks."""
    ranks, step = shard.ranks, max(1, BLOCK // shard.ranks.count)
    for start, part in zip(range(0, shard.size, step), _parts(mine, shard, 0), strict=True):
        labels = range(start * ranks.count, min((start + step) * ranks.count, shard.n_labels))
        block = np.empty((len(labels), *mine.shape[1:]), mine.dtype)
        block[:: ranks.count] = part
        for sender in range(1, ranks.count):
            own = block[sender :: ranks.count]
            if len(own):
                own[:] = ranks.received(torch.from_numpy(np.empty_like(own)), sender).numpy()
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


def summed_gradient(tensor: Tensor, ranks: Ranks) -> Tensor:
    """The same tensor, equal in all processes, of which each uses a part; its gradient is the sum of theirs."""
    out: Tensor = _SummedGradient.apply(tensor, ranks)  # type: ignore[no-untyped-call]
    return out


def summed(tensor: Tensor, ranks: Ranks) -> Tensor:
    """The sum over all processes; each continues with the gradient of its own term."""
    out: Tensor = _Summed.apply(tensor, ranks)  # type: ignore[no-untyped-call]
    return out


def all_rows(part: Tensor, rows: slice, n_rows: int, ranks: Ranks) -> Tensor:
    """(n, …) the rows of all processes, from each one's share; the gradient of a share is summed over processes."""
    out: Tensor = _AllRows.apply(part, rows, n_rows, ranks)  # type: ignore[no-untyped-call]
    return out


class _SummedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.ranks.sum(gradient.contiguous().clone()), None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, ranks: Ranks) -> Tensor:
        return ranks.sum(tensor.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, None


class _AllRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, rows: slice, n_rows: int, ranks: Ranks) -> Tensor:
        ctx.rows, ctx.ranks = rows, ranks
        out = part.new_zeros(n_rows, *part.shape[1:])
        out[rows] = part
        return ranks.sum(out)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.ranks.sum(gradient.contiguous().clone())[ctx.rows], None, None, None


class _LogSumExp(torch.autograd.Function):
    """log Σ exp over processes of (C, 1) logarithms."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Ranks) -> Tensor:
        largest = ranks.largest(part.clone())
        total = largest + ranks.sum((part - largest).exp()).log()
        ctx.ranks = ranks
        ctx.save_for_backward((part - total).exp())
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (share,) = ctx.saved_tensors
        return ctx.ranks.sum(gradient.contiguous().clone()) * share, None
