"""Fixtures of the plugin's tests; development data is found as in the main project's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data and oracles; it is not part of the project."""
    folder = Path(os.environ.get("XMCBENCH_SHARED", ROOT.parent / "shared"))
    if not (folder / "oracles").is_dir():
        pytest.skip(f"development data not found at {folder}: set XMCBENCH_SHARED to its folder")
    return folder
