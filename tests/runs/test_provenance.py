from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xmcbench
from xmcbench.runs import provenance


def test_environment_is_json_and_names_what_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = json.loads(json.dumps(provenance.environment(2, "cpu"), allow_nan=False))
    assert found["python"].endswith(platform.python_version())
    assert found["libraries"]["numpy"] == np.__version__
    assert found["libraries"]["xmcbench"] == xmcbench.__version__
    assert found["threads"]["given"] == 2
    assert found["threads"]["variables"]["OMP_NUM_THREADS"] == "3"
    assert found["hardware"]["cores"] == os.cpu_count()
    assert found["hardware"]["memory_bytes"] > 1 << 28
    assert found["machine_class"]["scores"] == "cpu"


def test_machine_description_rounds_memory_and_names_the_gpu_only_where_used() -> None:
    machine = {"cpu": "Some CPU", "cores_available": 4, "memory_bytes": 16_500_000_000, "gpu": {"name": "Some GPU"}}
    assert provenance.describe(machine, "cpu") == "Some CPU, 4 cores, 16 GiB"
    assert provenance.describe(machine, "cuda") == "Some CPU, 4 cores, 16 GiB, Some GPU"
    unknown = {"cpu": None, "cores_available": 1, "memory_bytes": None, "gpu": None}
    assert provenance.describe(unknown, "cuda") == "unknown cpu, 1 cores, unknown memory"


def test_environment_imports_no_torch() -> None:
    code = "import sys, xmcbench.runs.provenance as p; p.environment(1, 'cpu'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree under git with one commit."""
    package = tmp_path / "xmcbench"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_text("")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(xmcbench, "__file__", str(package / "__init__.py"))
    provenance.code_state.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def forget_code_state() -> object:
    yield
    provenance.code_state.cache_clear()


def test_commit_and_dirty_flag_of_a_checkout(checkout: Path) -> None:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True).stdout.strip()
    assert provenance.code_state() == {"version": xmcbench.__version__, "commit": commit, "dirty": False}
    (checkout / "pyproject.toml").write_text("changed")
    provenance.code_state.cache_clear()
    assert provenance.code_state()["dirty"] is True


def test_an_installed_copy_inside_another_repository_has_no_commit(checkout: Path) -> None:
    (checkout / "pyproject.toml").unlink()
    assert provenance.code_state() == {"version": xmcbench.__version__, "commit": None, "dirty": None}


def test_without_git_the_state_is_unknown(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance.code_state()["commit"] is None


def test_a_changed_file_may_have_any_name(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.run
    odd = [sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'\xff')"]
    monkeypatch.setattr(subprocess, "run", lambda _, **options: run(odd, **options))
    assert provenance.code_state()["dirty"] is True


def test_a_git_that_hangs_is_given_up(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **options: object) -> None:
        assert options["timeout"] == 2
        raise subprocess.TimeoutExpired(command, 2)

    monkeypatch.setattr(subprocess, "run", hang)
    assert provenance.code_state() == {"version": xmcbench.__version__, "commit": None, "dirty": None}
