"""PECOS's environment is whole or absent, made once, and made of our pins nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from xmcbench.errors import DataError, XmcError
from xmcbench.peers import environment
from xmcbench.peers.packages import PEERS, installed, missing

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that an installation runs; making the environment is pretended."""
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    run: list[list[str]] = []

    def step(command: list[str]) -> None:
        run.append(command)
        if "venv" in command:
            environment.python().parent.mkdir(parents=True)
            environment.python().touch()

    monkeypatch.setattr(environment, "_do", step)
    return run


def test_made_once_with_torch_first(steps: list[list[str]]) -> None:
    assert environment.ready() is None
    assert "peers install pecos" in str(missing("pecos"))
    assert environment.install(lambda step: None) is True
    assert environment.ready() == installed("pecos") == PEERS["pecos"].version
    assert [command[-1] for command in steps[:2]] == [str(environment.folder()), "torch==2.13.0"]
    assert {"torch==2.13.0", "libpecos==1.2.8", "numpy<2", "scipy<1.14"} <= set(steps[2])
    assert len(steps) == 4
    assert environment.install(lambda step: None) is False
    assert len(steps) == 4


def test_half_of_it_is_not_used_and_made_again(steps: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = environment._do

    def fails(command: list[str]) -> None:
        whole(command)
        if "libpecos==1.2.8" in command:
            raise XmcError("no such package")

    monkeypatch.setattr(environment, "_do", fails)
    with pytest.raises(XmcError, match="no such"):
        environment.install(lambda step: None)
    assert environment.python().exists()
    assert environment.ready() is None
    (environment.folder() / "left over").touch()
    monkeypatch.setattr(environment, "_do", whole)
    assert environment.install(lambda step: None)
    assert not (environment.folder() / "left over").exists()
    assert environment.remove() is True
    assert environment.remove() is False
    assert environment.ready() is None


def test_two_at_once_make_it_once(steps: list[list[str]]) -> None:
    done: list[bool] = []
    both = [threading.Thread(target=lambda: done.append(environment.install(lambda step: None))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(done) == [False, True]
    assert len(steps) == 4


def test_another_version_is_replaced_and_a_vanished_interpreter_noticed(steps: list[list[str]]) -> None:
    environment.install(lambda step: None)
    (environment.folder() / environment.MARK).write_text('{"libpecos": "1.0.0"}')
    assert environment.ready() == "1.0.0"
    assert environment.install(lambda step: None) is True
    environment.python().unlink()
    assert environment.ready() is None


def test_a_failing_step_says_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONSTRAINT", "ours.txt")
    code = "import os, sys; sys.exit('refused ' + str(os.environ.get('PIP_CONSTRAINT')))"
    with pytest.raises(XmcError, match="refused None"):
        environment._do([sys.executable, "-c", code])


def test_a_home_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="can't write"):
        environment.install(lambda step: None)


def test_extras_name_the_same_versions() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pins = {name: f"{peer.distribution}=={peer.version}" for name, peer in PEERS.items() if not peer.apart}
    for name, pin in pins.items():
        assert extras[name] == [pin]
    assert sorted(extras["peers"]) == sorted(pins.values())
    listed = (ROOT / "constraints.txt").read_text().splitlines()
    assert set(pins.values()) <= set(listed)


def test_the_worker_needs_nothing_of_ours() -> None:
    """It runs where xmcbench is not installed, and a module of its folder must not pass for a library."""
    code = "import sys, runpy; sys.modules['xmcbench'] = None; runpy.run_path(sys.argv[1], run_name='alone')"
    worker = Path(environment.__file__).with_name("pecos_worker.py")
    subprocess.run([sys.executable, "-P", "-c", code, str(worker)], check=True, cwd=os.sep)
