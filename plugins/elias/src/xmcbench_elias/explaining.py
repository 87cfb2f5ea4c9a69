"""Why ELIAS gives a label: the parts of the final score, the network's path to it, and the rankers' words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from xmcbench.context import RunContext
from xmcbench.encoders.encoder import Rows
from xmcbench.method import Inputs
from xmcbench.reasons import Reason, Step, step
from xmcbench_elias.fitted import FittedModel
from xmcbench_elias.network.batches import embedded
from xmcbench_elias.network.model import EliasModel, log_cluster_scores
from xmcbench_elias.ranking.fusion import HEAD, NAMED, Candidates, calibration_columns
from xmcbench_elias.search.search import beam_search

WORDS = {
    "model": "weight × log p of the network",
    "trees": "weight × log score of the trees",
    "all": "weight × margin of one-vs-rest",
    "dual": "weight × similarity to the label's text or vector",
    "count": "weight × −log(1 + training rows of the label)",
}


def explain(
    fitted: FittedModel,
    inputs: Inputs,
    labels: Sequence[int],
    shortlist: int,
    beam: int,
    output: str,
    ctx: RunContext,
) -> list[list[Step]]:
    """The steps of each label for the only row of `inputs`; `output` as in `FittedModel.predict`.

    The first step is the final score, if there is one, then come the networks, then trees and one-vs-rest.
    """
    rows = fitted.rows(inputs, ctx)
    explained: list[list[Step]] = [[] for _ in labels]
    if output == "final" and fitted.fusion is not None:
        for steps, final in zip(explained, _final(fitted, inputs, rows, labels, shortlist, beam, ctx), strict=True):
            steps.append(final)
    networks = [] if output in ("ranker", "dual") else [fitted.first] if output == "stage1" else fitted.models
    for number, model in enumerate(networks, 1):
        name = "network" if len(networks) == 1 else f"network {number} of {len(networks)}"
        for steps, path in zip(explained, _paths(model, rows, labels, beam, name, ctx), strict=True):
            steps.append(path)
    for kind, method in fitted.linear.methods.items() if output in ("final", "ranker") else ():
        name = "trees of the ranker" if kind == "trees" else "one-vs-rest of the ranker"
        found = method.explain(inputs, labels, replace(ctx, query={}))
        for steps, parts in zip(explained, found, strict=True):
            steps += [replace(one, title=f"{name}: {one.title}", result=_within(one.result)) for one in parts]
    for steps in explained:
        if not steps:
            steps.append(Step("dual encoder", 0.0, (), "similarity of two embeddings, which has no parts to name"))
    return explained


def _within(result: str) -> str:
    """What becomes of a sum of the ranker: its score is one of the parts of ELIAS's."""
    return "its score" if result == "the score" else result


def _final(
    fitted: FittedModel, inputs: Inputs, rows: Rows, labels: Sequence[int], shortlist: int, beam: int, ctx: RunContext
) -> list[Step]:
    """The score by which the first ranks are sorted, as a sum over its columns."""
    assert fitted.fusion is not None
    candidates = Candidates.of(fitted.tops(inputs, rows, shortlist, beam, ctx, NAMED))
    head = set(fitted.final_of(candidates, HEAD).ids[0].tolist())
    names = Candidates.names(candidates.parts)
    columns = candidates.columns(fitted.label_counts)[0]
    steps = []
    for label in labels:
        place = np.flatnonzero(candidates.ids[0] == label)
        result = "the score" if label in head else f"below rank {HEAD}, where ranks of the parts decide"
        if not len(place):
            steps.append(Step("final score", 0.0, (), "no part returned the label"))
        elif fitted.calibration is not None:
            p_q = calibration_columns(candidates, fitted.label_counts)[place[0] : place[0] + 1]
            share, product = float(fitted.calibration(p_q)[0]), float(p_q[0, 2])
            parts = [Reason("other", -1, share, "share of true labels among similar candidates, T")]
            parts.append(Reason("other", -1, product, "p of the network × q of the ranker"))
            steps.append(step("final score T + p·q", parts, result))
        else:
            values = zip(names, (fitted.fusion.weights * columns[place[0]]).tolist(), strict=True)
            parts = [Reason("other", -1, value, WORDS.get(name, name)) for name, value in values]
            steps.append(step("final score", parts, result))
    return steps


@torch.no_grad()
def _paths(model: EliasModel, rows: Rows, labels: Sequence[int], beam: int, name: str, ctx: RunContext) -> list[Step]:
    """log p = log s + log a + log σ(z) of the best path to each label through the clusters in the beam."""
    model.to(ctx.device)
    phi = embedded(model.encoder, rows, 0, 1, ctx)
    logits = model.cluster_logits(phi)
    clusters = beam_search(logits, beam)[0]
    log_s = log_cluster_scores(logits, model.alpha)[0, clusters]
    entries, log_a = model.entries[clusters], model.log_entries()[clusters]
    steps = []
    for label in labels:
        on_path = torch.where(entries == label, log_s[:, None] + log_a, -torch.inf)
        at = int(on_path.argmax())
        place, column = divmod(at, entries.shape[1])
        if on_path[place, column] == -torch.inf:
            steps.append(Step(name, 0.0, (), f"label in none of the {len(clusters)} clusters visited: no score"))
            continue
        log_sigma = F.logsigmoid(phi[0] @ model.label_weight[label] + model.label_bias[label])
        cluster = f"cluster {int(clusters[place])} (number {place + 1} of {len(clusters)} visited)"
        parts = [
            Reason("other", -1, float(log_s[place]), "the cluster's score: log s"),
            Reason("other", -1, float(log_a[place, column]), "link from that cluster to the label: log a"),
            Reason("other", -1, float(log_sigma), "classifier of the label: log σ(w·φ + b)"),
        ]
        log_p = sum(part.value for part in parts)
        steps.append(step(f"{name}: log p of the best path, through {cluster}", parts, f"p = {math.exp(log_p):.3g}"))
    return steps
