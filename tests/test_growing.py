"""Arrays that grow: in memory and in files; full disks, folders that are gone, and killed processes."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import numpy as np
import psutil
import pytest

from xmcbench import growing
from xmcbench.errors import WriteError
from xmcbench.growing import Growing, Spilling
from xmcbench.memory import held


def open_files(folder: Path, pid: int | None = None) -> list[str]:
    """Files in `folder` that a process has open or mapped."""
    paths = Path(f"/proc/{pid or os.getpid()}/fd").iterdir()
    targets = [os.readlink(path) for path in paths if path.is_symlink()]
    mapped = [one.path for one in psutil.Process(pid).memory_maps(grouped=False)]
    return [target for target in (*targets, *mapped) if target.startswith(f"{folder}/")]


class Unmovable(mmap.mmap):
    """Pages as macOS has them."""

    def resize(self, newsize: int) -> None:
        raise SystemError(f"resizing to {newsize} bytes is not available")


@pytest.mark.parametrize("kind", [mmap.mmap, Unmovable])
def test_an_array_grows_from_parts_of_any_length(kind: type[mmap.mmap], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing.mmap, "mmap", kind)
    array, parts = Growing(np.int32), [np.arange(n) for n in (0, 1, growing.ROOM // 4 - 1, 1, 0, 100_000, 3)]
    for part in parts:
        array.append(part)  # int64, which is converted
    assert array.array.dtype == np.int32
    np.testing.assert_array_equal(array.array, np.concatenate(parts))


def test_room_that_is_not_used_takes_no_memory() -> None:
    array, part, before = Growing(np.float32), np.ones(1 << 20, np.float32), held()
    for _ in range(33):
        array.append(part)
    assert held() - before < 1.1 * array.array.nbytes


@pytest.mark.parametrize("limit", [0, 39, 40, 80, 10**6])
def test_the_same_numbers_in_memory_and_in_a_file(limit: int, tmp_path: Path) -> None:
    array = Spilling(np.int32, limit, tmp_path)
    for start in (0, 10, 10, 20):  # a part without numbers too
        array.append(np.arange(start, start if start == 20 else start + 10, dtype=np.int32))
    got = array.whole()
    assert got.dtype == np.int32
    assert got.tolist() == [*range(10), *range(10, 20), *range(10, 20)]
    assert bool(open_files(tmp_path)) == (limit < 120)
    assert os.listdir(tmp_path) == []
    del array, got
    assert open_files(tmp_path) == []


def test_a_mapping_is_read_only_unless_a_copy_is_asked_for(tmp_path: Path) -> None:
    shared, copied = Spilling(np.int64, 0, tmp_path), Spilling(np.int64, 0, tmp_path)
    for array in (shared, copied):
        array.append(np.array([7, -1]))
    assert not shared.whole().flags.writeable
    numbers = copied.whole(mmap.ACCESS_COPY)
    numbers[0] = 9
    assert numbers.tolist() == [9, -1]


def test_arrays_in_files_take_no_memory(tmp_path: Path) -> None:
    before, block, array = held(), np.ones(1 << 20, np.float32), Spilling(np.float32, 0, tmp_path)
    for _ in range(32):
        array.append(block)
    whole = array.whole()
    assert whole.sum() == whole.size  # all pages are read
    assert held() - before < whole.nbytes // 4


def test_nothing_at_all(tmp_path: Path) -> None:
    assert Spilling(np.float32, 0, tmp_path).whole().tolist() == []


@pytest.mark.parametrize("full_after", [0, 1])
def test_a_full_disk_names_the_folder(full_after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/dev/full` opens, and every write that reaches it fails: at once, or when the buffer is flushed."""

    def full(**options: Any) -> IO[bytes]:
        assert options["dir"] == tmp_path
        return open("/dev/full", "r+b", buffering=0 if full_after == 0 else 1 << 16)

    monkeypatch.setattr(growing, "TemporaryFile", full)
    array = Spilling(np.int32, 8, tmp_path)
    array.append(np.ones(2, np.int32))

    def go_on() -> None:
        array.append(np.ones(2, np.int32))
        array.whole()

    with pytest.raises(WriteError, match="the disk is full") as caught:
        go_on()
    assert str(tmp_path) in caught.value.message
    assert "Free some space" in caught.value.hint


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="gone: can't write"):
        Spilling(np.int32, 0, tmp_path / "gone").append(np.ones(2, np.int32))


def test_a_disk_error_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**options: Any) -> IO[bytes]:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(growing, "TemporaryFile", broken)
    with pytest.raises(WriteError, match=r"can't write \(Read-only file system\)"):
        Spilling(np.int32, 0, tmp_path).append(np.ones(2, np.int32))


CHILD = """
import sys, time
from pathlib import Path
import numpy as np
from xmcbench.growing import Growing, Spilling
array = Spilling(np.float32, 0, Path(sys.argv[1]))
array.append(np.ones(1 << 20, np.float32))
mapped = array.whole() if sys.argv[2] == "mapped" else None
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("state", ["open", "mapped"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_leaves_nothing(end: signal.Signals, state: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path), state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert os.listdir(tmp_path) == []
        assert open_files(tmp_path, child.pid)
        child.send_signal(end)
    assert child.returncode != 0
    assert os.listdir(tmp_path) == []
