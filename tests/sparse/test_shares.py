"""Shares of a kernel: each runs once with its own number, and a failure in one reaches the caller."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from xmcbench.runs.undisturbed import running_threads
from xmcbench.sparse import shares
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


def test_threads_are_kept_and_no_run_is_said_to_have_left_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "get_num_threads", lambda: 2)
    before, used = running_threads(), set()
    met = threading.Barrier(2, timeout=20)

    def kernel(share: int, _: int) -> None:
        used.add(threading.current_thread())
        met.wait()  # so that both threads take a share

    for _ in range(3):
        run_shares(kernel, 2)
    assert len(used) == 2
    assert running_threads() == before


def test_an_error_of_a_share_is_raised_when_all_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "get_num_threads", lambda: 2)
    ended = []

    def kernel(share: int, _: int) -> None:
        if share == 1:
            raise ValueError("share 1")
        ended.append(share)

    with pytest.raises(ValueError, match="share 1"):
        run_shares(kernel, 6)
    assert sorted(ended) == [0, 2, 3, 4, 5]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "get_num_threads", lambda: 2)
    run_shares(lambda share, _: None, 2)
    child = os.fork()
    if not child:
        met = threading.Barrier(2, timeout=20)
        try:
            run_shares(lambda share, _: met.wait() and None, 2)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
