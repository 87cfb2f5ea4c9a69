"""Open files: unpacked by their content, and forms that nothing here reads named for what they are."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from xmcbench import limits
from xmcbench.errors import DataError, cannot_read
from xmcbench.inputs import open_file, reason

FIRST = 512  # bytes that show what a file is
BLOCK = 1 << 16  # bytes that are unpacked at once
ZSTD_BLOCK = 1 << 10  # bytes that are given to zstd at once, which unpacks up to 32,768 times as many
PACKINGS = {b"\x1f\x8b\x08": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
OPENERS = {"bzip2": bz2.BZ2File, "xz": lzma.LZMAFile}
ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zstd": "zstd"}
FOREIGN = {  # first bytes, enough of them that no text begins so by chance → what the file is
    b"\x89HDF\r\n": "an HDF5 file",
    b"MATLAB 5.0 MAT-file": "a MATLAB file",
    b"MATLAB 7.3 MAT-file": "a MATLAB file",
    b"PAR1\x15": "a parquet file",
    b"ARROW1": "an Arrow or Feather file",
    b"\xff\xff\xff\xff": "an Arrow stream",
    b"FEA1\x00": "a Feather file",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3": "an SQLite database",
    b"RDX2\n": "an R file",
    b"RDX3\n": "an R file",
    b"X\n\x00\x00\x00": "an R file",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"%PDF-": "a PDF document",
    b"{\\rtf": "an RTF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"\x1f\x8b\x08": "a file compressed by gzip, and once more",
    b"BZh91AY&SY": "a file compressed by bzip2, and once more",
    b"\xfd7zXZ\x00": "a file compressed by xz, and once more",
    b"\x28\xb5\x2f\xfd": "a file compressed by zstd, and once more",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!\x1a": "a RAR archive",
    b"\x04\x22\x4d\x18": "an lz4 file",
    b"\x7fELF": "a program",
    b"ccopy_reg\n": "a Python pickle",
    b"cnumpy.": "a Python pickle",
    b"(dp0\n": "a Python pickle",
    b"(lp0\n": "a Python pickle",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself",
    b"%%MatrixMarket": "a Matrix Market file",
}
ZIPPED = {  # beginning of the first name in a zip archive → what the file is
    b"[Content_Types].xml": "an Excel or Word file",
    b"_rels/": "an Excel or Word file",
    b"xl/": "an Excel file",
    b"docProps/": "an Excel or Word file",
    b"mimetype": "an OpenDocument or EPUB file",
}


class DataWarning(UserWarning):
    """A defect of a file that was corrected while reading; the text gives the kind, place and count."""


@contextmanager
def opened(path: Path, pipe: io.BufferedReader | None = None) -> Iterator[io.BufferedReader]:
    """Open a file for reading, unpacked if its content is gzip, bzip2, xz or zstd, whatever its name.

    `pipe`: an open pipe or file to read in its place, which is closed at the end; `path` then only names it in errors.

    Raises
    ------
    DataError : the file is missing, no regular file, or damaged: truncated, or named as compressed although its content
        is neither compressed nor text; or it unpacks to more than `limits.most_unpacked`, while it is read.
    """
    packing = ""
    try:
        with pipe or open_file(path) as raw:
            first = raw.peek(FIRST)[:FIRST]
            packing = packing_of(first)
            if not packing and (promised := ENDINGS.get(path.suffix.lower())) and (b"\0" in first or not first):
                raise DataError(f"{path}: not a {promised} file, as its name says, and no text", "Get the file again.")
            with unpacked(path, raw, packing) as file:
                yield file
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        if not packing:  # the error is of the code that reads
            raise
        raise _not_whole(path, packing, error) from error
    except MemoryError as error:
        raise DataError(f"{path}: {reason(error)}", "Read it on a machine with more memory.") from error
    except OSError as error:
        if packing and error.errno is None:  # gzip and bz2 report damage so
            raise _not_whole(path, packing, error) from error
        raise cannot_read(path, error) from error


def packing_of(first: bytes) -> str:
    """The compression of a file that begins with `first`, or ""."""
    if first.startswith(b"BZh") and first[4:10] not in (b"1AY&SY", b"\x17rE8P\x90"):  # "BZh" may begin a text
        return ""
    return next((name for start, name in PACKINGS.items() if first.startswith(start)), "")


def unpacked(path: Path, raw: io.BufferedReader, packing: str) -> io.BufferedReader:
    """`raw`, unpacked while it is read, within the limit; itself without a packing."""
    if not packing:
        return raw
    size = os.fstat(raw.fileno()).st_size
    most = limits.most_unpacked(size) if size else limits.UNPACKED  # a pipe has no size
    if packing == "zstd":  # at once, since its stream reader does not notice a cut end
        return io.BufferedReader(_Bounded(path, io.BytesIO(_unpack_zstd(path, raw, most)), most))
    stream: Any = gzip.GzipFile(fileobj=raw) if packing == "gzip" else OPENERS[packing](raw)
    return io.BufferedReader(_Bounded(path, stream, most), BLOCK)


class _Bounded(io.RawIOBase):
    """An unpacked stream; DataError beyond `most` bytes, since a small file may unpack without end."""

    def __init__(self, path: Path, stream: IO[bytes], most: int) -> None:
        self.path, self.stream, self.most = path, stream, most

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.stream.read(len(buffer))
        buffer[: len(piece)] = piece
        if self.stream.tell() > self.most:
            raise _too_large(self.path, self.most)
        return len(piece)

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset > self.most:
            raise _too_large(self.path, self.most)
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def fileno(self) -> int:
        """The descriptor of the packed file; its position shows how much of the file is read."""
        return self.stream.fileno()


def _too_large(path: Path, most: int) -> DataError:
    hint = "If its content is right, unpack it yourself, and give the unpacked file."
    return DataError(f"{path}: unpacks to more than {most:,} bytes, which its size does not make likely", hint)


def _unpack_zstd(path: Path, raw: io.BufferedReader, most: int) -> bytes:
    """The content of all frames; EOFError if the last one is cut off, zlib.error if one is damaged."""
    import zstandard

    content, n_bytes, rest = [], 0, b""
    frame = None
    while data := rest or raw.read(ZSTD_BLOCK):
        frame = frame or zstandard.ZstdDecompressor().decompressobj()
        try:
            content.append(frame.decompress(data))
        except zstandard.ZstdError as error:
            raise zlib.error(str(error)) from error
        n_bytes += len(content[-1])
        if n_bytes > most:
            raise _too_large(path, most)
        rest = b""
        if frame.eof:
            rest, frame = frame.unused_data, None
    if frame is not None:
        raise EOFError("the file ends within a frame")
    return b"".join(content)


def _not_whole(path: Path, packing: str, error: Exception) -> DataError:
    return DataError(f"{path}: not a whole {packing} file ({error})", "Get the file again.")


def unsupported(first_bytes: bytes) -> str | None:
    """What a file is, as in "a Python pickle", if no reader here reads it; None for texts and numpy's .npy and .npz.

    `first_bytes` : the first `FIRST` bytes of the content, unpacked as by `opened`. An npz is a zip of .npy files.
    """
    if first_bytes.startswith(b"PK\x03\x04"):
        name_length = int.from_bytes(first_bytes[26:28], "little")
        name = first_bytes[30 : 30 + name_length]
        is_cut_off = len(first_bytes) < 30 + name_length
        if name.endswith(b".npy") or is_cut_off:
            return None
        if name.endswith(b"/data.pkl"):
            return "a PyTorch file, which is a zip archive with a Python pickle"
        known = next((what for start, what in ZIPPED.items() if name.startswith(start)), None)
        return f"{known}, which is a zip archive" if known else "a zip archive, and not numpy's npz"
    if len(first_bytes) > 1 and first_bytes[0] == 0x80 and 2 <= first_bytes[1] <= 5:
        return "a Python pickle"
    if first_bytes[257:262] == b"ustar":
        return "a tar archive"
    return next((what for start, what in FOREIGN.items() if first_bytes.startswith(start)), None)


def load_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if it is compressed. It is not mapped: who truncates a mapped file kills us."""
    with opened(path) as file:
        return file.read()


def is_packed(file: io.BufferedReader) -> bool:
    """Whether a file of `opened` is unpacked while it is read."""
    return isinstance(file.raw, _Bounded)
