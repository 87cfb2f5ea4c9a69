"""Shares of a kernel: each runs once with its own number, and a failure in one reaches the caller."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from xmcbench.sparse.shares import run_shares


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_shares_together_do_what_a_plain_loop_does(workers: int) -> None:
    values = np.arange(20.0)
    squares, visits = np.zeros(20), np.zeros(20, np.int64)

    def square(source: np.ndarray, target: np.ndarray, worker: int, workers: int) -> None:
        target[worker::workers] = source[worker::workers] ** 2
        visits[worker::workers] += 1

    run_shares(square, workers, values, squares)
    assert squares.tolist() == [value * value for value in range(20)]
    assert visits.tolist() == [1] * 20


def test_one_share_runs_in_the_thread_of_the_caller() -> None:
    threads: list[int] = []
    run_shares(lambda worker, workers: threads.append(threading.get_ident()), 1)
    assert threads == [threading.get_ident()]


@pytest.mark.parametrize("failing", [0, 2])
def test_a_failure_in_one_share_is_raised(failing: int) -> None:
    def fail(worker: int, workers: int) -> None:
        if worker == failing:
            raise ValueError(f"share {worker} of {workers}")

    with pytest.raises(ValueError, match=f"share {failing} of 3"):
        run_shares(fail, 3)
