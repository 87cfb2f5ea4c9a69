"""Arrays that grow, without a second copy of what is there: in memory, or in files where they are large."""

from __future__ import annotations

import mmap
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from xmcbench.errors import cannot_write
from xmcbench.files import TEMPORARY

Array = NDArray[Any]
ROOM = 1 << 16  # bytes that an array has room for at first; more than most need
IN_MEMORY = 1 << 27  # bytes of a growing array above which it is in a file


class Growing:
    """An array that grows at its end, in place: Linux moves its pages, not their bytes.

    There is room for a quarter more than what was appended. It takes no memory, since its pages are not yet written.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype, self._used, self._pages = np.dtype(dtype), 0, _pages(ROOM)

    def append(self, part: Array) -> None:
        new = np.ascontiguousarray(part, self.dtype)
        end = self._used + new.nbytes
        if end > len(self._pages):
            self._make_room(end + end // 4)
        self._pages[self._used : end] = new.data.cast("B")
        self._used = end

    def _make_room(self, size: int) -> None:
        try:
            self._pages.resize(size)
        except SystemError:  # macOS can't move pages
            larger = _pages(size)
            with memoryview(self._pages) as whole, whole[: self._used] as written:
                larger[: self._used] = written
            self._pages = larger

    @property
    def array(self) -> Array:
        """What was appended. While anything refers to it, the array can't grow."""
        return np.frombuffer(self._pages, self.dtype, self._used // self.dtype.itemsize)


def _pages(size: int) -> mmap.mmap:
    """Memory of this process alone."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class Spilling:
    """An array that grows in memory up to `limit` bytes, such as `IN_MEMORY`, and then in a file in `folder`.

    The file has no name, so that the system removes it as soon as no array needs it, however the process ends.
    """

    def __init__(self, dtype: DTypeLike, limit: int, folder: Path) -> None:
        self.dtype, self.limit, self.folder = dtype, limit, folder
        self._memory = Growing(dtype)
        self._file: IO[bytes] | None = None

    def append(self, part: Array) -> None:
        """Add `part` (m,), of the array's dtype. WriteError names the folder if it is not writable or the disk full."""
        if self._file is None and self._memory.array.nbytes + part.nbytes <= self.limit:
            self._memory.append(part)
            return
        try:
            if self._file is None:
                self._file = TemporaryFile(prefix=TEMPORARY, dir=self.folder)  # noqa: SIM115  closed by `whole`
                self._file.write(self._memory.array.data)
                self._memory = Growing(self.dtype)  # frees memory
            self._file.write(part.data)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def whole(self, access: int = mmap.ACCESS_READ) -> Array:
        """The array, mapped if it is in a file; nothing may be added afterwards. WriteError as `append`.

        access : `mmap.ACCESS_COPY` for a mapping whose changes this process alone sees, as torch expects.
        """
        if self._file is None:
            return self._memory.array
        try:
            with self._file as file:  # the mapping keeps what the file has
                file.flush()
                return np.frombuffer(mmap.mmap(file.fileno(), 0, access=access), self.dtype)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
