"""One stage of a run made elsewhere, computed anew from its inputs and weights.

The functions are those that training and prediction use. What such runs do their own way:

- stage 1 keeps every path, so a label of two clusters is there twice; stage 2 keeps the best one;
- padding slots of A take part in a row's softmax; padding counts in the mean of the first loss, and adds nothing;
- the shortlist loss is divided by n · P, P the width of `in/y_inds`;
- where paths of equal score stand at the cut to K, those that torch's `sort` and then `topk` leave there are kept.
  Entries of A clamped at 1 make such ties common, and one other label in a shortlist changes a loss by 1e-5 and more
  in either precision: what the 30 steps have to follow is this order; rounding alone keeps them within 1e-7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.network.model import EMPTY, log_adjacency, log_cluster_scores
from xmcbench_elias.search.search import path_scores, shortlist
from xmcbench_elias.training.loss import shortlist_loss
from xmcbench_elias.training.path_loss import path_loss

from tests.oracles.elias.file import ARRAYS
from xmcbench.tables.ops import gather_dot

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-10}


@dataclass
class Paths:
    """Paths of rows through given clusters: place in the beam · width + column. All tensors (n, K).

    Attributes
    ----------
    paths, labels : kept at the cut, label L at padding. targets : is that label true?
    """

    paths: Tensor
    labels: Tensor
    targets: Tensor


class Stage:
    """One stage of one file: its numbers, and weights that require gradients."""

    def __init__(self, number: int, numbers: dict[str, NDArray[Any]]) -> None:
        self.number, self.numbers = number, numbers
        self.embs = torch.from_numpy(numbers["eval/embs"].copy())
        self.dtype = self.embs.dtype
        self.weights = {name: self[f"param/{name}"].to(self.dtype).requires_grad_() for name in ARRAYS[number]}
        self.entries = self["param/A_nz_inds"]
        self.n_labels = len(numbers["param/WL.weight"]) - 1
        rows = [np.unique(row[row < self.n_labels]) for row in numbers["in/y_inds"]]
        indptr = torch.from_numpy(np.cumsum([0, *map(len, rows)]))
        true = torch.from_numpy(np.concatenate([np.zeros(0, np.int64), *rows]))
        self.batch = Batch(None, indptr, true)

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(np.array(self.numbers[name]))

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.dtype]

    def logits(self) -> Tensor:
        """(n, C) cluster logits."""
        return F.linear(self.embs, self.weights["WC.weight"], self.weights["WC.bias"])

    def log_scores(self) -> tuple[Tensor, Tensor]:
        """(n, C) log s and (C, width) log a; a's padding slots hold what the softmax gives them, EMPTY in stage 1."""
        log_clusters = log_cluster_scores(self.logits(), float(self.numbers["in/alpha"]))
        if self.number == 1:
            values = self["param/A_nz_vals"].to(self.dtype)
            return log_clusters, torch.where(self.entries < self.n_labels, values.log(), EMPTY)
        return log_clusters, log_adjacency(self.weights["A_nz_vals_param"], float(self.numbers["in/beta"]))

    @torch.no_grad()
    def keep(self, clusters: Tensor) -> Paths:
        """Which paths the file's run kept; scores multiplied as there, so that equal ones are equal here."""
        n = len(clusters)
        scores = (float(self.numbers["in/alpha"]) * self.logits().softmax(1)).clamp(max=1).gather(1, clusters)
        labels = self.entries[clusters].view(n, -1)
        size = min(int(self.numbers[f"in/K_stage{self.number}"]), labels.shape[1])
        if self.number == 1:
            adjacency = self["param/A_nz_vals"].to(self.dtype)
            paths = torch.arange(labels.shape[1]).expand(n, -1)
        else:
            logits = self.weights["A_nz_vals_param"]
            adjacency = (float(self.numbers["in/beta"]) * logits.softmax(1)).clamp(max=1)
        values = (scores[:, :, None] * adjacency[clusters]).view(n, -1)
        if self.number == 2:
            values, paths = values.sort(dim=1, descending=True)
            labels = labels.gather(1, paths)
            again = repeated(labels) | (labels == self.n_labels)
            labels, values = labels.masked_fill(again, self.n_labels), values.masked_fill(again, 0)
        if size < labels.shape[1]:
            cut = values.topk(size, dim=1).indices
            paths, labels = paths.gather(1, cut), labels.gather(1, cut)
        return Paths(paths, labels, self.true(labels))

    def true(self, labels: Tensor) -> Tensor:
        """(n, K) bool: is that label true for its row?"""
        wide = self.n_labels + 1
        rows = torch.arange(len(labels))[:, None] * wide
        return torch.isin(rows + labels, self.batch.true_rows() * wide + self.batch.true_labels)

    def z(self, labels: Tensor) -> Tensor:
        return gather_dot(self.embs, self.weights["WL.weight"], self.weights["WL.bias"], labels)

    def all_paths(self, clusters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(labels (n, m), their log path scores, log path scores of the true labels among them), before the cut."""
        log_all, log_entries = self.log_scores()
        log_clusters = log_all.gather(1, clusters)
        n = len(clusters)
        if self.number == 1:
            labels = self.entries[clusters].view(n, -1)
            scores = (log_clusters[:, :, None] + log_entries[clusters]).view(n, -1)
            return labels, scores, scores[self.true(labels)]
        size = clusters.shape[1] * self.entries.shape[1]
        found = shortlist(clusters, log_clusters, self.entries, log_entries, size, self.n_labels, self.batch)
        rows = torch.arange(n)[:, None].expand_as(found.paths)
        scores = path_scores(log_clusters, clusters, log_entries, rows, found.paths)
        reached = found.true_paths >= 0
        rows = self.batch.true_rows()[reached]
        true = path_scores(log_clusters, clusters, log_entries, rows, found.true_paths[reached])
        return found.labels, scores, true

    def best_paths(self, clusters: Tensor) -> Tensor:
        """(n, K) path scores of the plugin's own shortlist in stage 2, descending, 0 at padding."""
        log_all, log_entries = self.log_scores()
        log_clusters = log_all.gather(1, clusters).detach()
        size = min(int(self.numbers["in/K_stage2"]), clusters.shape[1] * self.entries.shape[1])
        found = shortlist(clusters, log_clusters, self.entries, log_entries, size, self.n_labels, self.batch)
        rows = torch.arange(len(clusters))[:, None].expand_as(found.paths)
        scores = path_scores(log_clusters, clusters, log_entries, rows, found.paths).detach().exp()
        return torch.where(found.labels < self.n_labels, scores, 0).sort(dim=1, descending=True).values

    def probabilities(self, clusters: Tensor) -> tuple[Tensor, Tensor]:
        """(n, K) labels kept at the cut, and p = s · a · σ(z)."""
        kept = self.keep(clusters)
        log_all, log_entries = self.log_scores()
        rows = torch.arange(len(clusters))[:, None].expand_as(kept.paths)
        log_paths = path_scores(log_all.gather(1, clusters), clusters, log_entries, rows, kept.paths)
        return kept.labels, (log_paths + F.logsigmoid(self.z(kept.labels))).exp().detach()

    def losses(self) -> tuple[Tensor, Tensor]:
        """The classification loss and the shortlist loss of the training batch."""
        clusters = self["train/cluster_inds"]
        kept = self.keep(clusters)
        log_all, log_entries = self.log_scores()
        known = kept.labels < self.n_labels
        given = (clusters, kept.paths, kept.targets, known)
        first = path_loss(log_all.gather(1, clusters), log_entries, self.z(kept.labels), *given)
        n, padded = self.numbers["in/y_inds"].shape
        return first, shortlist_loss(self.all_paths(clusters)[2], n) / padded

    def total(self) -> Tensor:
        """Both losses: first + λ · second."""
        first, second = self.losses()
        return first + float(self.numbers["in/loss_lambda"]) * second


def repeated(labels: Tensor) -> Tensor:
    """(n, m) bool: has that label come before in its row?"""
    ordered = labels.sort(dim=1, stable=True)
    again = torch.zeros_like(labels, dtype=torch.bool)
    again[:, 1:] = ordered.values[:, 1:] == ordered.values[:, :-1]
    return torch.zeros_like(again).scatter(1, ordered.indices, again)
