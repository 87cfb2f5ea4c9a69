"""Fixtures every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data, oracles and reference files; it is not part of the project."""
    folder = Path(os.environ.get("XMCBENCH_SHARED", ROOT.parent / "shared"))
    if not (folder / "oracles").is_dir():
        pytest.skip(f"development data not found at {folder}: set XMCBENCH_SHARED to its folder")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into a user's cache."""
    if "XMCBENCH_TEST_HOME" not in os.environ:
        monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path_factory.getbasetemp() / "home"))
    else:
        monkeypatch.setenv("XMCBENCH_HOME", os.environ["XMCBENCH_TEST_HOME"])
    monkeypatch.delenv("XMCBENCH_MIRROR", raising=False)
