"""The dual encoder: rows and labels through one encoder, trained before the network, which starts from it.

Its loss tells a row's labels from those of the whole batch and from the nearest wrong ones, so it teaches the encoder
more an epoch than a shortlist does, and it finds labels by their text. Source: ANCE (Xiong et al., ICLR 2021), as in
`xmcbench.dense`; that label classifiers start from embeddings of label texts: SiameseXML (Dahiya et al., ICML 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.dense.index import LabelIndex
from xmcbench.encoders.encoder import Encoder, Rows, embed
from xmcbench.encoders.params import EncoderParams
from xmcbench.methods.ance.dual import DualEncoder, LabelSide, unit
from xmcbench.methods.ance.params import AnceParams
from xmcbench.methods.ance.params import settled as settled_dual
from xmcbench.methods.ance.training import Training
from xmcbench.topk import TopK
from xmcbench_elias.source import copied

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench_elias.params import Settled
    from xmcbench_elias.source import Ready, Source

EF = 200  # labels that a graph search among 200,000 and more keeps on its way: the default of `ance`
DEAD = 1e-3  # mean |φ| below which label weights of 3 / |φ| would outgrow everything else; trained ones have above 1
FINISH = 0.5  # learning rates of the epochs over all rows, over those before: as in stage 2


@dataclass
class Dual:
    """A trained dual encoder.

    Attributes
    ----------
    encoder : φ. embeddings : (L, D) float32, unit φ(text) + a learned vector.
    known : (L,) bool, labels with a text or a training row; others are never found.
    length : mean |φ| of training rows.
    index : made at the first search, not for a model that is only started from.
    """

    encoder: Encoder
    embeddings: NDArray[np.float32]
    known: NDArray[np.bool_]
    length: float
    index: LabelIndex | None = None

    def documents(self, rows: Rows, ctx: RunContext) -> NDArray[np.float32]:
        """(n, D) float32 embeddings of length one."""
        self.encoder.to(ctx.device)
        self.encoder.progress = ctx.progress  # that of fitting is over
        return unit(embed(self.encoder, rows, ctx.device, ctx.progress))

    def nearest(self, documents: NDArray[np.float32], k: int, ctx: RunContext) -> TopK:
        """The k labels of largest similarity; fewer where fewer are known."""
        if self.index is None:
            self.index = LabelIndex(self.embeddings, self.known, "auto", ctx.device)
        return self.index.search(documents, k, EF, ctx.device, ctx.progress)

    def start(self) -> NDArray[np.float32]:
        """(L, D) float32 label weights for a network: 3 / m · e / |e|, m the usual |φ|; 0 for labels it doesn't know.

        With the bias of −3 a row in the direction of its label, and of usual length, starts at p = σ(0) = 1/2, and one
        at right angles to it at σ(−3), as all do under fresh weights. An encoder that gives (nearly) nothing for the
        usual row, of which many may be empty, tells no direction: all weights are 0 then.
        """
        weights = unit(self.embeddings) * np.float32(3.0 / self.length if self.length > DEAD else 0.0)
        return np.where(self.known[:, None], weights, np.float32(0))


def dual_params(params: Settled) -> Any:
    """Settings of `ance` for the same encoder: its own defaults but for width, dropout and epochs."""
    same = {field.name: getattr(params, field.name) for field in fields(EncoderParams)}
    return settled_dual(AnceParams(**same, dropout=params.dropout, epochs=params.dual_epochs))


class DualTraining:
    """Trains one dual encoder, first on `train`, then some epochs on all `rows`; goes on from its checkpoints."""

    def __init__(self, source: Source, train: Ready, rows: Ready, params: Settled, ctx: RunContext) -> None:
        self.train, self.rows, self.params, self.ctx = train, rows, dual_params(params), ctx
        generator = torch.Generator().manual_seed(ctx.seed("dual encoder"))
        encoder = source.new(generator)
        side = source.labels or LabelSide(None, np.full(train.data.n_labels, -1, np.int64))
        self.seen = np.bincount(rows.data.labels.indices, minlength=train.data.n_labels) > 0
        # A vector that no row pulls would only be pushed, so a label nobody has is its text alone.
        self.model = DualEncoder(encoder, side, (side.place < 0) | self.seen, generator).to(ctx.device)

    def first(self) -> Dual:
        """On the rows that validation rows are no part of."""
        seen = np.bincount(self.train.data.labels.indices, minlength=len(self.seen)) > 0
        return self._run("dual", self.train, seen, self.params)

    def finished(self, epochs: int) -> Dual:
        """After so many epochs more, on all rows."""
        p = self.params
        rates = {"rate": FINISH * p.rate, "table_rate": FINISH * p.table_rate, "warm_up": 0, "epochs": epochs}
        return self._run("dual, all rows", self.rows, self.seen, replace(p, **rates))

    def _run(self, name: str, rows: Ready, seen: NDArray[np.bool_], params: Any) -> Dual:
        ctx = replace(self.ctx, folder=self.ctx.folder / name.replace(", ", "-").replace(" ", "-"))
        Training(self.model, rows.rows, rows.data.labels, params, seen, ctx).run()
        embeddings = self.model.embed_labels(ctx.device, ctx.progress)
        some = np.unique(np.linspace(0, len(rows.rows) - 1, min(len(rows.rows), 2048)).astype(np.int64))
        phi = embed(self.model.encoder, rows.some(some).rows, ctx.device)
        known = seen | (self.model.labels.place >= 0)
        encoder = copied(self.model.encoder)  # training may go on
        return Dual(encoder, embeddings, known, float(np.linalg.norm(phi, axis=1).mean()))
