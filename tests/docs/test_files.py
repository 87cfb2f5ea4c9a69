"""The examples of the page on files: commands run, or are refused with the words of their comment."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S)
COMMAND = re.compile(r"^xmcbench ((?:.*\\\n)*.*)\n", re.M)


@pytest.mark.parametrize("block", BLOCKS)
def test_an_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: str) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    position, commands = 0, list(COMMAND.finditer(block))
    assert commands
    for command in commands:
        subprocess.run(["sh", "-eu", "-c", block[position : command.start()]], check=True)
        position = command.end()
        words, _, refusal = command[1].replace("\\\n", " ").partition("# refused: ")
        told = CliRunner().invoke(app, shlex.split(words))
        if refusal:
            assert refusal in str(told.exception)
        else:
            assert told.exit_code == 0, told.output + str(told.exception)
