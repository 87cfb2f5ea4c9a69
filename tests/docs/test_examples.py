"""The examples in the docstrings of `xmcbench.api` run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["run", "runs", "comparing", "datasets"])
def test_examples_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # they write a results folder
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    failed, attempted = doctest.testmod(importlib.import_module(f"xmcbench.api.{module}"))
    assert (failed, attempted > 0) == (0, True)
