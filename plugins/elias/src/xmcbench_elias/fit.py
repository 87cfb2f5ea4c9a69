"""From training rows to a `Whole`: models, then ranker, blend and calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.encoders.encoder import Rows
from xmcbench.method import TrainData
from xmcbench.sparse.inverted import InvertedWeights
from xmcbench.topk import PAD, TopK
from xmcbench_elias.building import rebuild
from xmcbench_elias.calibration import Calibration
from xmcbench_elias.model import EliasModel
from xmcbench_elias.params import EliasParams, settled, sizes
from xmcbench_elias.predict import predict
from xmcbench_elias.ranker import BLENDS, POOL, RANKED, USUAL, Ranker, best_blend, kind, margins, train_ranker
from xmcbench_elias.source import Ready, Some, Source
from xmcbench_elias.stages import Both, Plan, held_out_model, stage_1, train_model, with_carved_rows
from xmcbench_elias.whole import Whole, average, candidates

if TYPE_CHECKING:
    from xmcbench.context import RunContext

ENOUGH = 10_000  # validation rows a blend is chosen on, evenly spaced where there are more


def fit(train: TrainData, ctx: RunContext, params: EliasParams) -> Whole:
    """Every stage in turn; each is taken from its checkpoint where a killed run finished it."""
    params = settled(params, train.n_labels)
    with ctx.phase("encode"):
        source = Source.of(params, train, ctx)
        ready, held, rows = _all_rows(source, train, ctx)
    params = replace(params, width=source.width)
    plan = Plan(ready, held, params, sizes(params, train.n_labels), ctx, source)
    ctx.note("settings", {**asdict(params), **asdict(plan.size)})
    tags = ["", *(f", model {number}" for number in range(2, params.members + 1))]
    both = [train_model(replace(plan, tag=tag), rows) for tag in tags]
    first = rebuild(both[0].first, params, source).to(ctx.device)
    whole = Whole([one.model for one in both], first, None, None, _counts(rows.data), source)
    how = kind(params.ranker, train)
    # One model stands for all members here: what it costs is a stage 2 more, not one a member.
    honest = both if how == "none" or rows is ready else [held_out_model(plan, both[0])]
    _tell(both if honest is both else both + honest, both[0].model, ctx)
    if how != "none":
        _rank(whole, [one.model for one in honest], plan, rows, how)
    return whole


def _all_rows(source: Source, train: TrainData, ctx: RunContext) -> tuple[Ready, Ready | None, Ready]:
    """Training rows, validation rows, and those that stage 2 learns from, each made ready once."""
    rows = source.ready(with_carved_rows(train, ctx))
    held = ctx.validation
    if held is None or rows.data is train:
        return rows, None if held is None else source.ready(held), rows
    places = np.arange(rows.data.n_rows)
    parts = Some(rows.rows, places[: train.n_rows]), Some(rows.rows, places[train.n_rows :])
    return Ready(train, parts[0]), Ready(held, parts[1]), rows


def _rank(whole: Whole, honest: list[EliasModel], plan: Plan, rows: Ready, how: str) -> None:
    """Put ranker and calibration into `whole`.

    Blend and calibration look at validation rows, and so at `honest` models, which have not learned from them. Where
    they were carved from train, the ranker learns their labels again, with them among its `rows`, in the end.
    """
    train, held, ctx, params = plan.train.data, plan.held, plan.ctx, plan.params
    shortlists = training_shortlists(plan, whole.first) if how == "shortlist" else None
    with ctx.phase("ranker"):
        weights = train_ranker(train, shortlists, ctx, "ranker")
    blend, score = USUAL, None
    if held is not None and held.data.n_rows:
        with ctx.phase("blend"):
            n = held.data.n_rows
            some = held.some(np.unique(np.linspace(0, n - 1, min(n, ENOUGH)).astype(np.int64)))
            most = min(plan.size.shortlist, RANKED)
            top = average([_shown(model, some.rows, plan, most) for model in honest])
            z, seen = margins(InvertedWeights.of(weights), some.data, top.ids), _counts(train)
            blend, score = best_blend(top, z, seen, some.data.labels)
            ctx.score("nDCG@5", score)
            if params.calibrate:
                real = (top.ids != PAD).ravel()
                true = np.isin(_keys(top.ids, train.n_labels), _true_keys(some.data)).ravel()
                columns = candidates(top, z, seen)
                whole.calibration = Calibration.fit(columns[real], true[real], ctx.seed("calibration"))
        if rows is not plan.train:
            with ctx.phase("ranker"):
                carved = np.unique(held.data.labels.indices)
                if shortlists is not None:
                    shortlists = np.concatenate([shortlists, _wide(_shown(whole.first, held.rows, plan, POOL).ids)])
                weights = train_ranker(rows.data, shortlists, ctx, "ranker again", (weights, carved))
    facts = {"negatives": how, "weights": int(weights.nnz), "validation nDCG@5": score}
    ctx.note("ranker", facts | {"blend": asdict(blend), "of": len(BLENDS)})
    whole.ranker = Ranker(InvertedWeights.of(weights), blend)


def _counts(rows: TrainData) -> NDArray[np.float32]:
    """(L,) rows of each label."""
    return np.bincount(rows.labels.indices, minlength=rows.n_labels).astype(np.float32)


def training_shortlists(plan: Plan, first: EliasModel) -> NDArray[np.int32]:
    """(n, POOL) labels that `first`, a model of stage 1, shows for each row; with folds, one that has not seen the row.

    A bag-of-words network memorises its training rows, so in sample it makes other mistakes than out of it; that has
    not mattered (README), and where a label has one row alone, a model of the other rows does not know it at all.
    """
    train, ctx, folds = plan.train, plan.ctx, plan.params.folds
    if folds < 2:
        return _kept_shortlists(plan, lambda: first, train.rows)
    n_rows = train.data.n_rows
    fold = ctx.rng("folds").permutation(n_rows) % folds
    found = np.full((n_rows, POOL), PAD, np.int32)
    for number in range(folds):
        out = fold == number
        part = replace(plan, train=train.some(np.flatnonzero(~out)), tag=f", fold {number + 1}")
        found[out] = _kept_shortlists(part, lambda part=part: stage_1(part)[0], train.some(np.flatnonzero(out)).rows)
    return found


def _kept_shortlists(plan: Plan, model: Callable[[], EliasModel], rows: Rows) -> NDArray[np.int32]:
    """(n, POOL), from a checkpoint where there is one."""
    name = plan.name("shortlists")
    kept = plan.ctx.checkpoints.load(name)
    if kept is None:
        top = _shown(model(), rows, plan, POOL)
        plan.ctx.checkpoints.save(name, {"ids": top.ids})
    return _wide(top.ids if kept is None else kept[0]["ids"])


def _wide(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.pad(ids, ((0, 0), (0, POOL - ids.shape[1])), constant_values=PAD)


def _shown(model: EliasModel, rows: Rows, plan: Plan, k: int) -> TopK:
    return predict(model, rows, k, plan.params.beam, plan.size.shortlist, plan.ctx)


def _keys(ids: NDArray[Any], n_labels: int) -> NDArray[np.int64]:
    return np.arange(len(ids))[:, None] * (n_labels + 1) + ids


def _true_keys(rows: TrainData) -> NDArray[np.int64]:
    places = rows.labels.tocoo()
    return places.row.astype(np.int64) * (rows.n_labels + 1) + places.col


def _tell(both: list[Both], model: EliasModel, ctx: RunContext) -> None:
    """Put selection, epochs and what became of the index on record."""
    stages = [stage for one in both for stage in one.progress]
    ctx.note("epochs", [epoch for stage in stages for epoch in stage.history])
    ctx.note("paths per label", round(float(model.filled.sum()) / model.n_labels, 2))
    scored = [stage for stage in stages if stage.history[-1]["validation nDCG@5"] is not None]
    if scored:
        ctx.selected(
            what=", ".join(f"epoch {stage.best_epoch} of {stage.name}" for stage in scored),
            by="nDCG@5 on the validation rows"
            + (", which stage 2 learns from in the end" if ctx.validation_is_carved else ""),
            tried=sum(len(stage.history) for stage in scored),
        )
