"""All of ELIAS as it is saved and predicts: one or more networks, their ranker, dual encoder and final ranking."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.context import Reporter, RunContext
from xmcbench.encoders.encoder import Rows
from xmcbench.sparse.topk import best_of
from xmcbench.topk import PAD, TopK
from xmcbench_elias.calibration import Calibration
from xmcbench_elias.dual import Dual
from xmcbench_elias.fusion import NAMED, Candidates, Fusion
from xmcbench_elias.linear import TREES, Linear
from xmcbench_elias.model import EliasModel
from xmcbench_elias.predict import predict
from xmcbench_elias.searcher import Searcher
from xmcbench_elias.source import Source

if TYPE_CHECKING:
    from xmcbench.method import Inputs

ROWS = 1024  # ranked at a time: what all parts say of their candidates takes some hundred megabytes


@dataclass
class Whole:
    """What is saved and predicts.

    Attributes
    ----------
    models : one, or several whose scores are averaged.
    first : the first of them as it was before the graph.
    fusion : None where the network has nothing beside it.
    seen : (L,) float32 rows of each label in train.
    source : where the models' encoders came from.
    """

    models: list[EliasModel]
    first: EliasModel
    linear: Linear
    dual: Dual | None
    fusion: Fusion | None
    calibration: Calibration | None
    seen: NDArray[np.float32]
    source: Source
    searchers: dict[int, Searcher] = field(default_factory=dict)  # by id of a model; made once, not once a query
    read: tuple[Inputs, Rows] | None = None  # what was last made ready: a report asks for the same rows again and again

    def parts(self) -> tuple[str, ...]:
        """What the final ranking is made of."""
        return ("model", *self.linear.methods, *(["dual"] if self.dual is not None else []))

    def predict(self, inputs: Inputs, k: int, shortlist: int, beam: int, output: str, ctx: RunContext) -> TopK:
        """The k best labels of each row by the chosen `output`, see `EliasParams.output`, of a shortlist.

        Outputs that were not trained are the network's.
        """
        if output == "final" and self.fusion is not None:
            return self._final(inputs, k, shortlist, beam, ctx)
        if output == "ranker" and self.linear.methods:
            kinds = self.linear.methods
            return self.linear.predict(TREES if TREES in kinds else next(iter(kinds)), inputs, k, ctx)
        rows = self._rows(inputs, ctx)
        if output == "dual" and self.dual is not None:
            return self.dual.nearest(self.dual.documents(rows, ctx), k, ctx)
        if output == "stage1":
            return self._shown(self.first, rows, k, shortlist, beam, ctx)
        return self._network(rows, k, shortlist, beam, ctx)

    def _final(self, inputs: Inputs, k: int, shortlist: int, beam: int, ctx: RunContext) -> TopK:
        assert self.fusion is not None
        found = []
        quiet = ctx if inputs.n_rows <= ROWS else replace(ctx, reporter=Reporter())
        for start in range(0, max(inputs.n_rows, 1), ROWS):
            part = inputs if inputs.n_rows <= ROWS else inputs.rows(slice(start, start + ROWS))
            given = self.candidates(self.tops(part, self._rows(part, quiet), shortlist, beam, quiet, max(NAMED, k)))
            if self.calibration is None:
                found.append(self.fusion(given, self.seen, k))
            else:
                found.append(Fusion.ranked(given, self.calibration.score(given, self.seen), k))
            ctx.progress(min(start + ROWS, inputs.n_rows), max(inputs.n_rows, 1))
        return _stacked(found)

    def tops(
        self, inputs: Inputs, rows: Rows, shortlist: int, beam: int, ctx: RunContext, named: int = NAMED
    ) -> dict[str, TopK]:
        """What each part names for rows, `rows` being the same as `inputs` made ready for the encoder."""
        tops = {"model": self._network(rows, named, shortlist, beam, ctx)}
        tops |= {kind: self.linear.predict(kind, inputs, named, ctx) for kind in self.linear.methods}
        if self.dual is not None:
            tops["dual"] = self.dual.nearest(self.dual.documents(rows, ctx), named, ctx)
        return tops

    @staticmethod
    def candidates(tops: dict[str, TopK]) -> Candidates:
        """Of what the parts name."""
        return Candidates.of(tops)

    def _rows(self, inputs: Inputs, ctx: RunContext) -> Rows:
        """Made ready for the encoders, which all read alike."""
        encoder = self.first.to(ctx.device).encoder
        encoder.progress = ctx.progress  # that of fitting is over
        if self.read is None or self.read[0] is not inputs:
            self.read = inputs, encoder.rows(inputs)
        return self.read[1]

    def _network(self, rows: Rows, k: int, shortlist: int, beam: int, ctx: RunContext) -> TopK:
        """One model's k best, or those of largest mean score among the k of each of several."""
        if len(self.models) == 1:
            return self._shown(self.models[0], rows, k, shortlist, beam, ctx)
        named = max(k, NAMED)
        top = average([self._shown(model, rows, named, shortlist, beam, ctx) for model in self.models])
        return best_of(top.ids, top.scores, k)

    def _shown(self, model: EliasModel, rows: Rows, k: int, shortlist: int, beam: int, ctx: RunContext) -> TopK:
        return predict(model.to(ctx.device), rows, k, beam, shortlist, ctx, self._searcher(model, ctx))

    def _searcher(self, model: EliasModel, ctx: RunContext) -> Searcher | None:
        """The model's, on a CPU; weights of a `Whole` do not change any more."""
        if ctx.device != "cpu":
            return None
        if id(model) not in self.searchers:
            self.searchers[id(model)] = Searcher(model)
        return self.searchers[id(model)]


def average(tops: list[TopK]) -> TopK:
    """Mean scores over several models, a label one of them does not show counting 0 there; columns in no order."""
    if len(tops) == 1:
        return tops[0]
    ids = np.concatenate([top.ids for top in tops], axis=1)
    scores = np.concatenate([np.where(top.ids == PAD, 0, top.scores) for top in tops], axis=1) / len(tops)
    order = np.argsort(ids, axis=1, kind="stable")
    ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
    total = scores.copy()
    for step in range(1, len(tops)):
        total[:, :-step] += np.where(ids[:, step:] == ids[:, :-step], scores[:, step:], 0)
    again = np.zeros(ids.shape, bool)
    again[:, 1:] = ids[:, 1:] == ids[:, :-1]
    ids = np.where(again, PAD, ids)
    return TopK(ids, np.where(ids == PAD, -np.inf, total).astype(np.float32))


def _stacked(tops: list[TopK]) -> TopK:
    """Rows one below the other, each as wide as the widest."""
    width = max(top.ids.shape[1] for top in tops)
    ids = [np.pad(top.ids, ((0, 0), (0, width - top.ids.shape[1])), constant_values=PAD) for top in tops]
    scores = [np.pad(top.scores, ((0, 0), (0, width - top.ids.shape[1])), constant_values=-np.inf) for top in tops]
    return TopK(np.concatenate(ids), np.concatenate(scores))
