"""All of ELIAS as it is saved and predicts: one or more models, their ranker and calibration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.context import Reporter, RunContext
from xmcbench.sparse.topk import best_of
from xmcbench.topk import PAD, TopK
from xmcbench_elias.calibration import SHARE, Calibration
from xmcbench_elias.model import EliasModel
from xmcbench_elias.predict import predict
from xmcbench_elias.ranker import RANKED, Ranker, blended, margins
from xmcbench_elias.searcher import Searcher
from xmcbench_elias.source import Source

if TYPE_CHECKING:
    from xmcbench.method import Inputs

CELLS = 1 << 22  # rows · shortlisted labels ranked at a time: some hundred megabytes


@dataclass
class Whole:
    """What is saved and predicts.

    Attributes
    ----------
    models : one, or several whose scores are averaged.
    first : the first of them as it was before the graph.
    seen : (L,) float32 rows of each label in train.
    source : where the models' encoders came from.
    """

    models: list[EliasModel]
    first: EliasModel
    ranker: Ranker | None
    calibration: Calibration | None
    seen: NDArray[np.float32]
    source: Source
    searchers: dict[int, Searcher] = field(default_factory=dict)  # by id of a model; made once, not once a query

    def predict(self, inputs: Inputs, k: int, shortlist: int, beam: int, output: str, ctx: RunContext) -> TopK:
        """The k best labels of each row by the chosen `output`, see `EliasParams.output`, of a shortlist."""

        ranked = output not in ("stage1", "model") and self.ranker is not None
        most = min(shortlist, RANKED) if ranked else k
        at_a_time = max(1, CELLS // (most * len(self.models)))
        if ranked and inputs.n_rows > at_a_time:
            return self._in_parts(at_a_time, inputs, k, shortlist, beam, output, ctx)
        encoder = self.first.to(ctx.device).encoder
        encoder.progress = ctx.progress  # that of fitting is over
        rows = encoder.rows(inputs)  # all models' read alike

        def shown(model: EliasModel) -> TopK:
            return predict(model.to(ctx.device), rows, most, beam, shortlist, ctx, self._searcher(model, ctx))

        if output == "stage1":
            return shown(self.first)
        top = average([shown(model) for model in self.models])
        if not ranked:
            return best_of(top.ids, top.scores, k)
        assert self.ranker is not None
        z = margins(self.ranker.weights, inputs, top.ids)
        if output == "ranker":
            return best_of(top.ids, z, k)
        return best_of(top.ids, final(top, z, self.ranker, self.calibration, self.seen), k)

    def _in_parts(
        self, rows: int, inputs: Inputs, k: int, shortlist: int, beam: int, output: str, ctx: RunContext
    ) -> TopK:
        """`predict` so many rows at a time: whole shortlists of all rows would fill the memory."""
        quiet = replace(ctx, reporter=Reporter())
        ids, scores = [], []
        for start in range(0, inputs.n_rows, rows):
            part = self.predict(inputs.rows(slice(start, start + rows)), k, shortlist, beam, output, quiet)
            ids.append(part.ids)
            scores.append(part.scores)
            ctx.progress(min(start + rows, inputs.n_rows), inputs.n_rows)
        return TopK(np.concatenate(ids), np.concatenate(scores))

    def _searcher(self, model: EliasModel, ctx: RunContext) -> Searcher | None:
        """The model's, on a CPU; weights of a `Whole` do not change any more."""
        if ctx.device != "cpu":
            return None
        if id(model) not in self.searchers:
            self.searchers[id(model)] = Searcher(model)
        return self.searchers[id(model)]


def final(
    top: TopK, z: NDArray[np.float32], ranker: Ranker, calibration: Calibration | None, seen: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(n, m) final scores of candidates: the blend; with a tree, its share of true labels and the blend's σ."""
    scores = blended(top, z, seen, ranker.blend)
    if calibration is None:
        return scores
    real = top.ids != PAD
    told = calibration(candidates(top, z, seen)[real.ravel()])
    scores[real] = SHARE * told + (1 - SHARE) / (1 + np.exp(-scores[real]))
    return scores


def candidates(top: TopK, z: NDArray[np.float32], seen: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n · m, 3) what the calibration tree looks at."""
    return np.stack([z.ravel(), top.scores.ravel(), seen[np.maximum(top.ids, 0)].ravel()], axis=1)


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
