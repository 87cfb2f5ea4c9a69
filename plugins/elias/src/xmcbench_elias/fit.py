"""From training rows to a `Whole`: models, then ranker, blend and calibration."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.method import TrainData
from xmcbench.sparse.inverted import InvertedWeights
from xmcbench.topk import PAD, TopK
from xmcbench_elias.calibration import Calibration
from xmcbench_elias.model import EliasModel
from xmcbench_elias.params import EliasParams, settled, sizes
from xmcbench_elias.predict import predict
from xmcbench_elias.ranker import POOL, USUAL, Ranker, best_blend, kind, margins, train_ranker
from xmcbench_elias.stages import Both, Plan, held_out_model, rebuild, stage_1, train_model, with_carved_rows
from xmcbench_elias.whole import Whole, average, candidates

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Inputs


def fit(train: TrainData, ctx: RunContext, params: EliasParams) -> Whole:
    """Every stage in turn; each is taken from its checkpoint where a killed run finished it."""
    params = settled(params, train.n_labels)
    plan = Plan(train, params, sizes(params, train.n_labels), ctx)
    ctx.note("settings", {**asdict(params), **asdict(plan.size)})
    tags = ["", *(f", model {number}" for number in range(2, params.members + 1))]
    both = [train_model(Plan(train, params, plan.size, ctx, tag)) for tag in tags]
    first = [rebuild(one.first, params).to(ctx.device) for one in both]
    seen = np.bincount(train.labels.indices, minlength=train.n_labels).astype(np.float32)
    whole = Whole([one.model for one in both], first[0], None, None, seen)
    how = kind(params.ranker, train)
    honest = both
    if how != "none" and with_carved_rows(train, ctx) is not train:
        honest = [held_out_model(plan, both[0])]
    _tell(both, honest, ctx)
    if how != "none":
        _rank(whole, first[0], [one.model for one in honest], plan, how)
    return whole


def _rank(whole: Whole, first: EliasModel, honest: list[EliasModel], plan: Plan, how: str) -> None:
    """Put ranker and calibration into `whole`.

    Blend and calibration look at validation rows, and so at `honest` models, which have not learned from them. Where
    they were carved from train, the ranker learns their labels again with them in the end.
    """
    train, ctx, params = plan.train, plan.ctx, plan.params
    shortlists = held_out_shortlists(plan) if how == "shortlist" else None
    with ctx.phase("ranker"):
        weights = train_ranker(train, shortlists, ctx, "ranker")
    rows, held = with_carved_rows(train, ctx), ctx.validation
    blend, score = USUAL, None
    if held is not None and held.n_rows:
        with ctx.phase("blend"):
            top = average([_shown(model, held, plan, plan.size.shortlist) for model in honest])
            z = margins(InvertedWeights.of(weights), held, top.ids)
            blend, score = best_blend(top, z, whole.seen, held.labels)
            ctx.score("nDCG@5", score)
            if params.calibrate:
                real = (top.ids != PAD).ravel()
                true = np.isin(_keys(top.ids, train.n_labels), _true_keys(held)).ravel()
                columns = candidates(top, z, whole.seen)
                whole.calibration = Calibration.fit(columns[real], true[real], ctx.seed("calibration"))
        if rows is not train:
            with ctx.phase("ranker"):
                if shortlists is not None:
                    shortlists = np.concatenate([shortlists, _wide(_shown(first, held, plan, POOL).ids)])
                weights = train_ranker(rows, shortlists, ctx, "ranker again", (weights, np.unique(held.labels.indices)))
    facts = {"negatives": how, "weights": int(weights.nnz), "blend": asdict(blend), "validation nDCG@5": score}
    ctx.note("ranker", facts)
    whole.ranker = Ranker(InvertedWeights.of(weights), blend)


def held_out_shortlists(plan: Plan) -> NDArray[np.int32]:
    """(n, POOL) labels that a model of stage 1 shows for each row; with folds, one that has not seen the row.

    A bag-of-words network memorises its training rows: in sample it shows few wrong labels, and a ranker that learns
    from those alone has not met the mistakes it is there to mend.
    """
    train, ctx, folds = plan.train, plan.ctx, plan.params.folds
    fold = ctx.rng("folds").permutation(train.n_rows) % max(folds, 1)
    found = np.full((train.n_rows, POOL), PAD, np.int32)
    for number in range(max(folds, 1)):
        out = fold == number
        rows = train.rows(np.flatnonzero(~out)) if folds > 1 else train
        part = Plan(rows, plan.params, plan.size, ctx, f", fold {number + 1}" if folds > 1 else "")
        name = part.name("shortlists")
        kept = ctx.checkpoints.load(name)
        if kept is None:
            top = _shown(stage_1(part)[0], train.rows(np.flatnonzero(out)), plan, POOL)
            ctx.checkpoints.save(name, {"ids": top.ids})
        found[out] = _wide(top.ids if kept is None else kept[0]["ids"])
    return found


def _wide(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.pad(ids, ((0, 0), (0, POOL - ids.shape[1])), constant_values=PAD)


def _shown(model: EliasModel, rows: Inputs, plan: Plan, k: int) -> TopK:
    return predict(model, rows, k, plan.params.beam, plan.size.shortlist, plan.ctx)


def _keys(ids: NDArray[Any], n_labels: int) -> NDArray[np.int64]:
    return np.arange(len(ids))[:, None] * (n_labels + 1) + ids


def _true_keys(rows: TrainData) -> NDArray[np.int64]:
    places = rows.labels.tocoo()
    return places.row.astype(np.int64) * (rows.n_labels + 1) + places.col


def _tell(both: list[Both], honest: list[Both], ctx: RunContext) -> None:
    """Put selection, epochs and what became of the index on record."""
    stages = [stage for one in both for stage in one.progress]
    aside = [] if honest is both else honest[0].progress
    ctx.note("epochs", [epoch for stage in stages + aside for epoch in stage.history])
    model = both[0].model
    ctx.note("paths per label", round(float(model.filled.sum()) / model.n_labels, 2))
    if ctx.validation is not None:
        scored = [
            epoch for stage in stages + aside for epoch in stage.history if epoch["validation nDCG@5"] is not None
        ]
        ctx.selected(
            what=", ".join(f"epoch {stage.best_epoch} of {stage.name}" for stage in stages + aside),
            by="nDCG@5 on the validation rows"
            + (", which stage 2 learns from in the end" if ctx.validation_is_carved else ""),
            tried=len(scored),
        )
