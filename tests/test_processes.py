"""Processes that exchange texts and tensors, end, and are missed."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.together import together
from xmcbench import processes
from xmcbench.errors import ProcessLost, UsageError, explain
from xmcbench.processes import Ranks


def exchange(ranks: Ranks, path: str) -> None:
    """Everything that processes can exchange, written as JSON by each."""
    import numpy as np
    import torch

    def make() -> dict[str, Any]:
        assert ranks.rank == 0
        return {
            "ids": np.array([[3, -1]], np.int32),
            "flags": np.array([True]),
            "one": np.array(0.5),
            "none": np.ones(0),
        }

    own = torch.tensor([1.0 + ranks.rank, 10.0])
    got = {
        "values": ranks.exchange({"rank": ranks.rank}),
        "told": ranks.told(f"by {ranks.rank}"),
        "sum": ranks.sum(own.clone()).tolist(),
        "largest": ranks.largest(own.clone()).tolist(),
        "stacked": ranks.stacked(own).tolist(),
        "spread": ranks.spread(own.clone()).tolist(),
        "arrays": {name: [str(array.dtype), array.tolist()] for name, array in ranks.arrays(make).items()},
        "nodes": len(set(ranks.nodes)),
    }
    if ranks.rank:
        ranks.send(own)
    else:
        got["received"] = [ranks.received(torch.empty(2), other).tolist() for other in range(1, ranks.count)]
    Path(f"{path}{ranks.rank}").write_text(json.dumps(got))


def test_all_get_what_each_gives(tmp_path: Path) -> None:
    assert together(3, exchange, tmp_path / "rank") == [0, 0, 0]
    first, *others = (json.loads((tmp_path / f"rank{rank}").read_text()) for rank in range(3))
    assert first.pop("received") == [[2.0, 10.0], [3.0, 10.0]]
    assert first == {
        "values": [{"rank": 0}, {"rank": 1}, {"rank": 2}],
        "told": "by 0",
        "sum": [6.0, 30.0],
        "largest": [3.0, 10.0],
        "stacked": [[1.0, 10.0], [2.0, 10.0], [3.0, 10.0]],
        "spread": [1.0, 10.0],
        "arrays": {
            "ids": ["int32", [[3, -1]]],
            "flags": ["bool", [True]],
            "one": ["float64", 0.5],
            "none": ["float64", []],
        },
        "nodes": 1,
    }
    assert others == [first, first]


def losing(ranks: Ranks, path: str, how: str) -> None:
    """Rank 1 ends, dies or stops; what each of the others learns of it is written to a file."""
    import torch

    processes.GONE = 2.0
    ranks.exchange("here")
    if ranks.rank == 1:
        if how == "ends":
            ranks.ended("MemoryError: no more")
            return
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        if how == "killed, texts":
            ranks.exchange("still here")
        else:
            ranks.sum(torch.ones(1))
            ranks.sum(torch.ones(1))
    except ProcessLost as lost:
        Path(f"{path}{ranks.rank}").write_text("\n".join(explain(lost)))
    stop = time.monotonic() + 30
    while ranks.rank == 0 and not Path(f"{path}2").exists() and time.monotonic() < stop:
        time.sleep(0.05)  # here rank 0 has the store, that of torchrun outlives all ranks


@pytest.mark.parametrize("how", ["ends", "killed, tensors", "killed, texts"])
def test_others_name_the_process_that_is_lost(tmp_path: Path, how: str) -> None:
    codes = together(3, losing, tmp_path / "rank", how)
    assert codes == [0, 0 if how == "ends" else -9, 0]
    for rank in (0, 2):
        status, reason, *_ = (tmp_path / f"rank{rank}").read_text().split("\n")
        assert status == "interrupted"  # so that checkpoints stay
        assert reason.startswith("rank 1 on ")
        if how == "ends":
            assert reason.partition(": ")[2].startswith("MemoryError: no more")
        else:
            assert " no longer answers" in reason or " has not answered for 2 s" in reason


def hanging(ranks: Ranks, path: str, how: str) -> None:
    """Rank 1 is stopped, or its main thread is, until the others have written what they learn of it."""
    import torch

    pids = ranks.exchange(os.getpid())
    ranks.sum(torch.ones(1))
    if ranks.rank == 1 and how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif ranks.rank == 1:
        wait_for(f"{path}0", f"{path}2")
    try:
        ranks.sum(torch.ones(1))
    except ProcessLost as lost:
        ranks.ended(str(lost))
        Path(f"{path}{ranks.rank}").write_text(str(lost))
    if ranks.rank == 0:  # here it has the store
        wait_for(f"{path}2")
        os.kill(pids[1], signal.SIGCONT)
        wait_for(f"{path}1")


def wait_for(*paths: str) -> None:
    stop = time.monotonic() + 60
    while not all(map(os.path.exists, paths)) and time.monotonic() < stop:
        time.sleep(0.05)


@pytest.mark.parametrize(("how", "fault"), [("stopped", "no longer answers"), ("waits", "did not join an exchange of")])
def test_a_process_that_hangs_is_named_after_the_limit_and_ends_when_it_continues(
    how: str, fault: str, tmp_path: Path
) -> None:
    assert together(3, hanging, tmp_path / "rank", how, answer=5.0) == [0, 0, 0]
    said = [(tmp_path / f"rank{rank}").read_text() for rank in range(3)]
    assert all(said)
    of_first = [text for text in said[::2] if text.startswith("rank 1 on ") and fault in text]
    assert of_first, said  # the other one may have noticed first that this one has ended
    assert said[1].startswith("rank 0 on ") or said[1].startswith("rank 2 on ")
    assert " has ended: rank 1 on " in said[1] or " has ended: rank " in said[1]


def test_a_process_that_never_starts_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.distributed import HashStore

    ranks = Ranks(0, 2, HashStore())
    monkeypatch.setattr(processes, "GONE", 0.0)
    monkeypatch.setattr(processes, "ARRIVE", 0.3)
    with pytest.raises(ProcessLost, match=r"rank 1 did not start within 0 s"):
        ranks.exchange("here")
    assert ranks.silent is None


@pytest.mark.parametrize(("rank", "said"), [("1", "error: rank 0 on node no longer answers\n"), ("2", "")])
def test_the_first_of_the_others_says_that_rank_0_no_longer_answers(
    rank: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from torch.distributed import HashStore

    monkeypatch.setattr(processes, "GONE", 0.3)
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(sys, "__stderr__", sys.stderr)
    store = HashStore()
    store.set("beat 0", "1 0")
    ranks = Ranks(int(rank), 3, store)
    ranks.nodes = ["node"] * 3
    with pytest.raises(ProcessLost, match=r"rank 0 on node has not answered for 0 s"):
        ranks.told()
    assert ranks.silent == 0
    ranks.close()
    assert capfd.readouterr().err.startswith(said)


def test_the_others_end_without_a_word_once_rank_0_has_ended(capfd: pytest.CaptureFixture[str]) -> None:
    from torch.distributed import HashStore

    store = HashStore()
    store.set("beat 0", "1 0")
    store.set("ended 0", "")
    Ranks(1, 2, store).close()
    assert capfd.readouterr().err == ""


def test_alone_there_is_nobody_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert processes.start("cpu") is None
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    assert (processes.start("cpu"), processes.rank(), processes.on_this_node()) == (None, 0, 1)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', no whole number from 0"),
        ({"WORLD_SIZE": "2", "RANK": "-1"}, "RANK is '-1', no whole number from 0"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK is 2, with WORLD_SIZE=2 it must be below 2"),
    ],
)
def test_variables_that_contradict_each_other(
    values: dict[str, str], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=fault):
        processes.start("cpu")
