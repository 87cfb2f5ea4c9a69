"""The bag-of-words encoder: a weighted sum of feature embeddings, then a residual layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xmcbench.tables.ops import bag
from xmcbench_elias.batches import Batch

EMBED_SCALE = 0.3  # measured on validation rows: 1.0 memorises the random start of rare features


class BowEncoder(nn.Module):
    """φ(x) = h + drop(relu(W h + c)), h = drop(relu(Σ x_f · E_f + b)).

    `embed` is (d, D) with row-sparse gradients; D is the width of φ.
    """

    def __init__(self, n_features: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(n_features, width, generator=generator) * EMBED_SCALE)
        self.embed_bias = nn.Parameter(torch.zeros(width))
        self.mix = nn.Parameter(torch.randn(width, width, generator=generator) * (2 / width) ** 0.5)
        self.mix_bias = nn.Parameter(torch.zeros(width))

    def forward(self, batch: Batch, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(n, D) float32 embeddings; dropout draws from `generator`, nothing global. On a GPU products are in bf16."""
        summed = bag(self.embed, batch.indptr, batch.indices, batch.values)
        hidden = drop(torch.relu(summed + self.embed_bias), dropout, generator)
        with half_products(summed):
            mixed = (hidden @ self.mix.T).to(summed.dtype)
        return hidden + drop(torch.relu(mixed + self.mix_bias), dropout, generator)


def half_products(tensor: Tensor) -> torch.autocast:
    """Autocast to bf16 where the tensor is on a GPU; everything outside the encoder stays in float32."""
    kind = tensor.device.type
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu")


def drop(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Inverted dropout with a generator of its own; none without a generator."""
    if rate <= 0 or generator is None:
        return x
    kept = torch.empty_like(x).bernoulli_(1 - rate, generator=generator)
    return x * kept / (1 - rate)
