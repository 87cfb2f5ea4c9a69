"""The dual encoder: one encoder for rows and labels, trained before the network and used to initialise it.

Its loss contrasts a row's labels with those of the whole batch and with the nearest wrong ones, so the encoder learns
more per epoch than from a shortlist, and it finds labels by their text. Sources: ANCE (Xiong et al., ICLR 2021), as in
`xmcbench.methods.ance`; SiameseXML (Dahiya et al., ICML 2021) for initialising label classifiers from embeddings of
label texts.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.dense.index import LabelIndex
from xmcbench.encoders.encoder import Encoder, Rows, embed, placed
from xmcbench.encoders.params import EncoderParams
from xmcbench.encoders.weights import Arrays, flat, grouped, put_weights, weights_of
from xmcbench.methods.ance import params as ance
from xmcbench.methods.ance.dual import DualEncoder, LabelSide, unit
from xmcbench.methods.ance.training import Training
from xmcbench.methods.helpers import spread
from xmcbench.topk import TopK
from xmcbench_elias.network.sharded import Shard
from xmcbench_elias.network.source import PreparedRows, Source, copied
from xmcbench_elias.params import Settled

EF = 200  # 1/64 of the labels that approximate search compares, from 200,000 labels on: the default of `ance`
DEAD = 1e-3  # mean |φ| below which label weights of 3 / |φ| would be far too large; trained encoders have above 1
SAMPLE = 2048  # rows over which |φ| is averaged
BLOCK = 1 << 14  # label embeddings handed over at a time
FINISH = 0.5  # factor on the learning rates in the final epochs over all rows: as in stage 2


@dataclass
class Dual:
    """A trained dual encoder.

    Attributes
    ----------
    encoder : φ. embeddings : (L, D) float32, unit φ(text) + a learned vector; empty in a loaded model, which has the
        index alone.
    known : (L,) bool, labels with a text or a training row; the others are never returned. Empty as `embeddings`.
    length : mean |φ| of training rows.
    index : built at the first search.
    """

    encoder: Encoder
    embeddings: NDArray[np.float32]
    known: NDArray[np.bool_]
    length: float
    index: LabelIndex | None = None

    def documents(self, rows: Rows, ctx: RunContext) -> NDArray[np.float32]:
        """(n, D) float32 unit embeddings."""
        placed(self.encoder, ctx.device)
        return unit(embed(self.encoder, rows, ctx.device, ctx.progress))

    def nearest(self, documents: NDArray[np.float32], k: int, ctx: RunContext) -> TopK:
        """The k labels of largest similarity; fewer where fewer are known."""
        return self.searched(ctx.device).search(documents, k, EF, ctx.device, ctx.progress)

    def searched(self, device: str) -> LabelIndex:
        """The index, which is built now if it was not yet."""
        if self.index is None:
            self.index = LabelIndex.of(self.embeddings, self.known, "auto", device)
        return self.index

    @classmethod
    def read(cls, encoder: Encoder, arrays: Arrays) -> Dual:
        """The dual encoder of a saved model: the arrays of its index, and `length`. Raises as `LabelIndex.read`."""
        nothing = np.empty((0, encoder.width), np.float32), np.empty(0, np.bool_)
        return cls(encoder, *nothing, float(arrays["length"]), LabelIndex.read(arrays, "auto"))

    def start(self, labels: slice = slice(None)) -> NDArray[np.float32]:
        """(m, D) float32 weights of `labels` for a network: 3 / m · e / |e|, m the mean |φ|; 0 for unknown labels.

        With the bias of −3 a row of mean length in the direction of its label starts at p = σ(0) = 1/2, and an
        orthogonal row at σ(−3), as with random initial weights. If the mean length is nearly 0, for example because
        most rows are empty, directions are meaningless and all weights are 0.
        """
        weights = unit(self.embeddings[labels]) * np.float32(3.0 / self.length if self.length > DEAD else 0.0)
        return np.where(self.known[labels, None], weights, np.float32(0))


def own_dual(dual: Dual | None, source: Source, shard: Shard) -> Dual:
    """The dual encoder of rank 0 with the labels of this process alone, for `start`."""
    ranks = shard.ranks

    def small() -> Arrays:
        assert dual is not None
        about = {"known": dual.known, "length": np.array(dual.length)}
        return flat({"rest": about, "encoder": weights_of(dual.encoder)})

    groups = grouped(ranks.arrays(small))
    if dual is None:
        encoder = source.new(torch.Generator())
        put_weights(encoder, groups["encoder"])
    else:
        encoder = dual.encoder
    own = np.empty((shard.size, encoder.width), np.float32)
    for start in range(0, shard.n_labels, BLOCK):  # rank 0's rows in blocks, since others hold their own alone
        stop = min(start + BLOCK, shard.n_labels)
        block = np.empty((stop - start, encoder.width), np.float32) if dual is None else dual.embeddings[start:stop]
        ranks.spread(torch.from_numpy(block))
        first = -(-(start - ranks.rank) // ranks.count)  # this process's first label of the block
        rows = block[first * ranks.count + ranks.rank - start :: ranks.count]
        own[first : first + len(rows)] = rows
    known, length = groups["rest"]["known"], float(groups["rest"]["length"])
    return Dual(encoder, own, shard.own(known), length)


def dual_params(params: Settled) -> ance.Settled:
    """Parameters of `ance` for the same encoder: its defaults, except width, dropout and epochs."""
    same = {field.name: getattr(params, field.name) for field in fields(EncoderParams)}
    return ance.settled(ance.AnceParams(**same, dropout=params.dropout, epochs=params.dual_epochs))


class DualTraining:
    """Trains one dual encoder, first on `train`, then for some epochs on all `rows`; resumes from checkpoints."""

    def __init__(
        self, source: Source, train: PreparedRows, rows: PreparedRows, params: Settled, ctx: RunContext
    ) -> None:
        self.train, self.rows, self.params, self.ctx = train, rows, dual_params(params), ctx
        generator = torch.Generator().manual_seed(ctx.seed("dual encoder"))
        encoder = source.new(generator)
        side = source.labels or LabelSide(None, np.full(train.data.n_labels, -1, np.int64))
        self.has_rows = np.bincount(rows.data.labels.indices, minlength=train.data.n_labels) > 0
        # A learned vector without positive rows would only be repelled, so a label without rows has only its text.
        self.model = DualEncoder(encoder, side, (side.place < 0) | self.has_rows, generator).to(ctx.device)

    def first(self) -> Dual:
        """Train on the rows without the validation rows."""
        has_rows = np.bincount(self.train.data.labels.indices, minlength=len(self.has_rows)) > 0
        return self._run("dual", self.train, has_rows, self.params)

    def finished(self, epochs: int) -> Dual:
        """Train for more epochs on all rows."""
        p = self.params
        params = replace(p, rate=FINISH * p.rate, table_rate=FINISH * p.table_rate, warm_up=0, epochs=epochs)
        return self._run("dual, all rows", self.rows, self.has_rows, params)

    def _run(self, name: str, rows: PreparedRows, has_rows: NDArray[np.bool_], params: ance.Settled) -> Dual:
        ctx = self.ctx.part(name.replace(", ", "-").replace(" ", "-"))
        Training(self.model, rows.rows, rows.data.labels, params, has_rows, ctx).run()
        embeddings = self.model.embed_labels(ctx.device, ctx.progress)
        phi = embed(self.model.encoder, rows.subset(spread(len(rows.rows), SAMPLE)).rows, ctx.device)
        known = has_rows | (self.model.labels.place >= 0)
        encoder = copied(self.model.encoder)  # a copy, since training may continue
        return Dual(encoder, embeddings, known, float(np.linalg.norm(phi, axis=1).mean()))
