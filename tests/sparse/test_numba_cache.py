"""Compiled kernels are compiled anew when a source changes that they may hold code of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from xmcbench.sparse.numba_cache import stamp_of

GUARD = """
from pathlib import Path
from xmcbench.sparse.numba_cache import stamp_whole_package
stamp_whole_package(Path(__file__).parent)
"""
CALLER = """
from numba import njit
from kernels.callee import callee
@njit(cache=True)
def caller():
    return callee()
"""


def write(folder: Path, value: int, guard: str = GUARD) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text(guard)
    if not (folder / "caller.py").exists():
        (folder / "caller.py").write_text(CALLER)
    (folder / "callee.py").write_text(f"from numba import njit\n@njit\ndef callee():\n    return {value}\n")


def ask(code: str, folder: Path) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    # Python's own compiled files tell sources apart by size and second: here they may agree in both
    here = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, text=True, env=here, **pipes)  # type: ignore[call-overload, no-any-return]


def answer(folder: Path) -> int:
    return int(ask("from kernels.caller import caller; print(caller())", folder).communicate()[0])


def test_a_changed_callee_is_compiled_anew(tmp_path: Path) -> None:
    """Without the guard, `caller` may keep the old `callee` inside."""
    answers = []
    for guard in ("", GUARD):
        for value in (1, 2):
            write(tmp_path / "kernels", value, guard)
            answers.append(answer(tmp_path))
    assert answers in ([1, 1, 1, 2], [1, 2, 1, 2])  # the second: a numba that knows better


def test_what_an_older_process_compiles_later_is_not_taken_for_new(tmp_path: Path) -> None:
    write(tmp_path / "kernels", 1)
    old = ask("from kernels.caller import caller; print(flush=True); input(); print(caller())", tmp_path)
    assert old.stdout is not None
    old.stdout.readline()  # it has imported the old sources
    write(tmp_path / "kernels", 2)
    assert answer(tmp_path) == 2
    assert int(old.communicate("\n")[0]) == 1
    assert answer(tmp_path) == 2


def test_kernels_are_kept_while_nothing_changes(tmp_path: Path) -> None:
    write(tmp_path / "kernels", 1)
    code = "from kernels.caller import caller; caller(); print(sum(caller.stats.cache_hits.values()))"
    assert [int(ask(code, tmp_path).communicate()[0]) for _ in range(2)] == [0, 1]


def test_a_damaged_cache_is_compiled_anew(tmp_path: Path) -> None:
    write(tmp_path / "kernels", 1)
    assert answer(tmp_path) == 1
    for kind, damage in (("nbi", b"\x80\x04garbage"), ("nbc", b"\x80")):
        (path,) = (tmp_path / "kernels" / "__pycache__").glob(f"caller*.{kind}")
        path.write_bytes(damage)
        assert answer(tmp_path) == 1


WITHOUT = """
import errno, warnings
from numba.core import caching
def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
{fault}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from kernels.caller import caller
    print(caller() + caller())
assert [str(w.message) for w in caught if "can't be cached ({said})" in str(w.message)], caught
"""


def test_without_a_folder_or_space_kernels_are_compiled_in_memory(tmp_path: Path) -> None:
    write(tmp_path / "kernels", 4)
    for fault, said in (
        ("caching.CacheImpl._locator_classes = []", "no folder for them can be written"),
        ("caching.Cache._save_overload = full", "No space left on device"),
    ):
        assert int(ask(WITHOUT.format(fault=fault, said=said), tmp_path).communicate()[0]) == 8


def test_a_stamp_is_of_names_and_contents(tmp_path: Path) -> None:
    stamps = []
    for number, files in enumerate(({"a.py": "1"}, {"a.py": "2"}, {"b.py": "1"}, {"a.py": "1", "b.py": ""})):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        stamps.append(stamp_of(folder))
    assert len(set(stamps)) == 4


def test_an_index_with_a_class_that_is_gone_is_ignored(tmp_path: Path) -> None:
    """Numba keeps one index per name and line of a function; it names the classes of parameters."""
    kernel = """
from typing import NamedTuple
from numba import njit
class {name}(NamedTuple):
    number: int
@njit(cache=True)
def caller(pair):
    return pair.number
"""
    for name in ("Before", "After"):
        (tmp_path / "kernels").mkdir(exist_ok=True)
        (tmp_path / "kernels" / "__init__.py").write_text(GUARD)
        (tmp_path / "kernels" / "caller.py").write_text(kernel.format(name=name))
        code = f"from kernels.caller import {name}, caller; print(caller({name}(7)))"
        assert int(ask(code, tmp_path).communicate()[0]) == 7
