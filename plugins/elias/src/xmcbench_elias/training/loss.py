"""Both losses of ELIAS, computed from logarithms, so that probabilities of 0 and 1 are handled exactly.

p = q · σ(z) with q = s · a the score of a label's best path (section 3.3 of the paper). Never in half precision.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CERTAIN = -1e-30  # a log path score above it counts as q = 1, where log q has no gradient


def log_probabilities(log_path: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """(log p, log(1 − p)) for log path scores ≤ 0 and label logits `z`, at least in float32.

    1 − p = σ(−z) + (1 − q) σ(z), so log(1 − p) adds two logarithms. 1 − q is computed from log q, since a float32 q
    near 1 loses its digits. If q = 1, the input of the logarithm is replaced, since both branches of a `where` get a
    gradient.
    """
    dtype = torch.promote_types(log_path.dtype, torch.float32)
    log_path, z = log_path.to(dtype), z.to(dtype)
    log_sure, log_not = F.logsigmoid(z), F.logsigmoid(-z)
    certain = log_path > CERTAIN
    log_miss = torch.log(-torch.expm1(torch.where(certain, -1.0, log_path))) + log_sure
    return log_path + log_sure, torch.where(certain, log_not, torch.logaddexp(log_not, log_miss))


def classification_loss(log_path: Tensor, z: Tensor, targets: Tensor, valid: Tensor) -> Tensor:
    """Mean binary cross-entropy of p over the shortlist.

    Parameters
    ----------
    log_path, z : (n, K).
    targets : (n, K) bool, True for true labels.
    valid : (n, K) bool, False at padding, which adds 0 to the sum; the sum is divided by n · K.
    """
    log_p, log_not_p = log_probabilities(torch.where(valid, log_path, 0.0), torch.where(valid, z, 0.0))
    log_likelihood = torch.where(targets, log_p, log_not_p)
    return -torch.where(valid, log_likelihood, 0.0).sum() / max(log_likelihood.numel(), 1)


def shortlist_loss(log_path: Tensor, n_rows: int) -> Tensor:
    """−log path score, summed over the true labels that a path reaches, per row."""
    dtype = torch.promote_types(log_path.dtype, torch.float32)
    return -log_path.to(dtype).sum() / n_rows
