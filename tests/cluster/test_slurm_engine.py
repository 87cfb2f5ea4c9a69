"""What the engine of Slurm makes of answers and faults, without a Slurm."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import plan_of
from tests.cluster.test_tasks import task
from xmcbench.cluster.engine import Lost, NoNode
from xmcbench.cluster.tasks import Resources
from xmcbench.errors import UsageError, WriteError

submitit = pytest.importorskip("submitit", reason="submitit is missing: pip install -e '.[submitit]'")
slurm_engine = pytest.importorskip("xmcbench.cluster.slurm_engine")

SINFO = "long|8+|(null)|infinite|1\nlow*|4|(null)|1:00:00|9000+\nlow*|2|gpu:1|1:00:00|4000\n"


class Slurm:
    """Stands for the commands of Slurm; `queue` is what squeue prints."""

    queue: str | None = ""

    def answer(self, command: Sequence[str]) -> str | None:
        return SINFO if command[0] == "sinfo" else self.queue


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    one = Slurm()
    monkeypatch.setattr(slurm_engine, "_answer", one.answer)
    monkeypatch.setattr(slurm_engine, "SETTLE", -1.0)
    monkeypatch.delenv("SBATCH_PARTITION", raising=False)
    return one


def test_cores_and_gpus_are_those_of_the_partition(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = slurm_engine.SlurmEngine(tmp_path)
    assert (engine.cores, engine.partition.most, engine.gpus) == (2, 4, True)
    assert engine.partition.memory == 9000 << 20
    monkeypatch.setenv("SBATCH_PARTITION", "long")
    engine = slurm_engine.SlurmEngine(tmp_path)
    assert (engine.cores, engine.gpus) == (8, False)
    assert engine.partition.memory > 1 << 60, "1 MB says that the memory of nodes is not known"


@pytest.mark.parametrize(
    ("queue", "says", "node"),
    [
        ("7_0|NODE_FAIL|big-2\n", "node_fail", "big-2"),
        ("7_0|FAILED|big-2\n7_1|RUNNING|big-1\n", "failed", "big-2"),
        ("7_0|CANCELLED|\n", "cancelled", ""),  # before it started
        ("", "unknown to slurm", ""),
        ("7_0|RUNNING|big-2\n", None, ""),
        ("7_0|REQUEUED|\n", None, ""),
        (None, None, ""),  # Slurm does not answer: nothing is known to be lost
    ],
)
def test_a_lost_job_is_told_with_its_node(
    slurm: Slurm, tmp_path: Path, queue: str | None, says: str | None, node: str
) -> None:
    engine = slurm_engine.SlurmEngine(tmp_path)
    engine.jobs, slurm.queue = {3: "7_0"}, queue
    lost = engine._lost()
    if says is None:
        assert lost == []
        assert engine.jobs == {3: "7_0"}
    else:
        assert lost == [Lost(3, f"job 7_0 ended: {says}; its output is in {engine.folder}", node)]
        assert engine.jobs == {}


def test_a_results_folder_without_space_is_named(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(slurm_engine.submitit.SlurmExecutor, "map_array", full)
    monkeypatch.setattr(slurm_engine.submitit.SlurmExecutor, "affinity", lambda _: 1)  # as if there were a Slurm
    engine = slurm_engine.SlurmEngine(tmp_path)
    with pytest.raises(WriteError) as raised:
        engine.submit([task(*plan_of("popularity"))], ())
    assert str(engine.folder) in str(raised.value)
    assert "the disk is full" in str(raised.value)
    assert engine.jobs == {}


def test_more_cores_than_any_node_has_are_refused(slurm: Slurm, tmp_path: Path) -> None:
    """Slurm itself queues such a job for ever."""
    engine, one = slurm_engine.SlurmEngine(tmp_path), task(*plan_of("popularity"))
    wanted = one.resources.threads
    engine.partition = engine.partition._replace(most=wanted - 1)
    with pytest.raises(NoNode, match=f"a run requests {wanted} cores?; the largest node has {wanted - 1}"):
        engine.submit([one], ())
    engine.partition = engine.partition._replace(most=wanted, memory=1 << 20)
    with pytest.raises(NoNode, match=r"a run requests \d+ MiB of memory; the largest node has 1 MiB") as raised:
        engine.submit([one], ())
    assert raised.value.memory == 1 << 20


def test_nodes_to_avoid_are_excluded(slurm: Slurm, tmp_path: Path) -> None:
    engine = slurm_engine.SlurmEngine(tmp_path)
    parameters = engine._parameters(Resources(2, 0, 3 << 30), {"b", "a"})
    assert parameters["exclude"] == "a,b"
    assert (parameters["cpus_per_task"], parameters["mem"]) == (2, "3072M")


def test_a_partition_without_nodes_is_refused(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_engine, "_answer", lambda _: "")
    with pytest.raises(UsageError, match="the partition has no nodes"):
        slurm_engine.SlurmEngine(tmp_path)
