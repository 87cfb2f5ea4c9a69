"""Losses of a dual encoder: each document against the labels of its step, with as many positives as it has.

z (n, m) are similarities of n documents and the m labels of a step, already divided by the temperature for the two
softmax losses. Positives are places (rows, columns) of z, all true labels of these documents that are among the m;
every other place is a negative. A document's positives share its weight of one, so that one with a hundred labels
counts as much as one with one; documents without a positive here don't count.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Literal["softmax", "decoupled", "triplet"]
FAR = -1e4  # in place of a similarity that must not count; finite, so that no gradient is NaN


def loss_of(z: Tensor, rows: Tensor, columns: Tensor, loss: Loss, margin: float, hardest: int) -> Tensor:
    """The scalar loss; `margin` and `hardest` are the triplet's.

    softmax : −log of a positive's share of exp z over the document's whole row (InfoNCE; DPR, ANCE).
    decoupled : the same with the document's other positives taken out of the denominator (Gupta et al., DEXML,
        ICLR 2024, section 4.2), so that labels of one document don't push each other away.
    triplet : max(0, margin − z⁺ + z⁻), mean over the document's `hardest` negatives of largest z (NGAME, WSDM 2023).
    """
    true = torch.zeros(z.shape, dtype=torch.bool, device=z.device)
    true[rows, columns] = True
    counts = true.sum(dim=1)
    positive = z[rows, columns]
    if loss == "softmax":
        each = z.logsumexp(dim=1)[rows] - positive
    elif loss == "decoupled":
        each = F.softplus(z.masked_fill(true, FAR).logsumexp(dim=1)[rows] - positive)
    else:
        negatives = z.masked_fill(true, FAR).topk(min(hardest, z.shape[1]), dim=1).values
        known = (negatives > FAR).float()
        over = F.relu(margin - positive[:, None] + negatives[rows]) * known[rows]
        each = over.sum(dim=1) / known.sum(dim=1).clamp(min=1)[rows]
    return (each / counts[rows]).sum() / (counts > 0).sum().clamp(min=1)
