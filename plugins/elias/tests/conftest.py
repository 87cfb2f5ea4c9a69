"""Fixtures of the plugin's tests; development data is found as in the main project's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xmcbench.context import Reporter

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data and oracles; it is not part of the project."""
    folder = Path(os.environ.get("XMCBENCH_SHARED", ROOT.parent / "shared"))
    if not (folder / "oracles").is_dir():
        pytest.skip(f"development data not found at {folder}: set XMCBENCH_SHARED to its folder")
    return folder


class Stop(Reporter):
    """Stops a run like Ctrl-C at the given call of `progress` in phases of that name, all counted together."""

    def __init__(self, phase: str, at: int = 1) -> None:
        self.name, self.left, self.now = phase, at, ""

    def phase(self, name: str) -> None:
        self.now = name

    def progress(self, done: float, total: float, note: str) -> None:
        self.left -= self.now == self.name
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> type[Stop]:
    """The class, with checkpoints after every epoch of the network and every step of the dual encoder."""
    monkeypatch.setattr("xmcbench.methods.training.CHECKPOINT_EVERY", 0.0)
    return Stop
