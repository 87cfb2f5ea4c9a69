"""The examples in the docstrings of public names run, and every one that can be tried alone has an example."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import xmcbench

# What a method gets or raises: `docs/own_method.md` has a method whose code is run.
WITHOUT = {"Inputs", "Method", "TrainData", "RunContext", "Diverged", "XmcError", "RunsFailed"}
NAMES = sorted(xmcbench._MODULE_OF.keys() - WITHOUT)
MODULES = sorted(
    {getattr(xmcbench, name).__module__ for name in NAMES}
)  # of definitions: doctest skips what is imported


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example(name: str) -> None:
    assert ">>> " in (getattr(xmcbench, name).__doc__ or "")


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # they write a results folder
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    failed, attempted = doctest.testmod(importlib.import_module(module))
    assert (failed, attempted > 0) == (0, True)
