"""Runs on a small synthetic data set: leaderboards with popularity, and results with knn for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xmcbench.api.run import run
from xmcbench.board import build
from xmcbench.contributions.submitting import submit
from xmcbench.records import merging, record_file
from xmcbench.records.store import Store

DATA = "synthetic[labels=40,rows=300,test=60]"
Forge = Callable[..., Path]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """leaderboards/, built; results/ with knn and popularity; submission/ of it, and full/ with predictions."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        run(["popularity"], dataset=DATA, results=folder / "first")
        list(merging.merge(Store(folder / "first"), Store(folder / "leaderboards"), slim=True))
        build.write(folder / "leaderboards", build.make(folder / "leaderboards").files)
        run(["knn"], dataset=DATA, results=folder / "results")
        for name, predictions in (("submission", False), ("full", True)):
            submit(folder / "results", folder / name, folder / "leaderboards", predictions=predictions)
        yield folder


@pytest.fixture(autouse=True)
def home_of_the_world(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(world / "home"))


@pytest.fixture
def boards(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world / "leaderboards", tmp_path / "leaderboards"))


@pytest.fixture
def sent(world: Path, tmp_path: Path) -> Path:
    """A submission without predictions, to be changed."""
    return Path(shutil.copytree(world / "submission", tmp_path / "submission"))


@pytest.fixture
def full(world: Path, tmp_path: Path) -> Path:
    """A submission with predictions, to be changed."""
    return Path(shutil.copytree(world / "full", tmp_path / "full"))


@pytest.fixture
def forge() -> Forge:
    """forge(folder, change, seal=True): change the JSON of the folder's only record; returns the record's file."""

    def forged(folder: Path, change: Callable[[dict[str, Any]], object], *, seal: bool = True) -> Path:
        (path,) = (folder / "records").glob("*.json")
        raw = json.loads(path.read_text())
        change(raw)
        if seal:
            raw["seal"] = record_file.seal_of(raw)
        path.unlink()
        path = path.with_name(f"{raw['run_id']}.json")
        path.write_text(json.dumps(raw))
        return path

    return forged
