"""`xmcbench run` in several processes: who speaks, what is refused, and the record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.together import free_port
from xmcbench.records.store import Store

TINY = "synthetic[labels=40,rows=300,test=50]"
Ended = tuple[int, str, str]


def run(*words: str, others: tuple[str, ...] | None = None, folder: Path) -> list[Ended]:
    """Exit code, standard output and standard error of two processes; `others`: the words of the second."""
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    started = []
    for rank, arguments in enumerate((words, words if others is None else others)):
        command = [sys.executable, "-m", "xmcbench", "run", *arguments, "--results", str(folder), "--device", "cpu"]
        environment = os.environ | address | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
    outputs = [process.communicate(timeout=280) for process in started]
    return [(process.returncode, *output) for process, output in zip(started, outputs, strict=True)]


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


def test_rank_0_writes_one_record_for_all(tmp_path: Path) -> None:
    quick = "elias[dual_epochs=0,ranker=none,stage1_epochs=1,stage2_epochs=1,finish_epochs=1]"
    first, second = run(quick, "--dataset", TINY, folder=tmp_path)
    assert (first[0], second) == (0, (0, "", ""))
    elias, popularity = Store(tmp_path).records()
    assert (elias.method.name, elias.status, popularity.method.name) == ("elias", "ok", "popularity")
    processes = elias.notes["processes"]
    assert (processes["count"], len(processes["nodes"]), len(processes["peak_rss_bytes"])) == (2, 2, 2)
    assert "processes" not in popularity.notes
