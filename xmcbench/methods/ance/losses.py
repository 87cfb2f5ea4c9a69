"""Losses of a dual encoder: each document against the labels of its step, with any number of positives.

z (n, m) holds the similarities of n documents and the m labels of a step, already divided by the temperature for the
two softmax losses. Positives are the entries (rows, columns) of z at the true labels of each document; every other
entry is a negative. The positives of a document share a weight of one, so that all documents count the same, however
many labels they have; documents without a positive in the step don't count.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Literal["softmax", "decoupled", "triplet"]
FAR = -1e4  # replaces a similarity that must not count; finite, so that no gradient is NaN


def loss_of(z: Tensor, rows: Tensor, columns: Tensor, loss: Loss, margin: float, hardest: int) -> Tensor:
    """The scalar loss; only the triplet loss uses `margin` and `hardest`.

    softmax : −log of a positive's share of exp z over the row of the document (InfoNCE; DPR, ANCE).
    decoupled : the same without the document's other positives in the denominator (Gupta et al., DEXML,
        ICLR 2024, section 4.2), so that labels of one document don't push each other away.
    triplet : max(0, margin − z⁺ + z⁻), mean over the document's `hardest` negatives of largest z (NGAME, WSDM 2023).
    """
    true = torch.zeros(z.shape, dtype=torch.bool, device=z.device)
    true[rows, columns] = True
    counts = true.sum(dim=1)
    positive = z[rows, columns]
    if loss == "softmax":
        losses = z.logsumexp(dim=1)[rows] - positive
    elif loss == "decoupled":
        losses = F.softplus(z.masked_fill(true, FAR).logsumexp(dim=1)[rows] - positive)
    else:
        negatives = z.masked_fill(true, FAR).topk(min(hardest, z.shape[1]), dim=1).values
        valid = (negatives > FAR).float()
        violations = F.relu(margin - positive[:, None] + negatives[rows]) * valid[rows]
        losses = violations.sum(dim=1) / valid.sum(dim=1).clamp(min=1)[rows]
    return (losses / counts[rows]).sum() / (counts > 0).sum().clamp(min=1)
