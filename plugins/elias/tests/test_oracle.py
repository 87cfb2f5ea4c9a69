"""Scores, paths, losses, gradients and 30 steps against runs of the method made elsewhere (see the design's oracles).

What holds there only: stage 1 keeps every path, duplicates too; padding slots take part in the softmax of a row; the
shortlist loss is divided by n · P. Labels whose a is clamped tie exactly; where such a tie stands at the cut to K, the
30 steps of stage 2 follow now the lower, now the higher label id (an unstable sort), so both are tried there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from xmcbench_elias.batches import Batch
from xmcbench_elias.loss import classification_loss, log_probabilities, shortlist_loss
from xmcbench_elias.model import log_adjacency, log_cluster_scores
from xmcbench_elias.ops import gather_dot
from xmcbench_elias.search import beam_search, shortlist
from xmcbench_elias.step import path_scores, true_rows

FILES = ["seed0_f32", "seed0_f64", "seed3_f64_sampled"]


@dataclass
class Oracle:
    """One stage of one file: weights that require gradients, and its numbers."""

    stage: int
    numbers: dict[str, np.ndarray]
    weights: dict[str, Tensor]
    batch: Batch
    n_labels: int

    def __getitem__(self, name: str) -> Tensor:
        key = name if name.startswith("in/") else f"elias{self.stage}/{name}"
        return torch.from_numpy(np.array(self.numbers[key]))

    @property
    def tolerance(self) -> float:
        return 1e-6 if self["eval/embs"].dtype == torch.float32 else 1e-10

    def scores(self) -> tuple[Tensor, Tensor, Tensor]:
        """(cluster logits, labels of each row of A, log of its values)."""
        w = self.weights
        logits = self["eval/embs"] @ w["WC.weight"].T + w["WC.bias"]
        entries = self["param/A_nz_inds"]
        if self.stage == 1:
            return logits, entries, self["param/A_nz_vals"].log()
        return logits, entries, log_adjacency(w["A_nz_vals_param"], float(self["in/beta"]))

    def paths(self, clusters: Tensor, high_first: bool = False) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(labels, their log path scores, targets, log path scores of the true labels found)."""
        logits, entries, log_entries = self.scores()
        log_clusters = log_cluster_scores(logits, float(self["in/alpha"])).gather(1, clusters)
        n = len(clusters)
        if self.stage == 1:
            labels = entries[clusters].view(n, -1)
            log_paths = (log_clusters[:, :, None] + log_entries[clusters]).view(n, -1)
            wide = self.n_labels + 1
            row = torch.arange(n)[:, None] * wide
            targets = torch.isin(labels + row, true_rows(self.batch) * wide + self.batch.true_labels)
            return labels, log_paths, targets, log_paths[targets]
        size = int(self["in/K_stage2"])
        names, batch = entries, self.batch
        if high_first:
            names = torch.where(entries < self.n_labels, self.n_labels - 1 - entries, entries)
            batch = replace(batch, true_labels=self.n_labels - 1 - batch.true_labels)
        found = shortlist(clusters, log_clusters, names, log_entries, size, self.n_labels, batch)
        rows = torch.arange(n)[:, None].expand_as(found.paths)
        log_paths = path_scores(log_clusters, clusters, log_entries, rows, found.paths)
        reached = found.true_paths >= 0
        rows = true_rows(self.batch)[reached]
        true = path_scores(log_clusters, clusters, log_entries, rows, found.true_paths[reached])
        columns = found.paths % entries.shape[1]
        labels = entries[clusters.gather(1, found.paths // entries.shape[1]), columns]
        return labels, log_paths, found.targets, true

    def z(self, labels: Tensor) -> Tensor:
        return gather_dot(self["eval/embs"].clone(), self.weights["WL.weight"], self.weights["WL.bias"], labels)

    def loss(self, high_first: bool = False) -> tuple[Tensor, Tensor]:
        labels, log_paths, targets, true = self.paths(self["train/cluster_inds"], high_first)
        first = classification_loss(log_paths, self.z(labels), targets, labels < self.n_labels)
        n, padded = self["in/y_inds"].shape
        return first, shortlist_loss(true, n) / padded


@pytest.fixture(params=[(file, stage) for file in FILES for stage in (1, 2)], ids=lambda p: f"{p[0]}-stage{p[1]}")
def oracle(request: pytest.FixtureRequest, shared: Path) -> Oracle:
    file, stage = request.param
    with np.load(shared / "oracles" / "elias" / f"{file}.npz", allow_pickle=False) as opened:
        numbers = {key: opened[key] for key in opened.files}
    names = ["WC.weight", "WC.bias", "WL.weight", "WL.bias"] + (["A_nz_vals_param"] if stage == 2 else [])
    weights = {n: torch.from_numpy(numbers[f"elias{stage}/param/{n}"].copy()).requires_grad_() for n in names}
    n_labels = len(weights["WL.weight"]) - 1
    rows = [np.sort(row[row < n_labels]) for row in numbers["in/y_inds"]]
    indptr = torch.from_numpy(np.cumsum([0, *map(len, rows)]))
    none = torch.zeros(0, dtype=torch.int64)
    batch = Batch(torch.zeros_like(indptr), none, none.double(), indptr, torch.from_numpy(np.concatenate(rows)))
    return Oracle(stage, numbers, weights, batch, n_labels)


def by_label(labels: Tensor, values: Tensor, n_labels: int) -> list[list[tuple[int, float]]]:
    """(label, value) of each row, ascending, without padding."""
    rows = zip(labels.tolist(), values.tolist(), strict=True)
    return [sorted(p for p in zip(ids, found, strict=True) if p[0] < n_labels) for ids, found in rows]


def same_rows(one: list[list[tuple[int, float]]], other: list[list[tuple[int, float]]], tolerance: float) -> None:
    assert [[label for label, _ in row] for row in one] == [[label for label, _ in row] for row in other]
    flat = [[value for row in rows for _, value in row] for rows in (one, other)]
    np.testing.assert_allclose(flat[0], flat[1], rtol=0, atol=tolerance)


def close(one: Tensor, other: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(one.detach().to(other.dtype), other, rtol=0, atol=tolerance)


def test_scores(oracle: Oracle) -> None:
    logits, _, log_entries = oracle.scores()
    close(log_cluster_scores(logits, float(oracle["in/alpha"])).exp(), oracle["eval/cluster_scores"], oracle.tolerance)
    values = torch.where(oracle["param/A_nz_inds"] < oracle.n_labels, log_entries.exp(), 0.0)
    known = torch.where(oracle["param/A_nz_inds"] < oracle.n_labels, oracle["param/A_nz_vals"], 0.0)
    close(values, known, oracle.tolerance)
    clusters = beam_search(logits.detach(), int(oracle["in/beam_size"]))
    assert torch.equal(clusters.sort(1).values, oracle["eval/cluster_inds"].sort(1).values)


def test_probabilities_of_the_shortlist(oracle: Oracle) -> None:
    labels, log_paths, _, _ = oracle.paths(oracle["eval/cluster_inds"])
    p = log_probabilities(log_paths, oracle.z(labels))[0].exp().detach()
    known = by_label(oracle["eval/topK_inds"], oracle["eval/topK_vals"], oracle.n_labels)
    same_rows(by_label(labels, p, oracle.n_labels), known, oracle.tolerance)


def test_losses_and_gradients(oracle: Oracle) -> None:
    first, second = oracle.loss()
    close(first, oracle["train/loss_classification"], oracle.tolerance)
    close(second, oracle["train/loss_shortlist"], oracle.tolerance)
    loss = first + float(oracle["in/loss_lambda"]) * second
    close(loss, oracle["train/loss"], oracle.tolerance)
    loss.backward()
    for name, weight in oracle.weights.items():
        assert weight.grad is not None
        close(weight.grad.to_dense(), oracle[f"train/grad/{name}"], oracle.tolerance)


def test_thirty_steps(oracle: Oracle) -> None:
    if oracle.tolerance > 1e-9:
        pytest.skip("Adam magnifies float32's rounding: from step 6 on the trace is 2e-6 off; float64 must be exact")
    weights = oracle.weights
    groups = [
        {"params": [weight for name, weight in weights.items() if "bias" not in name], "weight_decay": 0.01},
        {"params": [weight for name, weight in weights.items() if "bias" in name], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=3e-3)
    for step, known in enumerate(oracle["train/trace"].tolist()):
        tries = [oracle.loss(high_first) for high_first in (False, True)]
        both = [first + float(oracle["in/loss_lambda"]) * second for first, second in tries]
        loss = min(both, key=lambda value: abs(value.item() - known))
        assert abs(loss.item() - known) <= oracle.tolerance, f"step {step}"
        optimiser.zero_grad()
        loss.backward()
        for weight in weights.values():
            assert weight.grad is not None
            weight.grad = weight.grad.to_dense()
        optimiser.step()
    close(weights["WC.weight"], oracle["train/trace_final_WC.weight"], oracle.tolerance)
