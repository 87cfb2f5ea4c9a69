"""Compiled kernels are forgotten when a source changes that they may hold code of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from xmcbench.stale import forget_stale


def package(folder: Path) -> Path:
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "one.py").write_text("1")
    return folder


def compiled(folder: Path) -> list[Path]:
    paths = [folder / "__pycache__" / f"one.f-1.py311.{end}" for end in ("nbi", "1.nbc")]
    for path in paths:
        path.write_bytes(b"x")
    return paths


def test_kernels_go_when_any_source_changes(tmp_path: Path) -> None:
    own, other = package(tmp_path / "own"), package(tmp_path / "other")
    assert forget_stale(own, other)
    for change in (
        lambda: (own / "one.py").write_text("22"),
        lambda: (own / "two.py").write_text("2"),
        lambda: (own / "two.py").unlink(),
        lambda: os.utime(other / "one.py", ns=(1, 1)),
    ):
        paths = compiled(own)
        keep = own / "__pycache__" / "one.cpython-311.pyc"
        keep.write_bytes(b"x")
        assert not forget_stale(own, other)
        assert all(path.exists() for path in paths)
        change()
        assert forget_stale(own, other)
        assert not any(path.exists() for path in paths)
        assert keep.exists()


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__pycache__").write_text("a file where the folder should be")
    assert forget_stale(tmp_path / "own")


def test_a_changed_callee_is_compiled_anew(tmp_path: Path) -> None:
    """What goes wrong without it: `caller` keeps the old `callee` inside."""
    folder = tmp_path / "kernels"
    folder.mkdir()
    guard = "from pathlib import Path\nfrom xmcbench.stale import forget_stale\nforget_stale(Path(__file__).parent)\n"
    (folder / "caller.py").write_text(
        "from numba import njit\nfrom kernels.callee import callee\n"
        "@njit(cache=True)\ndef caller():\n    return callee()\n"
    )
    answers = []
    for init in ("", guard):
        for value in (1, 2):
            (folder / "__init__.py").write_text(init)
            text = f"from numba import njit\n@njit(cache=True)\ndef callee():\n    return {value}  # {init!r}\n"
            (folder / "callee.py").write_text(text)
            ask = "from kernels.caller import caller; print(caller())"
            done = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
            answers.append(int(done.stdout))
    assert answers == [1, 1, 1, 2] or answers == [1, 2, 1, 2]  # the second: a numba that knows better
