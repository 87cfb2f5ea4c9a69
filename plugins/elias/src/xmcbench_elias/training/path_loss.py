"""The classification loss of a shortlist on the CPU, fused into one pass over its paths.

Loss and gradient are closed forms: with u = log q, q = s · a the path score, p = q · σ(z),

    true label    −log p         d/du = −1              d/dz = −σ(−z)
    other label   −log(1 − p)    d/du = p / (1 − p)     d/dz = σ(−z) · p / (1 − p)

Other devices, and tests as a reference, use the torch form: `search.path_scores`, then `loss.classification_loss`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

from xmcbench_elias.training.loss import CERTAIN


class Paths(NamedTuple):
    """Arrays of a shortlist's paths, as the tensors of `path_loss`."""

    log_clusters: Any
    log_entries: Any
    z: Any
    clusters: Any
    paths: Any
    targets: Any
    valid: Any


def path_loss(
    log_clusters: Tensor,
    log_entries: Tensor,
    z: Tensor,
    clusters: Tensor,
    paths: Tensor,
    targets: Tensor,
    valid: Tensor,
) -> Tensor:
    """Mean cross-entropy of the shortlist, as `classification_loss` of `path_scores`.

    Parameters
    ----------
    log_clusters : (n, w) log scores of the beam's `clusters` (n, w), int64. log_entries : (C, width).
    z : (n, K). paths : (n, K) int64, position in the beam · width + column. targets, valid : (n, K) bool, as in `loss`.
    """
    out: Tensor = _PathLoss.apply(log_clusters, log_entries, z, clusters, paths, targets, valid)  # type: ignore[no-untyped-call]
    return out


class _PathLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_clusters: Tensor, log_entries: Tensor, z: Tensor, *rest: Tensor) -> Tensor:
        clusters, paths = rest[:2]
        row_losses = z.new_empty(len(z), dtype=torch.float64)
        path_gradient, z_gradient = torch.empty_like(z), torch.empty_like(z)
        paths_of_rows = Paths(*(t.detach().contiguous().numpy() for t in (log_clusters, log_entries, z, *rest)))
        path_losses(paths_of_rows, row_losses.numpy(), path_gradient.numpy(), z_gradient.numpy())
        ctx.save_for_backward(clusters, paths, path_gradient, z_gradient)
        ctx.width = log_entries.shape
        return (row_losses.sum() / max(z.numel(), 1)).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        clusters, paths, path_gradient, z_gradient = ctx.saved_tensors
        scale = gradient / max(z_gradient.numel(), 1)
        cluster_gradient = path_gradient.new_zeros(clusters.shape)
        entry_gradient = path_gradient.new_zeros(ctx.width)
        arrays = [t.numpy() for t in (clusters.contiguous(), paths, path_gradient, cluster_gradient, entry_gradient)]
        spread_over_paths(float(scale), *arrays)
        return cluster_gradient, entry_gradient, z_gradient * scale, None, None, None, None


@njit(cache=True, nogil=True, parallel=True)
def path_losses(given: Any, row_losses: Any, path_gradient: Any, z_gradient: Any) -> None:
    """Compute each row's loss sum, float64, and its gradient with respect to every log path score and every z."""
    width = given.log_entries.shape[1]
    for i in prange(len(given.z)):
        total = 0.0
        for k in range(given.z.shape[1]):
            if given.valid[i, k]:
                position = given.paths[i, k] // width
                cluster, column = given.clusters[i, position], given.paths[i, k] - position * width
                log_path = given.log_clusters[i, position] + given.log_entries[cluster, column]
                loss, one_path, one_z = one_loss(log_path, given.z[i, k], given.targets[i, k])
                total += loss
                path_gradient[i, k] = one_path
                z_gradient[i, k] = one_z
            else:
                path_gradient[i, k] = 0
                z_gradient[i, k] = 0
        row_losses[i] = total


@njit(cache=True, nogil=True)
def one_loss(log_q: float, z: float, target: bool) -> tuple[float, float, float]:
    """(loss, d/d log q, d/dz) in float64; 1 − p = σ(−z) + (1 − q) σ(z) is a sum, which avoids cancellation."""
    exp_minus_abs = np.exp(-abs(np.float64(z)))
    sigmoid, one_minus_sigmoid = 1 / (1 + exp_minus_abs), exp_minus_abs / (1 + exp_minus_abs)
    if z < 0:
        sigmoid, one_minus_sigmoid = one_minus_sigmoid, sigmoid
    log_q = np.float64(log_q)
    if target:
        return np.log1p(exp_minus_abs) - min(z, 0.0) - log_q, -1.0, -one_minus_sigmoid
    if log_q > CERTAIN:
        return np.log1p(exp_minus_abs) + max(z, 0.0), 0.0, sigmoid
    if log_q < -1:
        q = np.exp(log_q)
        not_q = 1 - q
    else:
        not_q = -np.expm1(log_q)
        q = 1 - not_q
    p, not_p = q * sigmoid, one_minus_sigmoid + not_q * sigmoid
    loss = -np.log1p(-p) if p < 0.5 else -np.log(not_p)
    return loss, p / not_p, one_minus_sigmoid * p / not_p


@njit(cache=True, nogil=True)
def spread_over_paths(
    scale: float, clusters: Any, paths: Any, path_gradient: Any, cluster_gradient: Any, entry_gradient: Any
) -> None:
    """Add every path's gradient to those of its cluster score and its entry; one thread, since rows share entries."""
    width = entry_gradient.shape[1]
    for i in range(len(paths)):
        for k in range(paths.shape[1]):
            position = paths[i, k] // width
            gradient = path_gradient[i, k] * scale
            cluster_gradient[i, position] += gradient
            entry_gradient[clusters[i, position], paths[i, k] - position * width] += gradient
