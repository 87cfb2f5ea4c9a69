"""A Slurm of one node: jobs that are preempted, reach their time limit, are cancelled or lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cluster.slowly import CODE
from tests.conftest import Site

pytestmark = pytest.mark.slurm
ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--dataset", "synthetic[labels=60,rows=300,test=60]", "--threads", "1")
SECONDS = 280  # that a command may take


class OneNode:
    """A Slurm in a folder, and commands that submit to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = Site(folder / "site")
        site.add("slowly", "slowly", CODE, {"slowly": "slowly:Slowly"})
        self.environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{site.folder}",
            "SLURM_CONF": str(folder / "slurm" / "slurm.conf"),
            "SLURM_TEST_PORT": str(free_port()),
            "PYTHONUNBUFFERED": "1",
        }

    def manage(self, action: str) -> None:
        """Start or stop Slurm."""
        command = ["sh", str(ROOT / "tests/cluster/slurm_node.sh"), action, str(self.folder / "slurm")]
        subprocess.run(command, env=self.environment, check=True, timeout=120)

    def start(self, *words: str, results: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "xmcbench", "run", *words, *SMALL, "--on", "slurm", "--results", results]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def slurm(self, *words: str) -> str:
        """The output of a command of Slurm."""
        return subprocess.run(
            words, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def records(self, results: str, status: str = "ok") -> list[dict[str, Any]]:
        found = [json.loads(p.read_text()) for p in sorted((self.folder / results / "records").glob("*.json"))]
        return [record for record in found if record["status"] == status]

    def step(self, results: str) -> int:
        """The step of the newest checkpoint of the method, 0 if there is none."""
        steps = []
        for path in (self.folder / results / "work").glob("*/method/checkpoints/step.npz"):
            with suppress(OSError), np.load(path) as file:  # it may be replaced at this moment
                steps.append(int(json.loads(str(file["__meta__"]))["step"]))
        return max(steps, default=0)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]) // 2 * 2  # the next one is the node's


@pytest.fixture(scope="module")
def node() -> Iterator[OneNode]:
    if missing := [name for name in ("slurmctld", "slurmd", "munged") if shutil.which(name) is None]:
        pytest.fail(f"{', '.join(missing)} can't be found: apt-get install slurm-wlm munge", pytrace=False)
    if os.geteuid() != 0:
        pytest.fail("only root can start Slurm's daemons: run the tests as root", pytrace=False)
    if find_spec("submitit") is None:
        pytest.fail("submitit is missing: pip install -e '.[submitit]'", pytrace=False)
    folder = Path(tempfile.mkdtemp(prefix="xmcbench-slurm-"))  # short, since sockets have paths of 108 characters
    one = OneNode(folder)
    try:
        one.manage("start")
        yield one
    finally:
        one.manage("stop")
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within two minutes")


def test_tasks_that_request_the_same_are_one_array_job(node: OneNode) -> None:
    plan = ("slowly[first=0|1,steps=3]", "popularity", "--seeds", "0,1", "--memory", "1G")  # all request the same
    process = node.start(*plan, results="plan")
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, said
    records = node.records("plan")
    assert len(records) == 5
    assert {r["environment"]["node"] for r in records} == {socket.gethostname().partition(".")[0]}
    assert all("--on slurm" in r["command"] for r in records)
    jobs = node.slurm("squeue", "-h", "-r", "-t", "all", "-o", "%F %K").split("\n")
    assert sorted(filter(None, jobs)) == ["1 0", "1 1", "1 2"]
    assert not (node.folder / "plan" / "slurm").exists(), "the files of the jobs are removed"
    again = node.start(*plan, results="plan")
    assert "5 already done" in again.communicate(timeout=SECONDS)[0]


def test_a_job_that_is_preempted_twice_resumes(node: OneNode) -> None:
    process = node.start("slowly[steps=150]", results="preempted")
    for _ in range(2):
        before = node.step("preempted")
        wait_for(lambda before=before: node.step("preempted") > before + 20)
        node.slurm("sbatch", "-p", "high", "-c", "2", "--mem", "8000", "-o", "/dev/null", "--wrap", "sleep 3")
        wait_for(lambda: "PD" in node.slurm("squeue", "-h", "-p", "low", "-o", "%t"))
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, said
    assert said.count("started again on ") >= 2
    (record,) = [r for r in node.records("preempted") if r["method"]["name"] == "slowly"]
    assert record["notes"]["first"] > 40, "it went on from the checkpoint of the second attempt"
    assert record["costs"]["attempts"] == 3


def test_a_job_that_reaches_its_time_limit_is_queued_again(node: OneNode) -> None:
    process = node.start("slowly[steps=500]", results="limit", SBATCH_TIMELIMIT="2")
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, said
    (record,) = [r for r in node.records("limit") if r["method"]["name"] == "slowly"]
    assert record["notes"]["first"] > 0
    assert [r["method"]["name"] for r in node.records("limit", "interrupted")], "the stop is on record"


def test_ctrl_c_cancels_the_jobs_and_the_same_command_resumes(node: OneNode) -> None:
    process = node.start("slowly[steps=100]", results="stopped")
    wait_for(lambda: node.step("stopped") > 10)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 1, said
    assert "stopped by Ctrl-C; run the same command again: it resumes from here" in said
    wait_for(lambda: not node.slurm("squeue", "-h"))
    process = node.start("slowly[steps=100]", results="stopped")
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, said
    (record,) = [r for r in node.records("stopped") if r["method"]["name"] == "slowly"]
    assert record["notes"]["first"] > 10


def test_a_job_that_somebody_cancels_is_started_again(node: OneNode) -> None:
    process = node.start("slowly[steps=60]", results="cancelled")
    wait_for(lambda: node.step("cancelled") > 10)
    node.slurm("scancel", "-n", "xmcbench")
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, said
    assert "lost on" in said
    assert "cancelled" in said
    (record,) = [r for r in node.records("cancelled") if r["method"]["name"] == "slowly"]
    assert record["notes"]["first"] > 10


def test_two_commands_on_one_results_folder_make_each_run_once(node: OneNode) -> None:
    both = [node.start("slowly[steps=20]", "--seeds", "0,1", results="both") for _ in range(2)]
    said = [process.communicate(timeout=SECONDS)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(said)
    made = sorted((r["method"]["name"], r["seed"]) for r in node.records("both"))
    assert made == [("popularity", 0), ("slowly", 0), ("slowly", 1)]
    assert all(text.count("slowly") >= 2 for text in said), "each shows all results"


def test_what_slurm_refuses_is_a_message(node: OneNode) -> None:
    process = node.start("popularity", results="large", SBATCH_PARTITION="nowhere")
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode != 0
    assert "Traceback" not in said
