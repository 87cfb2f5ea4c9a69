"""`xmcbench run` in several processes: who speaks, what is refused, and the record."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.together import free_port
from xmcbench.records.store import Store

QUICK = "elias[dual_epochs=0,ranker=none,stage1_epochs=2,stage2_epochs=1,finish_epochs=1]"
# `xmcbench run` with a short limit, whose process of rank 1 stops in the second step of epoch 2 of stage 1
STOPPING = """
import os, signal, sys
os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as processes.start sets it, before torch is imported
from xmcbench import processes
from xmcbench.methods import training

processes.ANSWER, training.CHECKPOINT_EVERY = 20.0, 0.0
epoch = training.Loop.epoch

def stopping(loop, number, epochs, batches, loss_of):
    def loss_or_stop(step, batch):
        if (loop.name, number, step, os.environ["RANK"]) == ("stage 1", 1, 1, "1"):
            os.kill(os.getpid(), signal.SIGSTOP)
        return loss_of(step, batch)

    return epoch(loop, number, epochs, batches, loss_or_stop)

training.Loop.epoch = stopping
sys.argv[0] = "xmcbench"
from xmcbench.cli.main import main
main()
"""
TINY = "synthetic[labels=40,rows=300,test=50]"
Ended = tuple[int, str, str]


def run(*words: str, others: tuple[str, ...] | None = None, folder: Path) -> list[Ended]:
    """Exit code, standard output and standard error of two processes; `others`: the words of the second."""
    started = [("-m", "xmcbench", "run", *words), ("-m", "xmcbench", "run", *(words if others is None else others))]
    return [ended(process) for process in start(started, folder)]


def ended(process: subprocess.Popen[str]) -> Ended:
    output, errors = process.communicate(timeout=280)
    return process.returncode, output, errors


def start(programs: list[tuple[str, ...]], folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes of one run, from the arguments of Python of each."""
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    started = []
    for rank, arguments in enumerate(programs):
        command = [sys.executable, *arguments, "--results", str(folder), "--device", "cpu"]
        environment = os.environ | address | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
    return started


def test_a_method_that_is_not_divided_is_refused_once(tmp_path: Path) -> None:
    first, second = run("xrlinear", "--dataset", TINY, folder=tmp_path)
    error = "error: xrlinear: not trained by several processes, and 2 were started\n  Run it without torchrun.\n"
    assert first == (2, "", error)
    assert second == (0, "", "")
    assert not list(tmp_path.iterdir())


def test_another_seed_in_another_process_is_refused(tmp_path: Path) -> None:
    words = ("elias", "--dataset", TINY)
    first, second = run(*words, others=(*words, "--seeds", "1"), folder=tmp_path)
    assert first[0] == 2
    assert first[2].startswith("error: rank 1 on ")
    assert "seeds 1 instead of 0\n  Install the same" in first[2]
    assert second == (0, "", "")
    assert not (tmp_path / "records").exists()


def test_a_process_that_fails_before_it_meets_the_others_says_so_itself(tmp_path: Path) -> None:
    words = ("-m", "xmcbench", "run", "elias", "--dataset", TINY, "--of-a-later-version")
    alone = start([words] * 2, tmp_path)[1]
    code, output, errors = ended(alone)
    assert (code, output) == (2, "")
    assert errors.startswith(f"rank 1 on {socket.gethostname()}: Usage: ")
    assert "No such option: --of-a-later-version" in errors


@pytest.mark.parametrize(
    ("words", "variables", "code", "output", "errors"),
    [
        (("ls", "methods"), {"WORLD_SIZE": "2", "RANK": "1"}, 0, "popularity", ""),  # no command for several processes
        (("run", "popularity"), {"WORLD_SIZE": "-1"}, 2, "", "error: the environment variable WORLD_SIZE is '-1'"),
        (("run", "popularity"), {"WORLD_SIZE": "2", "RANK": "x"}, 2, "", "error: the environment variable RANK is 'x'"),
    ],
)
def test_variables_of_torchrun_that_are_left_over_or_wrong(
    words: tuple[str, ...], variables: dict[str, str], code: int, output: str, errors: str
) -> None:
    command = [sys.executable, "-m", "xmcbench", *words]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert output in done.stdout
    assert done.stderr.startswith(errors)
    assert "Traceback" not in done.stderr


def test_rank_0_writes_one_record_for_all(tmp_path: Path) -> None:
    first, second = run(QUICK, "--dataset", TINY, folder=tmp_path)
    assert (first[0], second) == (0, (0, "", ""))
    elias, popularity = Store(tmp_path).records()
    assert (elias.method.name, elias.status, popularity.method.name) == ("elias", "ok", "popularity")
    processes = elias.notes["processes"]
    assert (processes["count"], len(processes["nodes"]), len(processes["peak_rss_bytes"])) == (2, 2, 2)
    assert "processes" not in popularity.notes


def test_runs_after_a_fit_that_failed_are_named(tmp_path: Path) -> None:
    first, second = run(QUICK, "--seeds", "0,1", "--dataset", TINY, "--time-limit", "0.01", folder=tmp_path)
    assert (first[0], second[1:]) == (1, ("", ""))
    assert "2 runs left out: the processes are no longer in step after elias[" in first[1].replace("\n", " ")
    assert "Run these alone, or all of them without torchrun." in first[1].replace("\n", " ")
    assert [record.status for record in Store(tmp_path).records()] == ["timeout"]


@pytest.mark.slow
def test_a_process_that_hangs_ends_the_run_which_resumes(tmp_path: Path) -> None:
    words = "run", f"{QUICK[:-1]},batch=64]", "--dataset", TINY
    first, second = start([("-c", STOPPING, *words)] * 2, tmp_path)
    code, output, _ = ended(first)
    assert second.poll() is None  # it is stopped
    second.send_signal(signal.SIGCONT)
    assert ended(second) == (0, "", "")
    assert code == 1
    named = f"rank 1 on {socket.gethostname()} no longer answers"
    assert named in output
    (record,) = Store(tmp_path).records()
    assert (record.method.name, record.status) == ("elias", "interrupted")
    assert record.reason is not None
    assert record.reason.startswith(named)
    assert list(tmp_path.glob("work/*/method/checkpoints/stage 1, rank 1 of 2, a.npz"))
    done, other = run(*words[1:], folder=tmp_path)
    assert (done[0], other) == (0, (0, "", ""))
    elias = next(record for record in Store(tmp_path).records() if record.status == "ok")
    assert (elias.method.name, elias.costs.attempts) == ("elias", 2)
    assert not list(tmp_path.glob("work/*"))
