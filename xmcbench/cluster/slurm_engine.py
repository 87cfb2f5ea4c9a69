"""Tasks as array jobs of Slurm; nodes share the results folder with the machine where the command is given.

    RESULTS/slurm/TIME-ID/    what submitit and Slurm write for each job, and one file each for state and outcome

A job that Slurm preempts and queues again, or that reaches its time limit, resumes from the checkpoints in the results
folder. Slurm reads partition, account and time limit from its variables: SBATCH_PARTITION, SBATCH_ACCOUNT,
SBATCH_TIMELIMIT. submitit starts jobs from pickles; this program reads none of them.
"""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Collection, Sequence
from contextlib import redirect_stderr, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import msgspec
import submitit

from xmcbench.amounts import size
from xmcbench.cluster.engine import Ended, Event, Lost, NoNode, Report
from xmcbench.cluster.node import Outcome, State, perform
from xmcbench.cluster.tasks import Resources, Task
from xmcbench.errors import Terminated, UsageError, cannot_write, counted
from xmcbench.escaping import one_line
from xmcbench.files import atomic, remove_any
from xmcbench.inputs import read_file, typed_json
from xmcbench.records.record import Record
from xmcbench.records.store import Store

WAIT = 1.0  # seconds of `events`
ASK = 5.0  # seconds between questions to Slurm, which many users share
ANSWER = 60.0  # seconds within which a command of Slurm must answer
SETTLE = 30.0  # seconds that a shared folder has to show the outcome of a job that ended
NOTICE = 90  # seconds before the time limit at which a job saves what it needs and is queued again
REQUEUES = 20  # how often a job that reached its time limit is queued again
QUEUED = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "CONFIGURING", "RESIZING", "SUSPENDED", "SPECIAL_EXIT")
RUNNING = ("RUNNING", "COMPLETING", "STOPPED", "SIGNALING", "STAGE_OUT")
STOPPED = 143  # exit status, that of a process ended by SIGTERM


class Work:
    """What a job executes: a task, in the results folder, with its state and outcome in `folder`."""

    def __init__(self, task: bytes, results: str, folder: str) -> None:
        self.task, self.results, self.folder = task, results, folder

    def __call__(self) -> None:
        """Execute the task; a job that was stopped ends without an outcome, and resumes if Slurm starts it again."""
        task = msgspec.json.decode(self.task, type=Task)
        late = _Signals()
        state, outcome = _files(Path(self.folder), task.number)

        def publish(now: State) -> float:
            with atomic(state) as file:
                file.write(msgspec.json.encode(now))
            return state.stat().st_mtime  # of the clock of the file server

        node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        ended = perform(task, Store(Path(self.results)), node, uuid.uuid4().hex, publish)
        if not ended.stopped:
            with atomic(outcome) as file:
                file.write(msgspec.json.encode(ended))
            return
        if late.at_time_limit and int(os.environ.get("SLURM_RESTART_COUNT", "0")) < REQUEUES:
            subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], timeout=ANSWER, check=False)
        sys.exit(STOPPED)


class _Signals:
    """Stops the runs, as SIGTERM does on one machine, when Slurm announces the time limit, a preemption or the end."""

    def __init__(self) -> None:
        self.at_time_limit = False
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.at_time_limit |= number == signal.SIGUSR2
        raise Terminated


class _Partition(NamedTuple):
    cores: int  # of its smallest node
    most: int  # of its largest node
    memory: int  # bytes of its largest node
    gpus: bool
    limit: str  # of time, as Slurm writes it


class SlurmEngine:
    """See `xmcbench.cluster.engine.Engine`."""

    shares_folder = True

    def __init__(self, results: Path) -> None:
        """Raises UsageError: there is no Slurm, or it does not answer."""
        self.partition = _partition()
        self.cores, self.gpus = self.partition.cores, self.partition.gpus
        self.results_folder = results.absolute()
        self.folder = self.results_folder / "slurm" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        self.jobs: dict[int, str] = {}  # number of a task → job
        self.stamps: dict[int, int] = {}  # number → time of the newest state that was read
        self.gone: dict[int, float] = {}  # number → when its job was first seen to have ended
        self.asked = 0.0
        self.keeps_output = False

    def submit(self, tasks: Sequence[Task], avoid: Collection[str]) -> None:
        """One array job for all tasks that request the same."""
        by_need: dict[Resources, list[Task]] = {}
        for task in tasks:
            by_need.setdefault(task.resources, []).append(task)
        for need, alike in by_need.items():
            if need.threads > (most := self.partition.most):  # Slurm would queue it for ever
                wants = counted(need.threads, "core")
                raise NoNode(f"a run requests {wants}; the largest node has {most}", "Ask for less: --threads.")
            if need.memory > (memory := self.partition.memory):
                problem = f"a run requests {size(need.memory)} of memory; the largest node has {size(memory)}"
                raise NoNode(problem, "Choose a partition of larger nodes: SBATCH_PARTITION.", memory)
            executor = submitit.SlurmExecutor(self.folder)
            executor.update_parameters(**self._parameters(need, avoid))
            work = [Work(msgspec.json.encode(task), str(self.results_folder), str(self.folder)) for task in alike]
            for task in alike:
                for path in _files(self.folder, task.number):
                    path.unlink(missing_ok=True)
            try:
                with redirect_stderr(io.StringIO()):  # submitit prints there what it also raises
                    jobs = executor.map_array(Work.__call__, work)
            except submitit.core.utils.FailedJobError as error:
                raise NoNode(
                    f"Slurm refuses the job: {one_line(error)}", "`sinfo` shows what its nodes have."
                ) from error
            except OSError as error:
                raise cannot_write(self.folder, error) from error
            self.jobs |= {task.number: job.job_id for task, job in zip(alike, jobs, strict=True)}

    def _parameters(self, need: Resources, avoid: Collection[str]) -> dict[str, object]:
        parameters: dict[str, object] = {
            "job_name": "xmcbench",
            "cpus_per_task": need.threads,
            "mem": f"{need.memory >> 20}M",
            "signal_delay_s": NOTICE,
            "additional_parameters": {"time": self.partition.limit, "requeue": True},
        }
        if need.gpus:
            parameters["gpus_per_node"] = need.gpus
        if avoid:
            parameters["exclude"] = ",".join(sorted(avoid))
        return parameters

    def events(self) -> list[Event]:
        time.sleep(WAIT)
        events: list[Event] = []
        for number in list(self.jobs):
            state, outcome = _files(self.folder, number)
            with suppress(FileNotFoundError):
                if (stamp := state.stat().st_mtime_ns) != self.stamps.get(number):
                    self.stamps[number] = stamp
                    events.append(Report(number, typed_json(read_file(state), State, str(state))))
            with suppress(FileNotFoundError):
                events.append(Ended(number, typed_json(read_file(outcome), Outcome, str(outcome))))
                del self.jobs[number]
        if time.monotonic() - self.asked > ASK and self.jobs:
            self.asked = time.monotonic()
            events += self._lost()
        return events

    def _lost(self) -> list[Event]:
        """The jobs that ended without an outcome; their outcome may take a moment to appear in a shared folder."""
        states = _job_states(self.jobs.values())
        if states is None:  # Slurm does not answer at the moment
            return []
        lost: list[Event] = []
        for number, job in list(self.jobs.items()):
            state, node = states.get(job, ("unknown to Slurm", ""))
            if state in QUEUED or state in RUNNING:
                self.gone.pop(number, None)
            elif time.monotonic() - self.gone.setdefault(number, time.monotonic()) > SETTLE:
                del self.jobs[number], self.gone[number]
                self.keeps_output = True
                why = f"job {job} ended: {state.lower()}; its output is in {self.folder}"
                lost.append(Lost(number, why, node))
        return lost

    def results(self, number: int, outcome: Outcome, store: Store) -> list[tuple[Record, Path | None]]:
        found = []
        for run_id in outcome.run_ids:
            record = store.read(store.folder / "records" / f"{run_id}.json")
            model = store.model(run_id)
            found.append((record, model if model.is_dir() else None))
        return found

    def cancel(self) -> None:
        if self.jobs:
            self.keeps_output = True
            _answer(["scancel", *self.jobs.values()])

    def close(self) -> None:
        """Remove the folder of the jobs, except after a failure, whose reason may be in their output."""
        if not self.keeps_output:
            with suppress(OSError):
                remove_any(self.folder)
                self.folder.parent.rmdir()  # unless another process uses it


def _files(folder: Path, number: int) -> tuple[Path, Path]:
    """The files of a task's state and outcome."""
    return folder / f"state-{number}.json", folder / f"outcome-{number}.json"


def _partition() -> _Partition:
    """The numbers of cores, GPUs, and the time limit of the partition that jobs go to.

    Raises UsageError: there is no Slurm, or it does not answer.
    """
    hint = "--on slurm is for machines that submit to a Slurm cluster; docs/scale.md says how to start one."
    wanted = os.environ.get("SBATCH_PARTITION", "")
    text = _answer(["sinfo", "-h", "-e", "-o", "%P|%c|%G|%l|%m"])  # -e: a line for each number of cores
    if text is None:
        raise UsageError("--on slurm: `sinfo` does not answer", hint)
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 4]
    ours = [row for row in rows if row[0].rstrip("*") == wanted or (not wanted and row[0].endswith("*"))] or rows
    cores = [int(match[0]) for row in ours if (match := re.match(r"\d+", row[1]))]
    if not cores:
        raise UsageError("--on slurm: the partition has no nodes", "`sinfo` shows all; SBATCH_PARTITION names another.")
    megabytes = max((int(match[0]) for row in ours if (match := re.match(r"\d+", row[4]))), default=0)
    memory = megabytes << 20 if megabytes > 1 else sys.maxsize  # 1 where Slurm's configuration has none: not checked
    return _Partition(min(cores), max(cores), memory, any("gpu" in row[2] for row in ours), ours[0][3])


def _job_states(jobs: Collection[str]) -> dict[str, tuple[str, str]] | None:
    """Job → its state and its node, "" before it started, of jobs that Slurm still knows; None without an answer."""
    arrays = sorted({job.partition("_")[0] for job in jobs})
    text = _answer(["squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%N", "-j", ",".join(arrays)])
    if text is None:
        return None
    rows = (line.split("|") for line in text.splitlines() if line.count("|") == 2)
    return {job: (state, node) for job, state, node in rows}


def _answer(command: Sequence[str]) -> str | None:
    """What a command of Slurm prints; None if it fails or is missing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 or "Invalid job id" in done.stderr else None
