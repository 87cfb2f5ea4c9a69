"""From training rows to a `Whole`: dual encoder, network, ranker, and how their scores make the final ranking."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.method import TrainData
from xmcbench.sparse.topk import best_of
from xmcbench_elias.building import rebuild
from xmcbench_elias.calibration import Calibration, calibration_columns
from xmcbench_elias.dual import DualTraining
from xmcbench_elias.fusion import HEAD, Candidates, Fusion, given_truth
from xmcbench_elias.linear import Linear, kinds
from xmcbench_elias.model import EliasModel
from xmcbench_elias.params import EliasParams, settled, sizes
from xmcbench_elias.predict import validation_score
from xmcbench_elias.source import Ready, Some, Source
from xmcbench_elias.stages import Plan, finish, train_model, with_carved_rows
from xmcbench_elias.train import Progress
from xmcbench_elias.whole import Whole

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.topk import TopK

ENOUGH = 5_000  # validation rows the final ranking is learned on, evenly spaced where there are more
TELLING = 100  # validation rows that are no label's own text, from which on the others are left out


def fit(train: TrainData, ctx: RunContext, params: EliasParams) -> Whole:
    """Every stage in turn; each is taken from its checkpoint where a killed run finished it.

    Everything is trained on the rows that validation rows are no part of, and the final ranking learned on these. If
    they were carved from train, dual encoder and network then learn some epochs from all rows, and the linear
    classifiers, which take no long training to go on from, are trained anew.
    """
    chosen = settled(params, train.n_labels, train.n_rows)
    with ctx.phase("encode"):
        source = Source.of(chosen, train, ctx)
        ready, held, rows = _all_rows(source, train, ctx)
        held = None if held is None else _telling(held)
    chosen = replace(chosen, width=source.width)
    ctx.note("settings", {**asdict(chosen), **asdict(sizes(chosen, train.n_labels))})
    duals = DualTraining(source, ready, rows, chosen, ctx) if chosen.dual_epochs else None
    dual = None
    if duals is not None:
        with ctx.phase("dual encoder"):
            dual = duals.first()
    plan = Plan(ready, held, chosen, sizes(chosen, train.n_labels), ctx, source, dual)
    plans = [replace(plan, tag=tag) for tag in ("", *(f", model {n}" for n in range(2, chosen.members + 1)))]
    both = [train_model(part) for part in plans]
    first = rebuild(both[0].first, chosen, source).to(ctx.device)
    which = kinds(chosen.ranker, train)
    with ctx.phase("ranker"):
        linear = Linear.fit(which, train, ctx, "ranker")
    whole = Whole([one.model for one in both], first, linear, dual, None, None, _counts(train), source)
    with ctx.phase("final ranking"):
        fusion, calibration = _final_ranking(whole, held, plan)
    stages = [stage for one in both for stage in one.progress]
    if rows is not ready:
        if duals is not None and chosen.finish_epochs:
            with ctx.phase("dual encoder"):
                dual = duals.finished(chosen.finish_epochs)
        if chosen.finish_epochs:
            stages += [finish(part, one.model, rows) for part, one in zip(plans, both, strict=True)]
        with ctx.phase("ranker"):
            linear = Linear.fit(which, rows.data, ctx, "ranker-again")
    _tell(stages, both[0].model, ctx)
    models = [one.model for one in both]
    return Whole(models, first, linear, dual, fusion, calibration, _counts(rows.data), source)


def _all_rows(source: Source, train: TrainData, ctx: RunContext) -> tuple[Ready, Ready | None, Ready]:
    """Training rows, validation rows, and all that may be learned from in the end, each made ready once."""
    rows = source.ready(with_carved_rows(train, ctx))
    held = ctx.validation
    if held is None or rows.data is train:
        return rows, None if held is None else source.ready(held), rows
    places = np.arange(rows.data.n_rows)
    parts = Some(rows.rows, places[: train.n_rows]), Some(rows.rows, places[train.n_rows :])
    return Ready(train, parts[0]), Ready(held, parts[1]), rows


def _telling(held: Ready) -> Ready:
    """Validation rows less those that are a label's own text, if enough are left.

    Where documents are descriptions of labels (icd10cm), a carved one reads as its label does: the dual encoder finds
    it at once, and nothing is learned of what new texts need.
    """
    texts, label_texts = held.data.texts, held.data.label_texts
    if texts is None or label_texts is None:
        return held
    own = {text.strip().casefold() for text in label_texts}
    telling = np.flatnonzero([text.strip().casefold() not in own for text in texts])
    return held.some(telling) if TELLING <= len(telling) < held.data.n_rows else held


def _final_ranking(whole: Whole, held: Ready | None, plan: Plan) -> tuple[Fusion | None, Calibration | None]:
    """Fusion and calibration learned on validation rows, and what each part has there, on record."""
    parts = whole.parts()
    if len(parts) == 1:
        return None, None
    if held is None or not held.data.n_rows:
        return Fusion.usual(parts), None
    ctx, n = plan.ctx, held.data.n_rows
    some = held.some(np.unique(np.linspace(0, n - 1, min(n, ENOUGH)).astype(np.int64)))
    beam = int(ctx.query.get("beam", plan.params.beam))  # runs share a fit, whatever beam they ask for
    tops = whole.tops(some.data.inputs(), some.rows, plan.size.shortlist, beam, ctx)
    given, true, seen = whole.candidates(tops), some.data.labels, whole.seen
    fusion = Fusion.learn(given, seen, true)
    told = {name: _ndcg(top, true) for name, top in tops.items()} | {"final": _ndcg(fusion(given, seen, HEAD), true)}
    calibration = None
    if plan.params.calibrate:
        columns = calibration_columns(given, seen)
        calibration = Calibration.fit(columns, given_truth(given.ids, true)[given.real], ctx.seed("calibration"))
        told["calibrated"] = _ndcg(Fusion.ranked(given, calibration.score(given, seen), HEAD), true)
    ctx.score("nDCG@5", told["final" if calibration is None else "calibrated"])
    weights = dict(zip(Candidates.names(parts), np.round(fusion.weights, 4).tolist(), strict=True))
    ctx.note("final ranking", {"rows": some.data.n_rows, "validation nDCG@5": told, "weights": weights})
    return fusion, calibration


def _ndcg(top: TopK, labels: sp.csr_matrix) -> float:
    return round(validation_score(best_of(top.ids, top.scores, 5), labels), 4)


def _counts(rows: TrainData) -> NDArray[np.float32]:
    """(L,) rows of each label."""
    return np.bincount(rows.labels.indices, minlength=rows.n_labels).astype(np.float32)


def _tell(stages: list[Progress], model: EliasModel, ctx: RunContext) -> None:
    """Put selection, epochs and what became of the index on record."""
    ctx.note("epochs", [epoch for stage in stages for epoch in stage.history])
    ctx.note("paths per label", round(float(model.filled.sum()) / model.n_labels, 2))
    scored = [stage for stage in stages if stage.history[-1]["validation nDCG@5"] is not None]
    if scored:
        ctx.selected(
            what=", ".join(f"epoch {stage.best_epoch} of {stage.name}" for stage in scored) + ", final ranking",
            by="nDCG@5 on the validation rows"
            + (", which every part learns from in the end" if ctx.validation_is_carved else ""),
            tried=sum(len(stage.history) for stage in scored),
        )
