"""Options that name folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app

COMMANDS = (
    ("run", "popularity", "--results"),
    ("ls", "runs", "--results"),
    ("doctor", "--results"),
    ("merge", ".", "--into"),
    ("board", "build", "--folder"),
    ("verify", "x", "--rerun", "--into"),
    ("check", "scores", "--results"),
)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_folder_that_there_cannot_be_is_one_line_with_the_option(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("nowhere")
    faults = {"": "it is empty", "file": "Not a directory", "fifo": "Not a directory", "link": "is a link to nothing"}
    for name, said in {**faults, "x" * 256: "File name too long"}.items():
        done = CliRunner().invoke(app, [*words, str(tmp_path / name) if name else ""])
        assert done.exit_code == 2
        assert done.stderr.splitlines()[-1].startswith(f"Error: Invalid value for '{words[-1]}'")
        assert said in done.stderr


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(bytes(tmp_path) + b"/\xff new\nline"))
    data = ("--dataset", "synthetic[labels=60,rows=300,test=60]")

    def xmcbench(*words: str) -> None:
        command = [sys.executable, "-m", "xmcbench", *words, "--results", str(folder)]
        done = subprocess.run(command, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr

    xmcbench("run", "popularity", *data)
    (path,) = (folder / "records").iterdir()
    assert json.loads(path.read_text())["status"] == "ok"
    xmcbench("run", "popularity", *data)
    xmcbench("ls", "runs")
