"""The classification loss of a shortlist on the CPU, in one pass over its paths instead of some fifty.

Loss and gradient come from closed forms: with u = log q, q = s · a the path score, p = q · σ(z),

    true label    −log p         d/du = −1              d/dz = −σ(−z)
    other label   −log(1 − p)    d/du = p / (1 − p)     d/dz = σ(−z) · p / (1 − p)

The torch form (`step.path_scores`, then `loss.classification_loss`) serves other devices and is the test twin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from xmcbench_elias.loss import CERTAIN


def path_loss(
    log_clusters: Tensor,
    log_entries: Tensor,
    z: Tensor,
    clusters: Tensor,
    paths: Tensor,
    targets: Tensor,
    known: Tensor,
) -> Tensor:
    """Mean cross-entropy of the shortlist, as `classification_loss` of `path_scores`.

    Parameters
    ----------
    log_clusters : (n, w) log scores of the beam's `clusters` (n, w), int64. log_entries : (C, width).
    z : (n, K). paths : (n, K) int64, place in the beam · width + column. targets, known : (n, K) bool.
    """
    out: Tensor = _PathLoss.apply(log_clusters, log_entries, z, clusters, paths, targets, known)  # type: ignore[no-untyped-call]
    return out


class _PathLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_clusters: Tensor, log_entries: Tensor, z: Tensor, *given: Tensor) -> Tensor:
        clusters, paths = given[:2]
        each = z.new_empty(len(z), dtype=torch.float64)
        for_paths, for_z = torch.empty_like(z), torch.empty_like(z)
        arrays = [t.detach().contiguous().numpy() for t in (log_clusters, log_entries, z, *given)]
        forward: Any = path_losses
        forward(*arrays, each.numpy(), for_paths.numpy(), for_z.numpy())
        ctx.save_for_backward(clusters, paths, for_paths, for_z)
        ctx.width = log_entries.shape
        return (each.sum() / max(z.numel(), 1)).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        clusters, paths, for_paths, for_z = ctx.saved_tensors
        scale = gradient / max(for_z.numel(), 1)
        for_clusters = for_paths.new_zeros(clusters.shape)
        for_entries = for_paths.new_zeros(ctx.width)
        arrays = [t.numpy() for t in (clusters.contiguous(), paths, for_paths, for_clusters, for_entries)]
        spread: Any = spread_over_paths
        spread(float(scale), *arrays)
        return for_clusters, for_entries, for_z * scale, None, None, None, None


@njit(cache=True, nogil=True, parallel=True)
def path_losses(
    log_clusters: Any,
    log_entries: Any,
    z: Any,
    clusters: Any,
    paths: Any,
    targets: Any,
    known: Any,
    each: Any,
    for_paths: Any,
    for_z: Any,
) -> None:
    """Each row's summed loss, float64, and its gradient in every log path score and every z."""
    width = log_entries.shape[1]
    for i in prange(len(z)):
        total = 0.0
        for k in range(z.shape[1]):
            if known[i, k]:
                place = paths[i, k] // width
                score = log_clusters[i, place] + log_entries[clusters[i, place], paths[i, k] - place * width]
                loss, for_path, for_one = one_loss(score, z[i, k], targets[i, k])
                total += loss
                for_paths[i, k] = for_path
                for_z[i, k] = for_one
            else:
                for_paths[i, k] = 0
                for_z[i, k] = 0
        each[i] = total


@njit(cache=True, nogil=True)
def one_loss(log_q: float, z: float, target: bool) -> tuple[float, float, float]:
    """(loss, d/d log q, d/dz) in float64; 1 − p = σ(−z) + (1 − q) σ(z) is a sum, so that nothing cancels."""
    small = np.exp(-abs(np.float64(z)))
    sure, unsure = 1 / (1 + small), small / (1 + small)
    if z < 0:
        sure, unsure = unsure, sure
    log_q = np.float64(log_q)
    if target:
        return np.log1p(small) - min(z, 0.0) - log_q, -1.0, -unsure
    if log_q > CERTAIN:
        return np.log1p(small) + max(z, 0.0), 0.0, sure
    if log_q < -1:
        q = np.exp(log_q)
        miss = 1 - q
    else:
        miss = -np.expm1(log_q)
        q = 1 - miss
    p, not_p = q * sure, unsure + miss * sure
    loss = -np.log1p(-p) if p < 0.5 else -np.log(not_p)
    return loss, p / not_p, unsure * p / not_p


@njit(cache=True, nogil=True)
def spread_over_paths(
    scale: float, clusters: Any, paths: Any, for_paths: Any, for_clusters: Any, for_entries: Any
) -> None:
    """Add every path's gradient to its cluster's score and its entry; one thread, since rows share entries."""
    width = for_entries.shape[1]
    for i in range(len(paths)):
        for k in range(paths.shape[1]):
            place = paths[i, k] // width
            gradient = for_paths[i, k] * scale
            for_clusters[i, place] += gradient
            for_entries[clusters[i, place], paths[i, k] - place * width] += gradient
