"""`xmcbench peers`: what is there, what is asked for, what is refused."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.errors import UsageError, XmcError
from xmcbench.peers import environment, packages


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["peers", *words], catch_exceptions=False)


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would be run instead of pip."""
    found: list[list[str]] = []

    def pretend(command: list[str]) -> subprocess.CompletedProcess[str]:
        found.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", pretend)
    monkeypatch.setattr(packages, "installed", lambda name: None)
    return found


def test_list() -> None:
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows] == ["omikuji", "napkinxc", "pecos"]
    assert rows[2]["installed"] in (None, "1.2.8")
    assert run("list").stdout.splitlines()[2].startswith("pecos")


def test_list_says_how_to_get_one_and_which_version_was_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed", {"omikuji": "9.9", "napkinxc": None, "pecos": None}.get)
    first, second, _ = run("list").stdout.splitlines()
    assert "omikuji 9.9" in first
    assert "tested with 0.5.2" in first
    assert "xmcbench peers install napkinxc" in second


def test_pip_is_asked_for_the_pinned_version(commands: list[list[str]]) -> None:
    assert "napkinxc 0.7.2" in run("install", "napkinxc", "napkinxc").stdout
    assert commands == [[sys.executable, "-P", "-m", "pip", "install", "--quiet", "napkinxc==0.7.2"]]


def test_what_is_there_is_left(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed", lambda name: packages.PEERS[name].version)
    monkeypatch.setattr(environment, "install", lambda say: False)
    assert run("install").stdout.count("was already installed") == 3
    assert not commands


def test_without_pip_the_requirement_is_named(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(XmcError, match=r"Install omikuji==[\d.]+ with the tool that created this environment"):
        run("install", "omikuji")
    assert not commands


def test_refusals() -> None:
    with pytest.raises(UsageError, match="'omikuji'"):
        run("install", "omikuij")
    with pytest.raises(UsageError, match="pip uninstall napkinxc"):
        run("remove", "napkinxc")
    with pytest.raises(UsageError, match="unknown peer"):
        run("remove", "nobody")
    assert "was not installed" in run("remove", "pecos").stdout
