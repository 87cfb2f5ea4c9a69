"""What the program makes of what a command raises."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from xmcbench.cli import faults
from xmcbench.cli.ls import Kind
from xmcbench.cli.main import _stopped, exit_code_of_command
from xmcbench.cli.stopping import Stopping
from xmcbench.data.home import home
from xmcbench.errors import DataError, ProcessLost


class Panic(BaseException):
    """As libraries in Rust raise it."""


def outcome(error: BaseException, monkeypatch: pytest.MonkeyPatch, number: int | None = None) -> int:
    """The exit code of a command that raises `error`, after the signal `number`."""

    def command(*_: object) -> None:
        raise error

    monkeypatch.setattr("sys.argv", ["xmcbench", "ls", "methods"])
    monkeypatch.setattr("xmcbench.cli.ls.KINDS", {"methods": Kind(command)})
    stopping = Stopping()
    stopping.number = number
    return exit_code_of_command(stopping)


@pytest.mark.parametrize(
    ("error", "number", "code", "said"),
    [
        (KeyboardInterrupt(), None, 130, "interrupted; run the same command again: downloads and runs resume\n"),
        (
            KeyboardInterrupt(),
            signal.SIGTERM,
            143,
            "stopped by SIGTERM; run the same command again: downloads and runs resume\n",
        ),
        (
            ImportError("half of numpy"),
            signal.SIGINT,
            130,
            "interrupted; run the same command again: downloads and runs resume\n",
        ),
        (DataError("it broke", "mend it"), signal.SIGINT, 4, "error: it broke\n  mend it\n"),
        (DataError("it broke", "mend it"), None, 4, "error: it broke\n  mend it\n"),
        (
            ProcessLost("rank 1 on node has ended", "start all again"),
            None,
            1,
            "error: rank 1 on node has ended\n  start all again\n",
        ),
        (SystemExit(3), None, 3, ""),
        (SystemExit(), None, 0, ""),
        (SystemExit("words"), None, 1, "words\n"),
    ],
)
def test_every_end_has_its_exit_code_and_a_word(
    error: BaseException,
    number: int | None,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert outcome(error, monkeypatch, number) == code
    assert capsys.readouterr().err == said


def test_a_server_that_is_stopped_is_not_told_to_resume(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["xmcbench", "serve", "model"])
    stopping = Stopping()
    stopping.number = signal.SIGTERM
    assert _stopped(stopping) == 143
    assert capsys.readouterr().err == "stopped by SIGTERM\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("gone\x1b\nnext"), r"error: unexpected KeyError: 'gone\x1b\nnext'"),
        (AssertionError(), "error: unexpected AssertionError\n"),
        (MemoryError(), "error: out of memory\n"),
        (RecursionError("too deep"), "error: unexpected RecursionError: too deep\n"),
        (Panic("in Rust"), "error: unexpected Panic: in Rust\n"),
        (EOFError("ends early"), "error: unexpected RuntimeError: EOFError: ends early\n"),
        (
            BrokenPipeError(errno.EPIPE, "Broken pipe"),
            "error: unexpected RuntimeError: BrokenPipeError: [Errno 32] Broken pipe\n",
        ),
        (OSError(errno.ENAMETOOLONG, "File name too long", "some"), "error: some: file name too long\n  Check the"),
        (ModuleNotFoundError("No module named 'x'"), "error: a part of the installation can't be loaded (No module"),
        (ValueError("long " * 1000), "error: unexpected ValueError: long long"),
    ],
)
def test_an_error_that_no_command_expects_is_a_line_and_a_log_file(
    error: BaseException, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path))
    assert outcome(error, monkeypatch) == 1
    lines = capsys.readouterr().err
    assert lines.startswith(said)
    assert len(lines) < 1000
    assert lines.count("\n") == 2
    (file,) = (tmp_path / "logs").iterdir()
    assert f"The details are in {file}" in lines
    assert "Traceback" in file.read_text()
    assert "in command" in file.read_text()


def test_ctrl_c_while_a_message_is_printed_is_a_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_: BaseException) -> DataError:
        raise KeyboardInterrupt

    monkeypatch.setattr(faults, "as_error", stop)
    assert outcome(ValueError(), monkeypatch) == 130
    assert capsys.readouterr().err.startswith("interrupted; ")


def test_some_log_files_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "notes.txt").touch()
    for day in range(1, 31):
        (tmp_path / "logs" / f"xmcbench-202001{day:02d}T000000-1.log").touch()
    written = faults.write_log(ValueError())
    kept = sorted(path.name for path in (tmp_path / "logs").iterdir() if path.suffix == ".log")
    assert len(kept) == faults.KEPT
    assert written is not None
    assert kept[-1] == written.name
    assert kept[0] == "xmcbench-20200112T000000-1.log"
    assert (tmp_path / "logs" / "notes.txt").exists()


@pytest.mark.parametrize("unusable", ["a file", "~nosuchuser/cache"])
def test_without_a_home_the_log_is_in_the_temporary_folder(
    unusable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XMCBENCH_HOME", unusable)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    written = faults.write_log(ValueError("\udcff"))
    assert written is not None
    assert written.parent == tmp_path
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a file"))
    assert faults.write_log(ValueError()) is None
    assert "could not be written" in str(faults.as_error(ValueError()))


def test_a_folder_that_was_removed_is_named(tmp_path: Path) -> None:
    code = "import os; os.rmdir(os.getcwd()); from xmcbench.cli.main import main; main()"
    gone = tmp_path / "gone"
    gone.mkdir()
    env = {**os.environ, "XMCBENCH_HOME": "relative"}
    command = [sys.executable, "-c", code, "data", "where", "icd10cm"]
    done = subprocess.run(command, cwd=gone, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: XMCBENCH_HOME=relative: the current folder was removed\n  Change to")


def test_a_broken_installation_is_named(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import nosuchmodule")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", "xmcbench", "--help"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "part of the installation can't be loaded (No module named 'nosuchmodule')" in done.stderr
    assert "Traceback" not in done.stderr
    assert str(home() / "logs") in done.stderr
