"""Each peer as a method under test: the real ones where they are installed, and PECOS's adapter around a stand-in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from xmcbench.data.spec import Dataset
from xmcbench.files import write_json
from xmcbench.method import Method
from xmcbench.peers import packages
from xmcbench.runs import registry
from xmcbench.testing import worlds

FAKE = Path(__file__).with_name("fake")


@pytest.fixture(scope="session")
def fake_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder whose PECOS environment is this interpreter with the stand-in on its path."""
    home = tmp_path_factory.mktemp("fake-home")
    place = home / "peers" / "pecos"
    (place / "bin").mkdir(parents=True)
    script = place / "bin" / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{FAKE}" exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    write_json(place / "xmcbench.json", {"libpecos": packages.PEERS["pecos"].version})
    return home


@pytest.fixture
def fake_pecos(fake_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(fake_home))
    monkeypatch.delenv("FAKE_PECOS", raising=False)


@pytest.fixture(params=["omikuji", "napkinxc", "pecos", "fake pecos"])
def peer(request: pytest.FixtureRequest) -> type[Method]:
    """The class of each peer that can run here."""
    name = request.param
    if name == "fake pecos":
        request.getfixturevalue("fake_pecos")
        name = "pecos"
    reason = packages.missing(name)
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    return registry.get(name)


@pytest.fixture(scope="session")
def world() -> Dataset:
    return worlds.tiny(n_train=600, n_test=200)
