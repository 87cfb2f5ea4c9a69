"""The fused loss of the CPU against the torch form, values and gradients, at the edges of the number line too."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from xmcbench_elias.training.path_loss import path_loss
from xmcbench_elias.training.step import path_loss_torch

ROWS, PLACES, WIDTH, SIZE = 3, 4, 5, 7


def world(seed: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Scores of clusters and entries (some of them 0, clamped), z, and a shortlist of paths with padding."""
    g = torch.Generator().manual_seed(seed)
    log_clusters = (torch.randn(ROWS, PLACES, generator=g, dtype=dtype) - 1).clamp(max=0)
    log_entries = (torch.randn(6, WIDTH, generator=g, dtype=dtype) - 1).clamp(max=0)
    z = torch.randn(ROWS, SIZE, generator=g, dtype=dtype) * 4
    clusters = torch.stack([torch.randperm(6, generator=g)[:PLACES] for _ in range(ROWS)])
    paths = torch.stack([torch.randperm(PLACES * WIDTH, generator=g)[:SIZE] for _ in range(ROWS)])
    targets, known = (torch.rand(ROWS, SIZE, generator=g) < share for share in (0.3, 0.8))
    return log_clusters, log_entries, z, clusters, paths, targets, known


def both(given: tuple[Tensor, ...]) -> list[list[Tensor]]:
    """(loss, its three gradients) of either form."""
    out = []
    for form in (path_loss, path_loss_torch):
        leaves = [t.clone().requires_grad_() for t in given[:3]]
        loss = form(*leaves, *given[3:])
        gradients = torch.autograd.grad(loss * 3, leaves)
        out.append([loss.detach(), *gradients])
    return out


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_both_forms_agree(seed: int) -> None:
    for one, other in zip(*both(world(seed, torch.float64)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)
    for one, other in zip(*both(world(seed, torch.float32)), strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("target", [False, True])
@pytest.mark.parametrize("z", [-1e4, -120.0, -0.5, 0.0, 3.0, 120.0, 1e4])
@pytest.mark.parametrize("log_q", [-1e9, -120.0, -1.0, -1e-3, -1e-12, -1e-29, 0.0])
def test_edges_are_finite_and_right(log_q: float, z: float, target: bool) -> None:
    one = torch.ones(1, 1, dtype=torch.bool)
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    given = torch.zeros(1, 1), torch.tensor([[log_q]]), torch.tensor([[z]]), nothing, nothing, one & target, one
    (loss, *gradients), _ = both(given)
    exact = both(tuple(t.double() if t.is_floating_point() else t for t in given))[1]
    for found, right in zip([loss, *gradients], exact, strict=True):
        assert bool(found.isfinite().all())
        torch.testing.assert_close(found.double(), right, rtol=1e-5, atol=1e-7)


def test_padding_may_hold_anything() -> None:
    scores, entries, z, clusters, paths, targets, known = world(0, torch.float32)
    dirty = torch.where(known, z, math.nan)
    (loss, *gradients), _ = both((scores, entries, dirty, clusters, paths, targets, known))
    (clean, *right), _ = both((scores, entries, torch.where(known, z, 0.0), clusters, paths, targets, known))
    assert torch.equal(loss, clean)
    for one, other in zip(gradients, right, strict=True):
        assert torch.equal(one, other)
    assert not gradients[2][~known].any()
