"""Open npz and npy files of plain arrays; what their headers claim is compared with the file before numpy reads it.

Every fault raises an exception of numpy, zipfile or Python; callers turn all of them into a DataError with the file.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from xmcbench import limits
from xmcbench.errors import DataError, XmcError
from xmcbench.inputs import open_file, reason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALIGNED = 64  # bytes; a stored array's numbers begin at a multiple, so that mapped arrays are aligned
PADDING = 0xD935  # id of the extra field with zeros before a member, as in Android's packages
HEADER, ZIP64 = 30, 20  # bytes of a member's header before its name, and of the field with its 64-bit sizes
MAPPED = 1 << 16  # bytes of a member from which it is mapped; smaller ones are read
TAIL = 66_000  # bytes at the end of a zip archive that hold its last header
LARGE = 1 << 26  # bytes of arrays from which speed matters more than a few percent of the file
FAST = 1  # level of compression of large arrays: a third of the default level's time, and 1 % more bytes of predictions
ROOM = 1 << 12  # bytes of a member that is nearly empty


@contextmanager
def opened_npz(file: IO[bytes]) -> Iterator[Any]:
    """numpy's view of an npz: `files` has the names, `view[name]` reads an array.

    ValueError, or an error of zipfile, if it is damaged, holds anything but plain arrays, names an array twice, or
    claims more bytes than deflate can pack into it; MemoryError if all arrays need more memory than is free.
    """
    import numpy as np

    with open_zip(file) as archive:
        infos = _checked_members(file, archive)
        limits.check_memory(sum(info.file_size for info in infos))
    file.seek(0)
    with np.load(file, allow_pickle=False) as view:
        yield view


def _checked_members(file: IO[bytes], archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    length = file.seek(0, os.SEEK_END)
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        raise ValueError("it names an array twice")
    if sum(info.compress_size for info in infos) > length:
        raise ValueError("its members need more bytes than the file has")
    for info in infos:
        _check_member(archive, info)
    return infos


def _check_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    name, size = info.filename, info.file_size
    if not name.endswith(".npy"):
        raise ValueError(f"its member {name!r} is not an array")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"its member {name!r} is compressed in a way that numpy never writes")
    if size > limits.DEFLATE_RATIO * info.compress_size + ROOM:
        raise ValueError(f"its member {name!r} claims {size:,} bytes in {info.compress_size:,} packed ones")
    try:
        with archive.open(info) as member:
            check_npy_header(member, size)
    except Exception as error:
        raise ValueError(f"its member {name!r}: {reason(error)}") from error


def check_npy_header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(shape, type) of the array that begins at the position of `file` and takes `size` bytes, header included.

    ValueError if it is no array of numpy, holds Python objects, or has another size than its header claims.
    """
    from numpy.lib import format as npy

    start = file.tell()
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError("an array of records, or of another version of numpy")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("Object arrays are pickles")
    claimed = file.tell() - start + dtype.itemsize * math.prod(shape)
    if any(n < 0 or n > max(limits.COLUMNS, size) for n in shape) or claimed != size:
        raise ValueError(f"an array of shape {shape} and type {dtype} does not take {size:,} bytes")
    return shape, dtype


def open_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """A zip archive; BadZipFile if its list of members, which zipfile reads at once, is too long or is not whole."""
    length = file.seek(0, os.SEEK_END)
    before = file.seek(max(0, length - TAIL))  # bytes of the file before its tail
    tail = file.read(TAIL)
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        raise zipfile.BadZipFile("File is not a zip file")
    count, size, start = struct.unpack_from("<HLL", tail.ljust(end + 22, b"\0"), end + 10)
    is_zip64 = tail[max(0, end - 20) : max(0, end - 16)] == b"PK\x06\x07"  # then the fields of another header count
    if is_zip64 and (end64 := tail.rfind(b"PK\x06\x06", 0, end)) >= 0:
        count, size, start = struct.unpack_from("<QQQ", tail.ljust(end64 + 56, b"\0"), end64 + 32)
        end = end64
    if size > min(length, limits.ZIP_DIRECTORY):
        raise zipfile.BadZipFile(f"its list of members has {size:,} bytes, at most {limits.ZIP_DIRECTORY:,} are read")
    if start + size != before + end:
        raise zipfile.BadZipFile("its list of members is not where its last header says")
    file.seek(0)
    archive = zipfile.ZipFile(file)
    if (found := len(archive.infolist())) % 0x10000 != count % 0x10000:
        raise zipfile.BadZipFile(f"its list of members has {found} entries and says {count}")
    return archive


def npz_of(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a compressed npz file, as `write_npz` writes it."""
    file = io.BytesIO()
    save_npz(file, "npz", arrays, compressed=True)
    return file.getvalue()


def save_npz(file: IO[bytes], label: str, arrays: Mapping[str, NDArray[Any]], compressed: bool) -> None:
    """Write plain arrays as an npz; TypeError for Python objects, whose message begins with `label`."""
    import numpy as np

    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"{label}: array {name!r} holds Python objects; only numbers and texts can be saved")
    if compressed:
        n_bytes = sum(np.asarray(array).nbytes for array in arrays.values())
        level = FAST if n_bytes > LARGE else None
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        return
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            add_array(archive, name, np.asarray(array))


def add_array(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    """Store a plain array as the member `name`.npy, in pieces of 16 MiB, and so that `member_array` can map it."""
    from numpy.lib import format as npy

    info = zipfile.ZipInfo(f"{name}.npy")
    padding = -(archive.start_dir + HEADER + len(info.filename.encode()) + ZIP64 + 4) % ALIGNED
    info.extra = struct.pack("<HH", PADDING, padding) + bytes(padding)
    with archive.open(info, "w", force_zip64=True) as member:
        npy.write_array(member, array, allow_pickle=False)


def member_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    """A member's array, whose CRC-32 was compared. Large stored arrays are mapped from the file, copy-on-write.

    A mapped array takes no memory until its pages are used, and then processes share them, also after the file was
    closed or replaced. ValueError, or an error of zipfile, if it is damaged or not a plain array.
    """
    import numpy as np
    from numpy.lib import format as npy

    with archive.open(info) as member:
        is_mapped = info.compress_type == zipfile.ZIP_STORED and info.file_size >= MAPPED
        is_mapped = is_mapped and npy.read_magic(member) == (1, 0)
        if is_mapped:
            shape, by_columns, dtype = npy.read_array_header_1_0(member)
            start = _first_byte(archive, info) + member.tell()
            if not (dtype.hasobject or by_columns or start % max(dtype.alignment, 1)):
                if member.tell() + dtype.itemsize * math.prod(shape) != info.file_size:
                    raise ValueError("an array has another length")
                while member.read(1 << 20):  # zipfile compares the CRC-32 at the end of the member
                    pass
                return np.memmap(_file_of(archive), dtype, "c", start, shape).view(np.ndarray)
    with archive.open(info) as member:
        array: NDArray[Any] = npy.read_array(member, allow_pickle=False)
        if member.read(1):
            raise ValueError("an array has another length")
        return array


def _first_byte(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Position of a member's first byte in the file, after its header, name and extra fields."""
    file = _file_of(archive)
    file.seek(info.header_offset)
    name, extra = struct.unpack_from("<HH", file.read(HEADER), HEADER - 4)
    return int(info.header_offset + HEADER + name + extra)


def _file_of(archive: zipfile.ZipFile) -> IO[bytes]:
    assert archive.fp is not None
    return archive.fp


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read an npz file of plain arrays; Python objects are never unpickled.

    DataError if it is missing, damaged, no regular file, or as in `opened_npz`.
    """
    try:
        with open_file(path) as file, opened_npz(file) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except XmcError:
        raise
    except Exception as error:  # numpy and zipfile raise many types for damaged files
        raise DataError(
            f"{path}: not a readable npz file ({reason(error)})", "Write it again, or remove it."
        ) from error


def map_npz(path: Path) -> dict[str, NDArray[Any]]:
    """`read_npz` with large arrays mapped from the file where they are not compressed; see `member_array`."""
    try:
        with open_file(path) as file, open_zip(file) as archive:
            infos = _checked_members(file, archive)
            return {info.filename.removesuffix(".npy"): member_array(archive, info) for info in infos}
    except XmcError:
        raise
    except Exception as error:  # as in `read_npz`
        raise DataError(
            f"{path}: not a readable npz file ({reason(error)})", "Write it again, or remove it."
        ) from error
