from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from xmcbench.cli import doctor
from xmcbench.data.home import sweep_home
from xmcbench.records import leftovers

MODULE = "from xmcbench.methods.popularity import Popularity as Demo\n"


def checks(site: Any) -> tuple[int, dict[str, dict[str, Any]]]:
    done = site.xmcbench("doctor", "--json")
    found = json.loads(done.stdout)
    assert found["problems"] == sum(check["ok"] is False for check in found["checks"])
    assert (done.returncode == 1) == (found["problems"] > 0)
    return found["problems"], {check["name"]: check for check in found["checks"]}


def test_each_broken_plugin_is_explained_and_breaks_nothing_else(site: Any) -> None:
    site.add("lacks-library", "demo_lacks", "import no_such_library\n", {"lacks": "demo_lacks:Demo"})
    site.add("leaves", "demo_leaves", "raise SystemExit(7)\n", {"leaves": "demo_leaves:Demo"})
    site.add("crashes", "demo_crashes", "import os\nos.abort()\n", {"crashes": "demo_crashes:Demo"})
    site.add("misnamed", "demo_misnamed", MODULE, {"misnamed": "demo_misnamed:Demo"})
    site.add("greedy", "demo_greedy", MODULE, {"popularity": "demo_greedy:Demo"})
    problems, found = checks(site)
    assert "No module named 'no_such_library'" in found["method lacks"]["detail"]
    assert "demo_lacks:Demo from lacks-library 1.0" in found["method lacks"]["detail"]
    assert "SystemExit: 7" in found["method leaves"]["detail"]
    assert "signal 6" in found["method crashes"]["detail"]
    assert "calls itself 'popularity'" in found["method misnamed"]["detail"]
    assert "popularity: xmcbench.methods.popularity:Popularity" in found["name clash"]["detail"]
    assert found["method popularity"]["ok"] is True
    assert found["method tree"]["ok"] is True
    assert problems >= 5

    listed = site.xmcbench("ls", "methods")
    assert listed.returncode == 0
    assert {"lacks", "leaves", "crashes", "popularity"} <= {line.split()[0] for line in listed.stdout.splitlines()}
    assert site.xmcbench("info", "popularity").returncode == 0
    refused = site.xmcbench("info", "lacks")
    assert refused.returncode == 1
    assert "no_such_library" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_control_characters_of_a_plugin_do_not_reach_the_terminal(site: Any) -> None:
    site.add("loud", "demo_loud", "raise ValueError('\\x1b[2J\\x07 gone')\n", {"loud": "demo_loud:Demo"})
    done = site.xmcbench("doctor")
    assert " gone" in done.stdout
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout


def test_a_slow_import_is_given_up(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("slow", "demo_slow", "import time\ntime.sleep(60)\n", {"slow": "demo_slow:Demo"})
    monkeypatch.setenv("PYTHONPATH", str(site.folder))
    monkeypatch.setattr(doctor, "PATIENCE", 2.0)
    assert doctor.probe("slow") == "its import takes more than 2 s"


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "not" / "there" / "yet"))
    monkeypatch.setenv("XMCBENCH_MIRROR", str(tmp_path / "nowhere"))
    found = {check.name: check for check in doctor._folders()}
    assert found["home folder"].ok is True
    assert found["home folder"].detail.endswith("(will be created)")
    assert not (tmp_path / "not").exists()
    assert found["mirror"].ok is False
    assert "nowhere" in found["mirror"].detail


def test_a_home_that_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    found = {check.name: check for check in doctor._folders()}
    assert found["home folder"].ok is False
    assert "XMCBENCH_HOME" in found["home folder"].detail
    assert found["kernel cache"].ok is False
    assert "NUMBA_CACHE_DIR" in found["kernel cache"].detail


def test_leftovers_are_counted_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    assert doctor._leftovers(tmp_path / "out") == []
    left = [
        tmp_path / "home" / "imported" / ".tmp-mine-abcdefgh" / "meta.json",
        tmp_path / "home" / "downloads" / "eurlex-4k" / ".tmp-abcdefgh",
        tmp_path / "out" / "records" / ".tmp-abcdefgh",
        tmp_path / "out" / "predictions" / "20260101T000001-tree-d-aaaaaaa1.npz",
        tmp_path / "out" / "work" / "fit" / "method" / "checkpoints" / ".tmp-abcdefgh",
    ]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [check.detail.partition(";")[0] for check in doctor._leftovers(tmp_path / "out")] == [
        f"{tmp_path / 'home'}: 2 unfinished files",
        f"{tmp_path / 'out'}: 3 unfinished files",
    ]
    assert all(path.is_file() for path in left)
    sweep_home()
    leftovers.sweep(tmp_path / "out")
    assert not any(path.exists() for path in left)
    assert doctor._leftovers(tmp_path / "out") == []


def test_full_looks_for_a_gpu() -> None:
    found = {check.name: check.detail for check in doctor._machine(full=True)}
    assert re.fullmatch(r"[\d.]+ GiB of [\d.]+ GiB are free for a run", found["memory"])
    assert "sees no GPU" in found["gpu"] or "CUDA" in found["gpu"]
