"""Losses of a batch against brute force: labels in no cluster, cut from the shortlist, or not there at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.network.model import EliasModel, log_cluster_scores
from xmcbench_elias.search.search import score
from xmcbench_elias.training import step
from xmcbench_elias.training.step import losses, teacher_forced

from xmcbench.encoders.bow import BowEncoder

N_LABELS, CLUSTERS, WIDTH = 9, 6, 4


def world(seed: int, stage: int) -> tuple[EliasModel, Tensor, Batch]:
    """Labels 7 and 8 are in no cluster; of five rows the first has no label and the second has those two alone."""
    rng = np.random.default_rng(seed)
    entries = np.stack([rng.permutation(10)[:WIDTH] for _ in range(CLUSTERS)])
    entries[entries > 6] = N_LABELS
    generator = torch.Generator().manual_seed(seed)
    model = EliasModel(BowEncoder(2, 3, generator), torch.from_numpy(entries), N_LABELS, 2.0, 0.5, generator)
    with torch.no_grad():
        for weight in (model.cluster_weight, model.label_weight):
            weight.mul_(50)
    if stage == 2:
        model.adjacency = torch.nn.Parameter(torch.randn(CLUSTERS, WIDTH, generator=generator))
    true = [[], [7, 8], *(sorted(rng.choice(N_LABELS, rng.integers(1, 5), replace=False).tolist()) for _ in range(3))]
    indptr = torch.from_numpy(np.cumsum([0, *map(len, true)]))
    labels = torch.tensor([label for row in true for label in row], dtype=torch.int64)
    return model, torch.randn(5, 3, generator=generator), Batch(None, indptr, labels)


def best_paths(model: EliasModel, embedding: Tensor, clusters: Tensor) -> list[dict[int, float]]:
    """log s + log a of the best path to each label that a row's clusters lead to."""
    log_s = log_cluster_scores(model.cluster_logits(embedding), model.alpha).tolist()
    log_a, entries = model.log_entries().tolist(), model.entries.tolist()
    found: list[dict[int, float]] = []
    for row, mine in enumerate(clusters.tolist()):
        best: dict[int, float] = {}
        for c in mine:
            for label, a in zip(entries[c], log_a[c], strict=True):
                if label < N_LABELS:
                    best[label] = max(best.get(label, -np.inf), log_s[row][c] + a)
        found.append(best)
    return found


def brute(
    model: EliasModel, embedding: Tensor, clusters: Tensor, batch: Batch, size: int, weight: float
) -> tuple[float, list[dict[int, float]]]:
    """The sum of both losses, and p of every shortlisted label."""
    z = (embedding @ model.label_weight.T + model.label_bias).double().tolist()
    columns = min(size, clusters.shape[1] * WIDTH, N_LABELS)
    first = second = 0.0
    shown: list[dict[int, float]] = []
    for row, best in enumerate(best_paths(model, embedding, clusters)):
        true = batch.true_labels[batch.true_indptr[row] : batch.true_indptr[row + 1]].tolist()
        kept = sorted(best, key=lambda label: (-best[label], label))[:size]
        shown.append({label: float(np.exp(best[label]) / (1 + np.exp(-z[row][label]))) for label in kept})
        first -= sum(np.log(p if label in true else 1 - p) for label, p in shown[-1].items())
        second -= sum(best[label] for label in true if label in best)
    return first / (len(shown) * columns) + weight / columns * second / len(shown), shown


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    stage=st.sampled_from([1, 2]),
    beam=st.integers(1, 9),
    size=st.integers(1, 40),
    weight=st.sampled_from([0.0, 0.5, 20.0]),
    by_torch=st.booleans(),
)
def test_losses_are_the_brute_force_ones(
    seed: int, stage: int, beam: int, size: int, weight: float, by_torch: bool
) -> None:
    """Beams beyond C and shortlists beyond L too."""
    model, embedding, batch = world(seed, stage)
    embedding.requires_grad_()
    logits = model.cluster_logits(embedding)
    generator = torch.Generator().manual_seed(seed)
    clusters = teacher_forced(logits, model.alpha, batch, model.owners(), beam, 2, generator)
    assert clusters.shape[1] <= CLUSTERS
    with pytest.MonkeyPatch.context() as patch:
        if by_torch:
            patch.setattr(step, "on_cpu", lambda _: False)
        found = losses(model, embedding, logits, clusters, batch, size, weight)
    expected, _ = brute(model, embedding.detach(), clusters, batch, size, weight)
    assert found.total.item() == pytest.approx(expected, rel=1e-4)
    found.total.backward()
    assert embedding.grad is not None
    assert bool(embedding.grad.isfinite().all())


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize(("beam", "size"), [(1, 1), (3, 4), (99, 99)])
def test_scores_are_the_brute_force_ones(stage: int, beam: int, size: int) -> None:
    model, embedding, batch = world(5, stage)
    labels, p = score(model, embedding, batch, beam, size)
    clusters = model.cluster_logits(embedding).topk(min(beam, CLUSTERS), dim=1).indices
    _, shown = brute(model, embedding, clusters, batch, size, 0.0)
    for row, known in enumerate(shown):
        pairs = zip(labels[row].tolist(), p[row].tolist(), strict=True)
        assert {label: value for label, value in pairs if label < N_LABELS} == pytest.approx(known, rel=1e-4)
