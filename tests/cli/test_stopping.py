"""Signals at each stage of the program, sent to real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM", signal.SIGHUP: "stopped by SIGHUP"}
# Python sees a signal that comes just before a sleep when this ends, so that a minute is slept in short steps.
SLEEP = "for _ in range(600): time.sleep(0.1)"
# a module that takes long to import, as the program's own do on a slow disk
SLOW_IMPORT = f"print('here', flush=True)\nimport time\n{SLEEP}\n"
# Python that works in a command, then is slow to stop
COMMAND = """
import sys, time
from xmcbench.cli.main import main
from xmcbench.cli import ls

def work(_):
    try:
        print("here", flush=True)
        {sleep}
    finally:
        print("stopping", flush=True)
        {stop}

ls.KINDS = {{"methods": ls.Kind(work)}}
sys.argv = ["xmcbench", "ls", "methods"]
main()
"""


def started(*command: str, **environment: str) -> subprocess.Popen[str]:
    """A process that has printed "here"."""
    env = {**os.environ, **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, *command], env=env, text=True, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n", process.communicate()[1]
    return process


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("module", ["typer", "rich"])
def test_a_signal_during_imports_ends_at_once_with_one_line(
    number: signal.Signals, module: str, tmp_path: Path
) -> None:
    (tmp_path / f"{module}.py").write_text(SLOW_IMPORT)
    words = {"typer": ["--help"], "rich": ["ls", "methods"]}[module]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    process = started("-m", "xmcbench", *words, PYTHONPATH=path)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said.startswith(f"{NAMES[number]}; ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_stops_in_order(number: signal.Signals) -> None:
    process = started("-c", COMMAND.format(sleep=SLEEP, stop="pass"))
    process.send_signal(number)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert printed == "stopping\n"
    assert said == f"{NAMES[number]}; run the same command again: downloads and runs resume\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_the_second_signal_ends_at_once(number: signal.Signals) -> None:
    process = started("-c", COMMAND.format(sleep=SLEEP, stop=SLEEP))
    process.send_signal(number)
    assert process.stdout is not None
    assert process.stdout.readline() == "stopping\n"
    process.send_signal(number)  # at once: the same signal again, as `timeout` and terminals send it
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert said == "interrupted; run the same command again: downloads and runs resume\n"


def test_signals_that_are_ignored_stay_ignored() -> None:
    code = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + COMMAND.format(sleep=SLEEP, stop="pass")
    process = started("-c", code)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None, "as under nohup"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM


def test_a_signal_that_python_drops_is_sent_again() -> None:
    code = COMMAND.format(sleep=SLEEP, stop="pass").replace(
        f"        {SLEEP}\n",
        "        class Dropping:\n            def __del__(self):\n"
        f"                print('there', flush=True)\n                {SLEEP}\n"
        f"        Dropping()\n        {SLEEP}\n",
    )
    process = started("-c", code)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.send_signal(signal.SIGTERM)
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed) == (128 + signal.SIGTERM, "stopping\n")
    assert "Traceback" not in said


def test_a_forked_child_ends_as_usual() -> None:
    code = """
import os, signal, time
from xmcbench.cli.stopping import Stopping
stopping = Stopping()
stopping.install()
stopping.working = True
read, write = os.pipe()
child = os.fork()
if not child:
    os.write(write, b"here")
    for _ in range(600):
        time.sleep(0.1)
os.read(read, 4)
print(os.waitpid(child, 0)[1] if os.kill(child, signal.SIGTERM) is None else "", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == (f"{int(signal.SIGTERM)}\n", "")
