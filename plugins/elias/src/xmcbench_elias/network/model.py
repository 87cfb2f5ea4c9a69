"""The ELIAS network: encoder, cluster classifier, label adjacency, label classifier."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xmcbench.encoders.encoder import Encoder

LABEL_BIAS = -3.0  # σ(−3) = 0.05, since nearly all labels of a shortlist are false
EMPTY = -1e9  # logit of an empty slot; far below any other, and finite so that empty rows stay finite


def log_cluster_scores(logits: Tensor, alpha: float) -> Tensor:
    """log s = min(0, log α + log softmax), (n, C). A clamped score has no gradient."""
    return (logits.log_softmax(dim=1) + math.log(alpha)).clamp(max=0)


def log_adjacency(logits: Tensor, beta: Tensor | float) -> Tensor:
    """log a = min(0, log β + log softmax over a cluster's entries), (C, width); `beta` a number or (C, 1)."""
    log_beta = beta.log() if isinstance(beta, Tensor) else math.log(beta)
    return (logits.log_softmax(dim=1) + log_beta).clamp(max=0)


class EliasModel(nn.Module):
    """The weights and the index.

    Attributes
    ----------
    entries : (C, width) int64, labels of each cluster, padded with n_labels.
    adjacency : (C, width) trainable logits, or None if all values are 1 (stage 1).
    """

    def __init__(
        self, encoder: Encoder, entries: Tensor, n_labels: int, alpha: float, share: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        width = encoder.width
        self.n_labels = n_labels
        self.alpha = alpha
        self.share = share
        self.encoder = encoder
        self.cluster_weight = nn.Parameter(torch.randn(len(entries), width, generator=generator) * 0.02)
        self.cluster_bias = nn.Parameter(torch.zeros(len(entries)))
        self.label_weight = nn.Parameter(torch.empty(n_labels, width))
        self.label_bias = nn.Parameter(torch.empty(n_labels))
        self.fresh_labels(generator)
        self.register_buffer("entries", entries)
        self.entries: Tensor
        self.adjacency: nn.Parameter | None = None

    def fresh_labels(self, generator: torch.Generator) -> None:
        """Reinitialise the label classifier."""
        weight = self.label_weight
        with torch.no_grad():
            # Drawn on the CPU, so that weights do not depend on the device; there in place, without a copy.
            drawn = weight if weight.device.type == "cpu" else torch.empty(weight.shape)
            weight.copy_(drawn.normal_(generator=generator).mul_(0.02))
            self.label_bias.fill_(LABEL_BIAS)

    def put_graph(self, entries: NDArray[np.int64], counts: NDArray[np.float32]) -> None:
        """Replace the clustering by the graph (C, width); the adjacency's logits start at log(count + 1)."""
        device = self.entries.device
        self.entries = torch.from_numpy(entries).to(device)
        self.adjacency = nn.Parameter(torch.from_numpy(np.log1p(counts)).to(device))

    @property
    def filled(self) -> Tensor:
        """(C, width) bool: True for slots with a label."""
        return self.entries < self.n_labels

    def cluster_logits(self, embedding: Tensor) -> Tensor:
        """(n, C) logits of the clusters."""
        return embedding @ self.cluster_weight.T + self.cluster_bias

    def log_entries(self) -> Tensor:
        """(C, width): log of the adjacency's values, 0 in stage 1; EMPTY at padding."""
        if self.adjacency is None:
            return torch.where(self.filled, 0.0, EMPTY)
        filled = self.filled
        beta = (self.share * filled.sum(dim=1, keepdim=True)).clamp(min=1.0)
        return torch.where(filled, log_adjacency(torch.where(filled, self.adjacency, EMPTY), beta), EMPTY)

    def owners(self) -> Tensor:
        """(L,) int64: the cluster of largest a for each label (ties: lower id); −1 for labels without a cluster."""
        with torch.no_grad():
            values = self.log_entries()
        filled = self.filled
        clusters = torch.arange(len(values), device=values.device)[:, None].expand_as(values)[filled]
        labels, values = self.entries[filled], values[filled]
        best = torch.full((self.n_labels,), -math.inf, dtype=values.dtype, device=values.device)
        best = best.scatter_reduce(0, labels, values, "amax")
        winners = values == best[labels]
        owner = torch.full((self.n_labels,), len(self.entries), device=values.device)
        owner = owner.scatter_reduce(0, labels[winners], clusters[winners], "amin")
        return torch.where(owner == len(self.entries), -1, owner)

    def clamped_share(self) -> float:
        """Share of the adjacency's entries whose value is clamped at 1; 1.0 in stage 1."""
        with torch.no_grad():
            return float((self.log_entries()[self.filled] == 0).float().mean())
