"""Arrays in a file without a name."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from xmcbench.errors import WriteError
from xmcbench.memory import held
from xmcbench.scratch import ScratchFile


def test_arrays_are_mapped_and_have_no_name(tmp_path: Path) -> None:
    file = ScratchFile(tmp_path)
    blocks = [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((1, 3), np.float32)]
    table = file.put(iter(blocks), (3, 3), np.float32)
    numbers = file.put([np.array([7, -1])[::-1]], (2,), np.int64)
    del file
    assert list(tmp_path.iterdir()) == []
    assert table.tolist() == [[0, 1, 2], [3, 4, 5], [1, 1, 1]]
    assert numbers.tolist() == [-1, 7]
    assert numbers.ctypes.data % 64 == 0
    table[0, 0] = 9  # of this process alone: the next array of the file is as it was
    assert (table[0, 0], numbers[0]) == (9, -1)


def test_empty_arrays(tmp_path: Path) -> None:
    file = ScratchFile(tmp_path)
    assert file.put([], (0, 3), np.float32).shape == (0, 3)
    assert file.put([np.zeros((2, 0))], (2, 0), np.float64).shape == (2, 0)
    assert file.put([np.array(5)], (), np.int64) == 5


def test_arrays_take_no_memory(tmp_path: Path) -> None:
    before, block = held(), np.ones((1 << 12, 256), np.float32)
    table = ScratchFile(tmp_path).put((block for _ in range(32)), (1 << 17, 256), np.float32)
    assert table.sum() == table.size  # all pages are read
    assert held() - before < table.nbytes // 4


def test_blocks_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"an array of shape \(3,\) have 16 bytes"):
        ScratchFile(tmp_path).put([np.ones(2)], (3,), np.float64)


def test_a_folder_that_is_missing_and_a_full_disk_are_named(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="missing"):
        ScratchFile(tmp_path / "missing")

    def full() -> list[np.ndarray]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WriteError, match="the disk is full"):
        ScratchFile(tmp_path).put((block for _ in range(1) for block in full()), (1,), np.float64)
