"""Output that can't be written fails nothing; the programs here are real processes with real descriptors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FULL = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL.exists(), reason="no device that behaves like a full disk")
START = "import os, sys\nfrom xmcbench.cli.output import Output\noutput = Output()\n"
PRINT = """
import warnings, logging, subprocess
print("printed")
warnings.warn("warned")
logging.warning("logged")
sys.stdout.buffer.write(b"bytes\\n")
sys.stdout.flush()
os.write(1, b"") if stdout_is_open else None
from rich.progress import Progress
with Progress() as bar:
    bar.advance(bar.add_task("live"))
subprocess.run([sys.executable, "-c", "print('child')"])
with open("data", "wb") as data:
    number = data.fileno()
    data.write(b"data")
with open("result", "w") as file:
    print(number, file.fileno(), file=file)
sys.exit(output.finish(0, own_status=False))
"""


def python(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START + code]
    return subprocess.run(command, text=True, timeout=60, **options)


def shell(redirection: str, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`xmcbench WORDS` with a redirection of the shell."""
    line = f'exec "$@" {redirection}'
    command = ["bash", "-c", line, "bash", sys.executable, "-m", "xmcbench", *words]
    env = {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_data_file_never_gets_the_number_of_a_closed_stream(redirection: str, tmp_path: Path) -> None:
    code = START + PRINT.replace("stdout_is_open", "True")
    done = subprocess.run(["bash", "-c", f'exec "$@" {redirection}', "bash", sys.executable, "-c", code], cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "data").read_bytes() == b"data", "what is printed is not in it"
    assert all(int(number) > 2 for number in (tmp_path / "result").read_text().split())


@needs_full_disk
@pytest.mark.parametrize("streams", ["stdout", "stderr", "both"])
def test_a_full_disk_under_the_log_is_said_on_the_other_stream(streams: str, tmp_path: Path) -> None:
    with FULL.open("w") as full:
        files = {name: full if streams in (name, "both") else subprocess.PIPE for name in ("stdout", "stderr")}
        done = python(PRINT.replace("stdout_is_open", "False"), cwd=tmp_path, **files)
    assert done.returncode == 1
    said = {"stdout": done.stderr, "stderr": done.stdout, "both": ""}[streams]
    if streams != "both":
        name = {"stdout": "standard output", "stderr": "standard error"}[streams]
        assert f"error: {name} could not be written (No space left on device)" in said
    assert "Exception ignored" not in (said or "")
    assert (tmp_path / "data").exists(), "the work went on"


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = python(PRINT.replace("stdout_is_open", "False"), cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 0
    assert "Broken pipe" not in done.stderr.replace("BrokenPipeError: [Errno 32] Broken pipe", "", 1), "but the child's"


def test_a_pipe_that_is_full_for_a_moment_gets_all(tmp_path: Path) -> None:
    code = "os.set_blocking(1, False)\nprint('x' * 300_000)\nsys.exit(output.finish(0, own_status=False))"
    process = subprocess.Popen([sys.executable, "-c", START + code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.read() == "x" * 300_000 + "\n"
    assert process.wait(60) == 0


def test_unbuffered_output_is_written_at_once() -> None:
    code = "print('here', end='')\nos._exit(0)"
    done = subprocess.run([sys.executable, "-u", "-c", START + code], stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == b"here"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"a\\u2013\\xe9\\udcff \\u2013\n\\u2013\n"),
        ("latin-1", b"a\\u2013\xe9\\udcff \\u2013\n\\u2013\n"),
        ("utf-8", b"a\xe2\x80\x93\xc3\xa9\\udcff \xe2\x80\x93\n\xe2\x80\x93\n"),
    ],
)
def test_characters_that_the_encoding_lacks_are_escaped(encoding: str, written: bytes) -> None:
    code = r"""
import typer
from rich.console import Console
typer.echo("a–é\udcff", nl=False)
print(" –", flush=True)
Console(highlight=False).print("–")
"""
    command = [sys.executable, "-c", START + code]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": encoding}, stdout=subprocess.PIPE, timeout=60)
    assert done.stdout == written


def test_a_method_that_closes_the_output_silences_nothing() -> None:
    done = python("sys.stdout.close()\nprint('heard')\nsys.exit(output.finish(0, own_status=True))", stdout=-1)
    assert (done.returncode, done.stdout) == (0, "heard\n")


def test_streams_of_others_stay() -> None:
    code = """
import io
from xmcbench.cli.output import Output
sys.stdout = mine = io.StringIO()
again = Output()
assert sys.stdout is mine and again.finish(0, own_status=False) == 0
"""
    assert python(code).returncode == 0


COMMANDS = [["ls", "methods"], ["ls", "metrics", "--json"], ["cite", "elias"], ["--help"]]


@needs_full_disk
@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_whose_output_is_lost_fails_with_one_line(words: list[str], tmp_path: Path) -> None:
    done = shell("> /dev/full", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: standard output could not be written (No space left on device), so a part of it is missing",
        "  Free some space, or send it elsewhere, and repeat the command.",
    ]


@needs_full_disk
def test_lost_output_is_no_failure_of_what_wrote_files(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("".join(f"word{i} w\n" for i in range(30)))
    (tmp_path / "y.txt").write_text("x\ny\nx\n" * 10)
    words = ["data", "import", "--name", "mine", "--texts", "t.txt", "--labels", "y.txt"]
    done = shell("> /dev/full", *words, cwd=tmp_path)
    assert done.returncode == 0
    assert "Free some space, or send it elsewhere; the results are in files." in done.stderr
    assert shell("> /dev/full", "data", "stats", "mine", cwd=tmp_path).returncode == 1


@needs_full_disk
def test_lost_notes_do_not_spoil_json(tmp_path: Path) -> None:
    words = ("score", "none.npz", "--dataset", "icd10cm", "--json")
    done = shell("2> /dev/full", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")


@pytest.mark.parametrize("redirection", [">&-", "<&-", "2>&-", "| true"])
def test_closed_streams_leave_the_exit_code_alone(redirection: str, tmp_path: Path) -> None:
    line = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    for words, code in ((["ls", "metrics"], 0), (["info", "nosuch"], 2)):
        command = ["bash", "-c", line, "bash", sys.executable, "-m", "xmcbench", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr


DATA = "synthetic[labels=60,rows=300,test=60]"
LOUD = """
import logging
import sys
import warnings
from dataclasses import replace

from xmcbench.methods.popularity import Popularity


class Loud(Popularity):
    info = replace(Popularity.info, name="loud")

    def fit(self, train, ctx):
        print("\\u2013" * 100_000)
        print("stderr", file=sys.stderr, flush=True)
        warnings.warn("warned")
        logging.warning("logged \\udcff")
        sys.stdout.flush()
        super().fit(train, ctx)
        sys.stdout.close()
        sys.stdout = sys.stderr = None
"""


@needs_full_disk
@pytest.mark.parametrize("redirection", ["> /dev/full 2>&1", ">&- 2>&-", "2>&1 | true"])
def test_a_run_whose_output_is_lost_is_a_good_run(redirection: str, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    line = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    words = ["run", "--method", "loud.py:Loud", "--dataset", DATA, "--results", "out", "--threads", "1"]
    command = ["bash", "-c", line, "bash", sys.executable, "-m", "xmcbench", *words]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    statuses = {
        record["method"]["name"]: (record["status"], record["reason"])
        for record in (json.loads(path.read_text()) for path in (tmp_path / "out" / "records").glob("*.json"))
    }
    assert statuses["loud"] == ("ok", None)
    assert not list((tmp_path / "out" / "work").glob("*/*"))
