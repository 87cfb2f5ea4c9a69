"""A fitted ELIAS: one or more networks, their ranker, dual encoder and final ranking."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from xmcbench.context import Reporter, RunContext
from xmcbench.encoders.encoder import Rows, placed
from xmcbench.method import Inputs
from xmcbench.sparse.topk import best_of
from xmcbench.topk import PAD, TopK
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.source import Source
from xmcbench_elias.ranking.fusion import NAMED, Calibration, Candidates, Fusion
from xmcbench_elias.ranking.linear import TREES, Linear
from xmcbench_elias.search.predict import predict
from xmcbench_elias.search.searcher import Searcher
from xmcbench_elias.training.dual import Dual

ROWS = 1024  # rows ranked at a time: the scores of all candidates take some hundred megabytes


@dataclass
class FittedModel:
    """Everything that is saved and used to predict.

    Attributes
    ----------
    models : one network, or several whose scores are averaged.
    first : the first of them as it was before the graph.
    fusion : None if the network is the only part.
    label_counts : (L,) float32 training rows of each label.
    source : source of the models' encoders.
    searchers : id of a model → its searcher, built once.
    prepared : the last inputs and their prepared rows: a report predicts for the same rows many times.
    """

    models: list[EliasModel]
    first: EliasModel
    linear: Linear
    dual: Dual | None
    fusion: Fusion | None
    calibration: Calibration | None
    label_counts: NDArray[np.float32]
    source: Source
    searchers: dict[int, Searcher] = field(default_factory=dict)
    prepared: tuple[Inputs, Rows] | None = None

    def parts(self) -> tuple[str, ...]:
        """Names of the parts of the final ranking."""
        return ("model", *self.linear.methods, *(["dual"] if self.dual is not None else []))

    def predict(self, inputs: Inputs, k: int, shortlist: int, beam: int, output: str, ctx: RunContext) -> TopK:
        """The k best labels of each row by the chosen `output`, see `EliasParams.output`.

        If the part of an output was not trained, the network's output is used.
        """
        if output == "final" and self.fusion is not None:
            return self._final(inputs, k, shortlist, beam, ctx)
        if output == "ranker" and self.linear.methods:
            methods = self.linear.methods
            return self.linear.predict(TREES if TREES in methods else next(iter(methods)), inputs, k, ctx)
        rows = self.rows(inputs, ctx)
        if output == "dual" and self.dual is not None:
            return self.dual.nearest(self.dual.documents(rows, ctx), k, ctx)
        if output == "stage1":
            return self._predict_one(self.first, rows, k, shortlist, beam, ctx)
        return self._predict_networks(rows, k, shortlist, beam, ctx)

    def _final(self, inputs: Inputs, k: int, shortlist: int, beam: int, ctx: RunContext) -> TopK:
        assert self.fusion is not None
        tops = []
        quiet = ctx if inputs.n_rows <= ROWS else replace(ctx, reporter=Reporter())
        for start in range(0, max(inputs.n_rows, 1), ROWS):
            part = inputs if inputs.n_rows <= ROWS else inputs.rows(slice(start, start + ROWS))
            by_part = self.tops(part, self.rows(part, quiet), shortlist, beam, quiet, max(NAMED, k))
            candidates = Candidates.of(by_part)
            tops.append(self.final_of(candidates, k))
            ctx.progress(min(start + ROWS, inputs.n_rows), max(inputs.n_rows, 1))
        return _stacked(tops)

    def final_of(self, candidates: Candidates, k: int) -> TopK:
        """The k best candidates of each row by the final score; needs `fusion`."""
        assert self.fusion is not None
        if self.calibration is None:
            return self.fusion(candidates, self.label_counts, k)
        return Fusion.ranked(candidates, self.calibration.score(candidates, self.label_counts), k)

    def tops(
        self, inputs: Inputs, rows: Rows, shortlist: int, beam: int, ctx: RunContext, depth: int = NAMED
    ) -> dict[str, TopK]:
        """The best `depth` labels of each part; `rows` are `inputs` prepared for the encoder."""
        tops = {"model": self._predict_networks(rows, depth, shortlist, beam, ctx)}
        tops |= {kind: self.linear.predict(kind, inputs, depth, ctx) for kind in self.linear.methods}
        if self.dual is not None:
            tops["dual"] = self.dual.nearest(self.dual.documents(rows, ctx), depth, ctx)
        return tops

    def rows(self, inputs: Inputs, ctx: RunContext) -> Rows:
        """`inputs` prepared for the encoders, which all read rows in the same way."""
        encoder = placed(self.first, ctx.device).encoder
        if self.prepared is None or self.prepared[0] is not inputs:
            self.prepared = inputs, encoder.rows(inputs, ctx.progress)
        return self.prepared[1]

    def _predict_networks(self, rows: Rows, k: int, shortlist: int, beam: int, ctx: RunContext) -> TopK:
        """The k best labels of one model, or by the mean score of several models."""
        if len(self.models) == 1:
            return self._predict_one(self.models[0], rows, k, shortlist, beam, ctx)
        depth = max(k, NAMED)
        top = average([self._predict_one(model, rows, depth, shortlist, beam, ctx) for model in self.models])
        return best_of(top.ids, top.scores, k)

    def _predict_one(self, model: EliasModel, rows: Rows, k: int, shortlist: int, beam: int, ctx: RunContext) -> TopK:
        """The k best labels of one model; its searcher on a CPU is built once, since its weights do not change."""
        placed(model, ctx.device)
        if ctx.device == "cpu" and id(model) not in self.searchers:
            self.searchers[id(model)] = Searcher(model)
        searcher = self.searchers[id(model)] if ctx.device == "cpu" else None
        return predict(model, rows, k, beam, shortlist, ctx, searcher)


def average(tops: list[TopK]) -> TopK:
    """Mean scores over several models; a label missing in one has score 0 there. Columns are not sorted."""
    if len(tops) == 1:
        return tops[0]
    ids = np.concatenate([top.ids for top in tops], axis=1)
    scores = np.concatenate([np.where(top.ids == PAD, 0, top.scores) for top in tops], axis=1) / len(tops)
    order = np.argsort(ids, axis=1, kind="stable")
    ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
    total = scores.copy()
    for step in range(1, len(tops)):
        total[:, :-step] += np.where(ids[:, step:] == ids[:, :-step], scores[:, step:], 0)
    repeated = np.zeros(ids.shape, bool)
    repeated[:, 1:] = ids[:, 1:] == ids[:, :-1]
    ids = np.where(repeated, PAD, ids)
    return TopK(ids, np.where(ids == PAD, -np.inf, total).astype(np.float32))


def _stacked(tops: list[TopK]) -> TopK:
    """Concatenate rows, padded to the largest width."""
    width = max(top.ids.shape[1] for top in tops)
    ids = [np.pad(top.ids, ((0, 0), (0, width - top.ids.shape[1])), constant_values=PAD) for top in tops]
    scores = [np.pad(top.scores, ((0, 0), (0, width - top.ids.shape[1])), constant_values=-np.inf) for top in tops]
    return TopK(np.concatenate(ids), np.concatenate(scores))
