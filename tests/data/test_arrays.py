"""Folders of arrays: by parts as in one piece, built once, checked on opening; damage is made again (see also the cache
of parsed data sets, tests/data/test_cache.py, which stands on them)."""

from __future__ import annotations

import errno
import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmcbench.data import array_files
from xmcbench.data.array_files import Array, File
from xmcbench.data.arrays import Stored, Unusable, Writer, open_folder, open_or_build, remove
from xmcbench.errors import DataError
from xmcbench.files import sha256_of

KEY = "k"


def build(writer: Writer) -> dict[str, Any]:
    writer.save("a", np.arange(6, dtype=np.int32).reshape(3, 2))
    writer.save_parts("b", (np.full((n, 3), n, np.float32) for n in (2, 0, 5)))
    return {"said": "é"}


def never(_: Writer) -> dict[str, Any]:
    raise AssertionError("built again")


def same(stored: Stored) -> Stored:
    return stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "one"


def test_round_trip(folder: Path) -> None:
    for how in (build, never):
        stored = open_or_build(folder, KEY, how, same)
        np.testing.assert_array_equal(stored.arrays["a"], np.arange(6).reshape(3, 2))
        np.testing.assert_array_equal(stored.arrays["b"], np.repeat([2, 5], [2, 5])[:, None] * np.ones((1, 3)))
        assert stored.arrays["a"].dtype == np.int32
        assert stored.facts["said"] == "é"
        with pytest.raises(ValueError, match="read-only"):
            stored.arrays["b"][0] = 0
    assert sorted(path.name for path in folder.iterdir()) == ["a.npy", "b.npy", "meta.json", "verified.json"]


@pytest.mark.parametrize("shape", [(0,), (5,), (0, 3), (4, 3, 2)])
@pytest.mark.parametrize("dtype", ["<i8", "<u2", "<f4", "|b1"])
def test_a_file_by_parts_is_numpys_own(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    array = np.ones(shape, dtype)
    np.save(tmp_path / "numpy.npy", array)
    written = array_files.save(tmp_path / "ours.npy", [array[:2], array[2:]])
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    assert written == File((tmp_path / "ours.npy").stat().st_size, sha256_of(tmp_path / "ours.npy"))


def test_large_arrays_are_mapped(folder: Path) -> None:
    big = np.random.default_rng(0).random((100, 300))

    def save(writer: Writer) -> dict[str, Any]:
        writer.save("a", big)
        return {}

    found: Any = open_or_build(folder, KEY, save, same).arrays["a"]
    np.testing.assert_array_equal(found, big)
    assert isinstance(found.base, mmap.mmap)


@pytest.mark.parametrize("harm", ["cut", "gone", "meta cut", "meta edited", "another key", "what it reads"])
def test_damage_is_noticed_and_made_again(folder: Path, harm: str) -> None:
    open_or_build(folder, KEY, build, same)
    meta = folder / "meta.json"
    refused: list[int] = [1] if harm == "what it reads" else []

    def read(stored: Stored) -> Stored:
        if refused and refused[0] < 3:  # on opening, and again under the lock
            refused[0] += 1
            raise ValueError("other shapes")
        return stored

    if harm == "cut":
        (folder / "b.npy").write_bytes((folder / "b.npy").read_bytes()[:-1])
    elif harm == "gone":
        (folder / "a.npy").unlink()
    elif harm == "meta cut":
        meta.write_bytes(meta.read_bytes()[:-3])
    elif harm == "meta edited":
        meta.write_text(json.dumps({**json.loads(meta.read_text()), "said": "other"}))
    key = "other" if harm == "another key" else KEY
    with pytest.warns(UserWarning, match="damaged: it is made again"):
        stored = open_or_build(folder, key, build, read)
    assert stored.arrays.keys() == {"a", "b"}
    open_or_build(folder, key, never, same)
    assert sorted(path.name for path in folder.parent.iterdir()) == [".one.lock", "one"]


def test_a_build_that_stops_leaves_nothing(folder: Path) -> None:
    def parts() -> Iterator[Array]:
        yield np.zeros(3)
        raise KeyboardInterrupt

    def stops(writer: Writer) -> dict[str, Any]:
        writer.save_parts("a", parts())
        return {}

    with pytest.raises(KeyboardInterrupt):
        open_or_build(folder, KEY, stops, same)
    assert [path.name for path in folder.parent.iterdir()] == [".one.lock"]
    with pytest.raises(Unusable, match=r"^$"):
        open_folder(folder, KEY, same)


def test_a_full_disk_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(file: Any) -> None:
        raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(array_files, "flush", fail)
    with pytest.raises(DataError, match="the disk is full"):
        open_or_build(folder, KEY, build, same)
    assert [path.name for path in folder.parent.iterdir()] == [".one.lock"]


def test_what_cannot_be_read_back_is_an_error_and_no_loop(folder: Path) -> None:
    def read(stored: Stored) -> Stored:
        raise KeyError("never there")

    with pytest.raises(DataError, match="reads back differently"):
        open_or_build(folder, KEY, build, read)


def test_remove(folder: Path) -> None:
    open_or_build(folder, KEY, build, same)
    remove(folder)
    remove(folder)
    assert list(folder.parent.iterdir()) == []


SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from xmcbench.data import arrays
def parts():
    for i in range(20):
        print("part", i, flush=True)
        time.sleep(0.05)
        yield np.full(100_000, i)
def build(writer):
    writer.save_parts("a", parts())
    return {}
print("sum", arrays.open_or_build(Path(sys.argv[1]), "k", build, lambda stored: stored).arrays["a"].sum())
"""


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SLOW, str(folder)], stdout=subprocess.PIPE, text=True)


def test_one_killed_then_two_at_once(folder: Path) -> None:
    child = start(folder)
    assert child.stdout is not None
    while child.stdout.readline() != "part 5\n":
        pass
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    with pytest.raises(Unusable, match=r"^$"):
        open_folder(folder, KEY, same)
    assert len([path for path in folder.parent.iterdir() if path.is_dir()]) == 1  # half a build, under another name
    said = [process.communicate(timeout=120)[0].splitlines() for process in [start(folder) for _ in range(2)]]
    assert sorted(map(len, said)) == [1, 21]
    assert {lines[-1] for lines in said} == {"sum 19000000"}
    assert sorted(path.name for path in folder.parent.iterdir()) == [".one.lock", "one"]
