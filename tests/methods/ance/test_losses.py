"""Losses of a dual encoder: by hand, and against loops over every pair."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch

from xmcbench.methods.ance.steps import Loss, loss_of


def one(
    z: list[list[float]], pairs: list[tuple[int, int]], loss: Loss, margin: float = 0.3, hardest: int = 10
) -> float:
    rows, columns = (torch.tensor([pair[i] for pair in pairs], dtype=torch.int64) for i in (0, 1))
    return float(loss_of(torch.tensor(z), rows, columns, loss, 0.3, 10))


def test_one_positive_by_hand() -> None:
    z = [[math.log(2.0), 0.0, 0.0]]  # exp z = 2, 1, 1
    assert one(z, [(0, 0)], "softmax") == pytest.approx(math.log(4 / 2))
    assert one(z, [(0, 0)], "decoupled") == pytest.approx(math.log(4 / 2))
    assert one([[0.5, 0.4, -1.0]], [(0, 0)], "triplet") == pytest.approx((0.3 - 0.5 + 0.4) / 2)


def test_two_positives_push_each_other_in_softmax_alone() -> None:
    z = [[math.log(2.0), math.log(3.0), 0.0]]
    assert one(z, [(0, 0), (0, 1)], "softmax") == pytest.approx((math.log(6 / 2) + math.log(6 / 3)) / 2)
    assert one(z, [(0, 0), (0, 1)], "decoupled") == pytest.approx((math.log(3 / 2) + math.log(4 / 3)) / 2)


def test_rows_without_a_positive_do_not_count() -> None:
    for loss in get_args(Loss):
        assert one([[0.1, 0.2], [5.0, 9.0]], [(0, 0)], loss) == pytest.approx(one([[0.1, 0.2]], [(0, 0)], loss))


def test_nothing_true_and_nothing_false() -> None:
    for loss in get_args(Loss):
        assert one([[0.1, 0.2]], [], loss) == 0.0
        assert one([[0.1, 0.2]], [(0, 0), (0, 1)], loss) == pytest.approx(
            0.0 if loss != "softmax" else (2 * np.logaddexp(0.1, 0.2) - 0.3) / 2, abs=1e-6
        )


@pytest.mark.parametrize("loss", get_args(Loss))
@pytest.mark.parametrize("seed", range(3))
def test_as_a_loop_over_pairs(loss: Loss, seed: int) -> None:
    rng = np.random.default_rng(seed)
    z, true = rng.normal(size=(5, 9)), rng.random((5, 9)) < 0.3
    means = []
    for row in range(5):
        false = np.sort(z[row][~true[row]])[::-1]
        each = []
        for positive in z[row][true[row]]:
            if loss == "softmax":
                each.append(np.log(np.exp(z[row]).sum()) - positive)
            elif loss == "decoupled":
                each.append(np.log(np.exp(positive) + np.exp(false).sum()) - positive)
            else:
                each.append(np.maximum(0, 0.3 - positive + false[:4]).mean())
        if each:
            means.append(np.mean(each))
    got = loss_of(torch.from_numpy(z), *map(torch.from_numpy, np.nonzero(true)), loss, 0.3, 4)
    assert float(got) == pytest.approx(np.mean(means))


@pytest.mark.parametrize("loss", get_args(Loss))
def test_gradients_are_finite_and_point_the_right_way(loss: Loss) -> None:
    z = torch.tensor([[30.0, -30.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    loss_of(z, torch.tensor([0, 1]), torch.tensor([1, 0]), loss, 0.3, 10).backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert z.grad[0, 1] < 0 < z.grad[0, 0]
