"""Arrays in a file without a name: they take no memory but where they are used, and nothing of them is left behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xmcbench.errors import cannot_write
from xmcbench.npz_files import ALIGNED


class ScratchFile:
    """Arrays that are written block by block and mapped from the file.

    The file has no name, so that the system removes it with the last array, also if the process is killed.
    """

    def __init__(self, folder: Path) -> None:
        """WriteError if the folder can't be written."""
        self.folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # arrays are added to it
        except OSError as error:
            raise cannot_write(folder, error) from error

    def put(self, blocks: Iterable[NDArray[Any]], shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of this shape, whose rows are those of all `blocks`; mapped copy-on-write.

        Raises
        ------
        ValueError : the blocks have other rows. WriteError : the disk is full.
        """
        array = np.empty(0, dtype)
        n_bytes = array.itemsize * int(np.prod(shape))
        try:
            start = self._file.seek(0, 2)
            start += self._file.write(bytes(-start % ALIGNED))
            for block in blocks:
                self._file.write(np.ascontiguousarray(block, dtype).data.cast("B") if block.size else b"")
            self._file.flush()  # what is written to a mapped file instead would end the process if the disk is full
            if self._file.tell() - start != n_bytes:
                raise ValueError(f"the blocks of an array of shape {shape} have {self._file.tell() - start:,} bytes")
            if n_bytes:
                array = np.memmap(self._file, dtype, "c", start, shape).view(np.ndarray)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        return array if n_bytes else array.reshape(shape)
