"""Single .npy files of cached folders: written by parts, and opened as read-only arrays after a look at their bytes."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError
from xmcbench.files import Stamp, sha256_of, stamp_of
from xmcbench.inputs import open_file

Array = NDArray[Any]
SMALL = 1 << 16  # bytes; shorter files are read into memory, which is cheaper than a mapping
LOST = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EIO)


class File(msgspec.Struct):
    """Length in bytes and sha256 of a file."""

    size: int
    sha256: str


def save(path: Path, parts: Iterable[Array]) -> File:
    """`np.save` from parts along the first axis, at least one; OSError for a full disk (`ndarray.tofile` hides it)."""
    remaining_parts = iter(parts)
    first = np.ascontiguousarray(next(remaining_parts))
    header = np.lib.format.header_data_from_array_1_0(first)
    rows = 0
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in chain([first], remaining_parts):
            part = np.ascontiguousarray(part, first.dtype)
            file.write(part.reshape(-1).view(np.uint8).data)
            rows += len(part)
        if rows != len(first):
            file.seek(0)  # numpy pads headers, so that a longer first axis fits in place
            np.lib.format.write_array_header_1_0(file, {**header, "shape": (rows, *first.shape[1:])})
            file.seek(0, os.SEEK_END)
        flush(file)
        return File(file.tell(), sha256_of(path))


def flush(file: IO[bytes]) -> None:
    """Wait until what was written is on disk."""
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading.

    Raises
    ------
    OSError, ValueError : it is lost, or something else, such as a pipe, which would block.
    DataError : it can't be read for another reason, which is no damage.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a file")
        with open_file(path) as file:
            yield file
    except OSError as error:
        if error.errno not in LOST:
            hint = "Make it readable, or remove its folder: it is a cache, which is then made again."
            raise DataError(f"{path}: can't read ({error.strerror or error})", hint) from error
        raise


def load(path: Path, expected: File, known: Stamp | None) -> tuple[Array, Stamp]:
    """A read-only array and its file's stamp; the file is hashed unless it has the `known` stamp.

    The array is made of the open file that was hashed, not of what has its name later. ValueError names a damaged file.
    """
    try:
        with opened(path) as file:
            stamp = stamp_of(os.fstat(file.fileno()))
            if stamp[0] != expected.size:
                raise ValueError(f"{stamp[0]:,} bytes long, {expected.size:,} were written")
            source = io.BytesIO(file.read()) if expected.size < SMALL else file
            if stamp != known and hashlib.file_digest(source, "sha256").hexdigest() != expected.sha256:
                raise ValueError("changed after it was written")
            shape, dtype = _header(source)
            offset = source.tell()
            if math.prod(shape) * dtype.itemsize != expected.size - offset:
                raise ValueError("its header is not that of its data")
            if isinstance(source, io.BytesIO):
                buffer: bytes | mmap.mmap = source.getvalue()
            else:
                buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            # a plain array, since numba is slow with `np.memmap` objects
            return np.ndarray(shape, dtype, buffer, offset), stamp
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name}: {reason(error)}") from error


def _header(source: io.BufferedReader | io.BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of a .npy file as `save` writes it; leaves `source` at the data."""
    try:
        source.seek(0)
        if np.lib.format.read_magic(source) != (1, 0):
            raise ValueError
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(source)
    except Exception as error:  # numpy raises many types for damaged headers
        raise ValueError("not an array") from error
    if fortran_order or dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"an array of another kind ({dtype})")
    return shape, dtype


def reason(error: BaseException) -> str:
    """What an error says about a file, without the file's name."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
