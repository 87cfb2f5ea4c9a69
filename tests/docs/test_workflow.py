"""The public workflow does what .ci/run does, with no more rights than it needs."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra text")
ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def commands(job: dict[str, Any]) -> list[str]:
    """What a job runs, with its matrix filled in."""
    (name, values), *_ = job["strategy"]["matrix"].items()
    lines = [step["run"] for step in job["steps"] if "run" in step]
    return [line.replace("${{ matrix." + name + " }}", value) for line in lines for value in values]


def test_every_environment_of_tox_is_run(workflow: dict[str, Any]) -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    run = {line for job in workflow["jobs"].values() for line in commands(job) if line.startswith("tox ")}
    usual = {name.strip() for name in tox["tox"]["env_list"].split(",")} - {"all"}
    together = {"types", "py", "scores", "docs-site"}  # by `all`, in one environment
    sources = [
        f"{{[testenv{'' if name == 'py' else ':' + name}]commands}}" for name in ("types", "py", "scores", "docs-site")
    ]
    assert tox["testenv:all"]["commands"].split() == sources
    # wheels: what takes too long for every run of tests, and must hold for a release
    assert run == {f"tox -e {name}" for name in usual | together | {"wheels"}}


def test_tests_run_on_every_python_that_is_promised(workflow: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = [found[1] for line in project["classifiers"] if (found := re.search(r":: (3\.\d+)$", line))]
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == promised


def test_it_may_read_and_no_more(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets" not in FILE.read_text(encoding="utf-8")
    assert workflow["concurrency"]["cancel-in-progress"] is True
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert used
        assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)
