"""Losses at the edges of the number line, against float64 and against the plain formula."""

from __future__ import annotations

import math

import pytest
import torch
from xmcbench_elias.training.loss import classification_loss, log_probabilities, shortlist_loss

Q = [0.0, 1e-30, 1e-8, 0.3, 0.999999, 1.0]
Z = [-120.0, -20.0, -0.5, 0.0, 3.0, 20.0, 120.0]


def both(q: float, z: float, dtype: torch.dtype, target: bool) -> tuple[float, float, float]:
    """(loss, its gradient in log q, its gradient in z) of one pair."""
    log_q = torch.tensor([[math.log(q) if q > 0 else -1e9]], dtype=dtype, requires_grad=True)
    logit = torch.tensor([[z]], dtype=dtype, requires_grad=True)
    loss = classification_loss(log_q, logit, torch.tensor([[target]]), torch.tensor([[True]]))
    loss.backward()
    assert log_q.grad is not None
    assert logit.grad is not None
    return loss.item(), log_q.grad.item(), logit.grad.item()


@pytest.mark.parametrize("target", [False, True])
@pytest.mark.parametrize("z", Z)
@pytest.mark.parametrize("q", Q)
def test_loss_and_gradient_are_finite_and_as_in_float64(q: float, z: float, target: bool) -> None:
    single, double = both(q, z, torch.float32, target), both(q, z, torch.float64, target)
    assert all(map(math.isfinite, single + double))
    assert single == pytest.approx(double, rel=2e-4, abs=1e-6)


@pytest.mark.parametrize("target", [False, True])
@pytest.mark.parametrize("z", Z)
@pytest.mark.parametrize("q", Q)
def test_autocast_changes_nothing(q: float, z: float, target: bool) -> None:
    plain = both(q, z, torch.float32, target)
    with torch.autocast("cpu", torch.bfloat16):
        assert both(q, z, torch.float32, target) == plain


@pytest.mark.parametrize("q", [0.01, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("z", [-3.0, 0.0, 2.0])
def test_logarithms_of_the_probability(q: float, z: float) -> None:
    p = q / (1 + math.exp(-z))
    log_p, log_not_p = log_probabilities(torch.tensor(q, dtype=torch.float64).log(), torch.tensor(z).double())
    assert log_p.item() == pytest.approx(math.log(p), rel=1e-12)
    assert log_not_p.item() == pytest.approx(math.log(1 - p), rel=1e-12)


def test_gradient_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    log_q = -torch.rand(3, 5, generator=generator, dtype=torch.float64) - 0.01
    z = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    targets = torch.rand(3, 5, generator=generator) < 0.4
    known = torch.rand(3, 5, generator=generator) < 0.8
    inputs = log_q.requires_grad_(), z.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: classification_loss(a, b, targets, known), inputs)


def test_padding_adds_nothing_and_has_no_gradient() -> None:
    log_q = torch.tensor([[math.log(0.5), -math.inf]], requires_grad=True)
    z = torch.tensor([[0.0, math.nan]], requires_grad=True)
    known = torch.tensor([[True, False]])
    loss = classification_loss(log_q, z, torch.tensor([[True, False]]), known)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(0.25) / 2)
    assert log_q.grad is not None
    assert log_q.grad[0, 1] == 0
    assert z.grad is not None
    assert z.grad[0, 1] == 0


def test_half_precision_is_never_used() -> None:
    log_p, log_not_p = log_probabilities(torch.tensor(-0.5).bfloat16(), torch.tensor(1.0).bfloat16())
    assert log_p.dtype == log_not_p.dtype == torch.float32
    assert shortlist_loss(torch.tensor([-1.0, -2.0]).bfloat16(), 2).dtype == torch.float32


def test_shortlist_loss_is_a_sum_over_rows() -> None:
    assert shortlist_loss(torch.tensor([-1.0, -2.0, -3.0]), 2).item() == pytest.approx(3.0)
    assert shortlist_loss(torch.zeros(0), 2).item() == 0
