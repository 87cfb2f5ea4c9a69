"""The bag-of-words encoder: by hand, its dropout, and its products in bf16."""

from __future__ import annotations

import pytest
import torch
from xmcbench_elias import encoder
from xmcbench_elias.batches import Batch
from xmcbench_elias.encoder import BowEncoder, drop


def batch() -> Batch:
    """Two rows of four features; the second row is empty."""
    none = torch.zeros(0, dtype=torch.int64)
    empty = torch.zeros(3, dtype=torch.int64)
    return Batch(torch.tensor([0, 2, 2]), torch.tensor([1, 3]), torch.tensor([2.0, -1.0]), empty, none)


def test_by_hand() -> None:
    made = BowEncoder(4, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.embed.copy_(torch.tensor([[9.0, 9.0], [1.0, 0.5], [9.0, 9.0], [0.5, 2.0]]))
        made.mix.copy_(torch.tensor([[1.0, 1.0], [-2.0, 0.0]]))
        made.mix_bias.copy_(torch.tensor([0.5, 1.0]))
    # h = relu(2 · (1, 0.5) − (0.5, 2)) = (1.5, 0); relu(W h + c) = relu(2, −2)
    torch.testing.assert_close(made(batch()), torch.tensor([[3.5, 0.0], [0.5, 1.0]]))


def test_dropout_keeps_the_mean_and_asks_for_a_generator() -> None:
    x = torch.ones(200, 200)
    dropped = drop(x, 0.3, torch.Generator().manual_seed(0))
    assert sorted(dropped.unique().tolist()) == [0.0, pytest.approx(1 / 0.7)]
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert drop(x, 0.3, None) is x


def test_products_in_bf16_give_float32_embeddings_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[torch.Tensor]:
        made = BowEncoder(4, 64, torch.Generator().manual_seed(1))
        embedding = made(batch())
        (embedding**2).sum().backward()
        assert made.mix.grad is not None
        assert made.embed.grad is not None
        return [embedding.detach(), made.mix.grad, made.embed.grad.to_dense()]

    exact = run()
    monkeypatch.setattr(encoder, "half_products", lambda tensor: torch.autocast("cpu", torch.bfloat16))
    half = run()
    for one, other in zip(exact, half, strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other) or not one.any()
        torch.testing.assert_close(other, one, rtol=0.05, atol=0.05)
