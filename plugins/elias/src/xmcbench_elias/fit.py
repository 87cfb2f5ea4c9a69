"""From training rows to a `FittedModel`: dual encoder, network, ranker and final ranking."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.errors import counted
from xmcbench.method import TrainData
from xmcbench.methods.helpers import spread
from xmcbench.sparse.topk import best_of
from xmcbench.topk import TopK
from xmcbench_elias.fitted import FittedModel
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.sharded import Shard
from xmcbench_elias.network.source import PreparedRows, RowSubset, Source
from xmcbench_elias.params import EliasParams, settled, sizes
from xmcbench_elias.ranking.fusion import HEAD, Calibration, Candidates, Fusion, calibration_columns, given_truth
from xmcbench_elias.ranking.linear import Linear, kinds
from xmcbench_elias.search.predict import validation_score
from xmcbench_elias.training.building import rebuild
from xmcbench_elias.training.dual import DualTraining, own_dual
from xmcbench_elias.training.stages import Plan, TrainedModel, finish, train_model, whole_model, with_carved_rows
from xmcbench_elias.training.train import StageHistory

ENOUGH = 5_000  # maximum number of validation rows for the final ranking; more rows are sampled evenly
RELIABLE = 100  # validation rows that a choice can rely on; if so many differ from every label text, the others go


def fit(train: TrainData, ctx: RunContext, params: EliasParams) -> FittedModel | None:
    """Run all stages; finished stages are loaded from their checkpoints. Of several processes, rank 0 has the result.

    Everything is trained on rows without the validation rows, and the final ranking is learned on the validation rows.
    If these were carved from train, dual encoder and network are then trained for some epochs on all rows, and the
    linear classifiers, which cannot be trained further, are trained again.
    """
    settings = settled(params, train.n_labels, train.n_rows)
    with ctx.phase("encode"):
        source = Source.of(settings, train, ctx)
        prepared, validation, rows = _all_rows(source, train, ctx)
        validation = None if validation is None else _without_label_texts(validation)
    settings = replace(settings, width=source.width)
    ctx.note("settings", {**asdict(settings), **asdict(sizes(settings, train.n_labels))})
    ranks, alone = ctx.ranks, replace(ctx, ranks=None)
    is_first = ranks is None or ranks.rank == 0
    dual_training = DualTraining(source, prepared, rows, settings, alone) if settings.dual_epochs and is_first else None
    dual = start = None
    if settings.dual_epochs:
        with ctx.phase("dual encoder"):
            dual = start = None if dual_training is None else dual_training.first()
            if ranks is not None:
                start = own_dual(dual, source, Shard(ranks, train.n_labels))
    plan = Plan(prepared, validation, settings, sizes(settings, train.n_labels), ctx, source, start)
    plans = [replace(plan, tag=tag) for tag in ("", *(f", model {n}" for n in range(2, settings.members + 1)))]
    trained = [train_model(part) for part in plans]
    del start  # what networks start from can take gigabytes
    plan, plans = replace(plan, dual=None), [replace(part, dual=None) for part in plans]
    models = _whole(plan, trained)
    finishing = plans if rows is not prepared and settings.finish_epochs else []
    if trained[0].first is None or models is None:  # rank 0 of several processes does the rest, but the final epochs
        for part, network in zip(finishing, trained, strict=False):
            finish(part, network.model, rows)
        if rows is not prepared:
            _whole(plan, trained)
        return None
    first = rebuild(trained[0].first, settings, source).to(ctx.device)
    ranker_kinds = kinds(settings.ranker, train)
    with ctx.phase("ranker"):
        linear = Linear.fit(ranker_kinds, train, ctx, "ranker")
    fitted = FittedModel(models, first, linear, dual, None, None, _label_counts(train), source)
    with ctx.phase("final ranking"):
        fusion, calibration = _final_ranking(fitted, validation, plan)
    histories = [history for network in trained for history in network.histories]
    if rows is not prepared:
        del fitted, linear  # what is trained again would be in memory twice
        if dual_training is not None and settings.finish_epochs:
            dual = None
            with ctx.phase("dual encoder"):
                dual = dual_training.finished(settings.finish_epochs)
        histories += [finish(part, network.model, rows) for part, network in zip(finishing, trained, strict=False)]
        models = _whole(plan, trained)
        assert models is not None
        with ctx.phase("ranker"):
            linear = Linear.fit(ranker_kinds, rows.data, ctx, "ranker-again")
    _record(histories, models[0], ctx)
    if dual is not None:
        dual.searched(ctx.device)  # the index is saved with the model
    return FittedModel(models, first, linear, dual, fusion, calibration, _label_counts(rows.data), source)


def _whole(plan: Plan, trained: list[TrainedModel]) -> list[EliasModel] | None:
    """The networks with all labels; of several processes, in rank 0 alone."""
    models = [whole_model(plan, network.model) for network in trained]
    return None if None in models else [model for model in models if model is not None]


def _all_rows(
    source: Source, train: TrainData, ctx: RunContext
) -> tuple[PreparedRows, PreparedRows | None, PreparedRows]:
    """Training rows, validation rows, and all rows that may be used for training in the end, each prepared once."""
    rows = source.prepare(with_carved_rows(train, ctx), ctx)
    validation = ctx.validation
    if validation is None or rows.data is train:
        return rows, None if validation is None else source.prepare(validation, ctx), rows
    positions = np.arange(rows.data.n_rows)
    subsets = RowSubset(rows.rows, positions[: train.n_rows]), RowSubset(rows.rows, positions[train.n_rows :])
    return PreparedRows(train, subsets[0]), PreparedRows(validation, subsets[1]), rows


def _without_label_texts(validation: PreparedRows) -> PreparedRows:
    """Validation rows without those that are identical to a label text, if enough are left.

    If documents are descriptions of labels (icd10cm), the dual encoder finds the label of a carved row by its text, so
    such rows are not representative of new texts.
    """
    texts, label_texts = validation.data.texts, validation.data.label_texts
    if texts is None or label_texts is None:
        return validation
    normalised_labels = {text.strip().casefold() for text in label_texts}
    kept_rows = np.flatnonzero([text.strip().casefold() not in normalised_labels for text in texts])
    return validation.subset(kept_rows) if RELIABLE <= len(kept_rows) < validation.data.n_rows else validation


def _final_ranking(
    fitted: FittedModel, validation: PreparedRows | None, plan: Plan
) -> tuple[Fusion | None, Calibration | None]:
    """Learn fusion and calibration on validation rows, and record the validation score of each part."""
    parts = fitted.parts()
    if len(parts) == 1:
        return None, None
    if validation is None or not validation.data.n_rows:
        return Fusion.usual(parts), None
    ctx = plan.ctx
    sample = validation.subset(spread(validation.data.n_rows, ENOUGH))
    if sample.data.n_rows < RELIABLE:
        rows_used = counted(sample.data.n_rows, "validation row")
        ctx.remark(f"elias: the final ranking was learned on {rows_used}, too few to rely on")
    beam = int(ctx.query.get("beam", plan.params.beam))  # runs with different beams share a fit
    tops = fitted.tops(sample.data.inputs(), sample.rows, plan.size.shortlist, beam, ctx)
    candidates, true_labels, label_counts = Candidates.of(tops), sample.data.labels, fitted.label_counts
    fusion = Fusion.learn(candidates, label_counts, true_labels)
    scores = {name: _ndcg(top, true_labels) for name, top in tops.items()}
    scores["final"] = _ndcg(fusion(candidates, label_counts, HEAD), true_labels)
    calibration = None
    if plan.params.calibrate:
        columns = calibration_columns(candidates, label_counts)
        truth = given_truth(candidates.ids, true_labels)[candidates.valid]
        calibration = Calibration.fit(columns, truth, ctx.seed("calibration"))
        calibrated = calibration.score(candidates, label_counts)
        scores["calibrated"] = _ndcg(Fusion.ranked(candidates, calibrated, HEAD), true_labels)
    ctx.score("nDCG@5", scores["final" if calibration is None else "calibrated"])
    weights = dict(zip(Candidates.names(parts), np.round(fusion.weights, 4).tolist(), strict=True))
    ctx.note("final ranking", {"rows": sample.data.n_rows, "validation nDCG@5": scores, "weights": weights})
    return fusion, calibration


def _ndcg(top: TopK, labels: sp.csr_matrix) -> float:
    return round(validation_score(best_of(top.ids, top.scores, 5), labels), 4)


def _label_counts(rows: TrainData) -> NDArray[np.float32]:
    """(L,) number of rows of each label."""
    return np.bincount(rows.labels.indices, minlength=rows.n_labels).astype(np.float32)


def _record(histories: list[StageHistory], model: EliasModel, ctx: RunContext) -> None:
    """Record the selection, the epochs and the size of the index."""
    ctx.note("epochs", [epoch for history in histories for epoch in history.history])
    ctx.note("paths per label", round(float(model.filled.sum()) / model.n_labels, 2))
    scored = [history for history in histories if history.history[-1]["validation nDCG@5"] is not None]
    if scored:
        ctx.selected(
            what=", ".join(f"epoch {history.best_epoch} of {history.name}" for history in scored) + ", final ranking",
            by="nDCG@5 on the validation rows"
            + (", which every part is trained on in the end" if ctx.validation_is_carved else ""),
            tried=sum(len(history.history) for history in scored),
        )
