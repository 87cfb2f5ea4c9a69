"""Read XC repository text into CSR: labels and features in one file, or one matrix per file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.lines import OutOfRange, look
from xmcbench.errors import DataError
from xmcbench.files import cannot_read

if TYPE_CHECKING:
    from xmcbench.data.xmc_text import Rows, Text

WIDEST = 2**31 - 1  # ids are int32
BLOCK = 1 << 24  # bytes per search for line ends
CUT_OFF = (b".", b"e", b"E", b"-", b"+", b",", b":")  # ends of a line whose last number is incomplete
FIRST = 512  # bytes that show what a file is
PACKINGS = {b"\x1f\x8b\x08": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zstd": "zstd"}
FOREIGN = {  # first bytes, enough of them that no text begins so by chance → what the file is
    b"\x89HDF\r\n": "an HDF5 file",
    b"MATLAB 5.0 MAT-file": "a MATLAB file",
    b"MATLAB 7.3 MAT-file": "a MATLAB file",
    b"PAR1\x15": "a Parquet file",
    b"ARROW1": "an Arrow or Feather file",
    b"\xff\xff\xff\xff": "an Arrow stream",
    b"FEA1\x00": "a Feather file",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3": "an SQLite database",
    b"RDX2\n": "an R file",
    b"RDX3\n": "an R file",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file",
    b"%PDF-": "a PDF",
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
IMPLAUSIBLE_WIDTH = 10**8  # a header width above this and above the file's bytes is rejected, nothing is allocated


class DataWarning(UserWarning):
    """A defect of a file that was corrected while reading; the text gives the kind, place and count."""


def read_sparse(path: Path, *, one_based: bool = False, threads: int | None = None) -> sp.csr_matrix:
    """Read the two-file form: a header `rows columns`, then one line of `id:value` pairs per row, possibly empty.

    Returns (rows, columns) float32 CSR with sorted ids; explicit zeros are kept. The file may be compressed. CRLF and a
    byte order mark are accepted. `one_based`: ids in the file start at 1. The matrix does not depend on `threads`
    (None: numba's number of threads). DataError names the file and line of a fault.
    """
    return _read(path, with_labels=False, bases=(0, int(one_based)), threads=threads)[0]


def read_xmc(
    path: Path, *, one_based_features: bool = False, one_based_labels: bool = False, threads: int | None = None
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Read the one-file form: a header `points features labels`, then lines `l1,l2,… f:v f:v …`.

    A line without labels begins with a space or directly with `f:v`; a row may have neither labels nor features. A
    repeated label in a row counts once and causes a `DataWarning`. A repeated feature is an error, since its value
    would be ambiguous.

    Returns ((n, d) float32 features, (n, L) float32 labels of ones). Everything else is as in `read_sparse`.
    """
    bases = (int(one_based_labels), int(one_based_features))
    return _read(path, with_labels=True, bases=bases, threads=threads)


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file for reading, unpacked if its content is gzip, bzip2, xz or zstd, whatever its name.

    Raises
    ------
    DataError : the file is missing, or damaged: truncated, or named as compressed although its content is neither
        compressed nor text.
    """
    packing = ""
    try:
        with open(path, "rb") as raw:
            first = raw.peek(FIRST)[:FIRST]
            packing = _packing(first)
            if not packing and (promised := ENDINGS.get(path.suffix.lower())) and (b"\0" in first or not first):
                raise DataError(f"{path}: not a {promised} file, as its name says, and no text", "Get the file again.")
            with _unpacked(raw, packing) as file:
                yield file
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        if not packing:  # the error is of the code that reads
            raise
        raise _not_whole(path, packing, error) from error
    except OSError as error:
        if packing and error.errno is None:  # gzip and bz2 report damage so
            raise _not_whole(path, packing, error) from error
        raise cannot_read(path, error) from error


def _packing(first: bytes) -> str:
    """The compression of a file that begins with `first`, or ""."""
    if first.startswith(b"BZh") and first[4:10] not in (b"1AY&SY", b"\x17rE8P\x90"):  # "BZh" may begin a text
        return ""
    return next((name for start, name in PACKINGS.items() if first.startswith(start)), "")


def _unpacked(raw: io.BufferedReader, packing: str) -> io.BufferedIOBase:
    """`raw`, unpacked while it is read; zstd is unpacked at once, since its stream reader does not notice a cut end."""
    if packing == "gzip":
        return gzip.GzipFile(fileobj=raw)
    if packing == "bzip2":
        return bz2.BZ2File(raw)
    if packing == "xz":
        return lzma.LZMAFile(raw)
    return io.BytesIO(_unpack_zstd(raw.read())) if packing == "zstd" else raw


def _unpack_zstd(data: bytes) -> bytes:
    """The content of all frames; EOFError if the last one is cut off, zlib.error if one is damaged."""
    import zstandard

    content = []
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            content.append(frame.decompress(data))
        except zstandard.ZstdError as error:
            raise zlib.error(str(error)) from error
        if not frame.eof:
            raise EOFError("the file ends within a frame")
        data = frame.unused_data
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
        if name.endswith(b".npy"):
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


def load_bytes(path: Path) -> NDArray[np.uint8]:
    """A file's bytes: memory-mapped, or unpacked in memory if they are compressed."""
    with opened(path) as file:
        if not isinstance(file, io.BufferedReader) or os.fstat(file.fileno()).st_size == 0:  # can't be mapped
            return np.frombuffer(file.read(), np.uint8)
        return np.asarray(np.memmap(path, np.uint8, mode="r"))  # numba is slow with `np.memmap` objects


def _header(path: Path, buffer: NDArray[np.uint8], names: list[str]) -> tuple[list[int], int]:
    """(numbers of the header, position of line 2); `names` are the names of the numbers."""
    start = 3 if buffer[:3].tobytes() == b"\xef\xbb\xbf" else 0
    line, newline, _ = buffer[start : start + 4096].tobytes().partition(b"\n")
    words = line.split()
    if len(words) != len(names) or not all(w.isdigit() and len(w) <= 18 for w in words):
        excerpt = line[:60].decode("ascii", "backslashreplace").strip()
        forms = {2: "This is the header of the two-file form: read_sparse.", 3: "This is the one-file form: read_xmc."}
        form = forms.get(len(words)) if all(w.isdigit() for w in words) else None
        problem = "the file is empty" if len(buffer) == start else f"found {excerpt!r}"
        raise DataError(
            f"{path}, line 1: expected a header '{' '.join(names)}', {problem}",
            form or f"Put {len(names)} whole numbers on the first line.",
        )
    header = [int(w) for w in words]
    for name, value in zip(names[1:], header[1:], strict=True):
        if value > min(WIDEST, max(IMPLAUSIBLE_WIDTH, len(buffer))):
            hint = f"At most {IMPLAUSIBLE_WIDTH} in a file of {len(buffer)} bytes, and never above {WIDEST}."
            raise DataError(f"{path}, line 1: {value} {name} in the header can't be right", hint)
    return header, start + len(line) + 1 if newline else len(buffer)


def _read(
    path: Path, *, with_labels: bool, bases: tuple[int, int], threads: int | None
) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """(features, labels), the latter without columns if the file has no labels."""
    import numba

    from xmcbench.data import xmc_text

    buffer = load_bytes(path)
    names = ["points", "features", "labels"] if with_labels else ["rows", "columns"]
    header, body = _header(path, buffer, names)
    n_rows, n_features, n_labels = (*header, 0)[:3]
    threads = numba.get_num_threads() if threads is None else max(1, threads)
    with ThreadPoolExecutor(threads) as pool:
        starts = _line_starts(path, buffer, body, n_rows, pool)
        text = xmc_text.Text(buffer, starts, with_labels, n_labels, n_features, *bases)
        label_counts, feature_counts = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
        edges = [n_rows * i // threads for i in range(threads + 1)]  # one range of rows per thread

        def count(first: int, last: int) -> None:
            xmc_text.count_entries(text, first, last, label_counts, feature_counts)

        list(pool.map(count, edges[:-1], edges[1:]))
        label_starts, feature_starts = (np.concatenate([[0], np.cumsum(n)]) for n in (label_counts, feature_counts))
        rows = xmc_text.Rows(
            label_starts,
            np.empty(label_starts[-1], np.int32),
            feature_starts,
            np.empty(feature_starts[-1], np.int32),
            np.empty(feature_starts[-1], np.float32),
            np.empty(n_rows, np.uint8),
        )
        list(pool.map(lambda first, last: xmc_text.parse_rows(text, first, last, rows), edges[:-1], edges[1:]))
    for row in np.flatnonzero(rows.status == xmc_text.LOOK).tolist():
        _parse_in_python(path, text, row, rows)
    features = sp.csr_matrix((rows.values, rows.feature_ids, feature_starts), shape=(n_rows, n_features))
    features.has_sorted_indices = features.has_canonical_format = True
    return features, _label_matrix(path, text, rows)


def _label_matrix(path: Path, text: Text, rows: Rows) -> sp.csr_matrix:
    """(n, L) labels; repeated ones are merged with a warning."""
    from xmcbench.data.xmc_text import TWICE

    ones = np.ones(len(rows.label_ids), np.float32)
    labels = sp.csr_matrix((ones, rows.label_ids, rows.label_starts), shape=(len(rows.status), text.n_labels))
    repeats = np.flatnonzero(rows.status == TWICE)
    if len(repeats):
        labels.has_canonical_format = False
        labels.sum_duplicates()
        labels.data[:] = 1
        problem = f"{len(repeats)} rows name a label twice, first in line {repeats[0] + 2}; it counts once"
        warnings.warn(f"{path}: {problem}", DataWarning, stacklevel=4)
    labels.has_sorted_indices = labels.has_canonical_format = True
    return labels


def _line_starts(
    path: Path, buffer: NDArray[np.uint8], body: int, n_rows: int, pool: ThreadPoolExecutor
) -> NDArray[np.int64]:
    """(rows + 1,) start of each body line; a line ends one byte before the next one starts.

    The lines are counted first, so that a wrong header never determines an allocation.
    """

    def line_ends(start: int) -> NDArray[np.int64]:
        return np.flatnonzero(buffer[start : start + BLOCK] == ord("\n")) + start

    size = len(buffer)
    unfinished = body < size and buffer[-1] != ord("\n")
    ends = [*pool.map(line_ends, range(body, size, BLOCK)), np.full(int(unfinished), size)]
    starts = np.concatenate([[body], *(end + 1 for end in ends)])
    n_lines = len(starts) - 1
    if n_lines < n_rows:
        raise DataError(
            f"{path}, line {n_lines + 1}: the header says {n_rows} rows, the file ends after {n_lines}",
            "The file is truncated, or its header is wrong: get it again.",
        )
    for extra in range(n_rows, n_lines):
        if _line(buffer, starts, extra).strip():
            raise DataError(
                f"{path}, line {extra + 2}: the header says {n_rows} rows, the file holds more ({n_lines})",
                "Correct the first line.",
            )
    if unfinished and n_rows == n_lines and _line(buffer, starts, n_rows - 1).endswith(CUT_OFF):
        raise DataError(f"{path}, line {n_rows + 1}: the last line is cut off", "Get the file again.")
    return starts[: n_rows + 1]


def _line(buffer: NDArray[np.uint8], starts: NDArray[np.int64], row: int) -> bytes:
    return buffer[starts[row] : starts[row + 1]].tobytes().rstrip(b"\n").removesuffix(b"\r")


def _parse_in_python(path: Path, text: Text, row: int, rows: Rows) -> None:
    """Parse a row that the kernels marked `LOOK`, and write it into `rows`; DataError if it is invalid."""
    try:
        labels, features, numbers = look(path, text, row + 2, _line(text.buffer, text.starts, row))
    except OutOfRange as error:
        raise _add_one_based_hint(error, text) from None
    entries = slice(rows.feature_starts[row], rows.feature_starts[row + 1])
    rows.feature_ids[entries], rows.values[entries] = features, np.array(numbers, np.float64).astype(np.float32)
    entries = slice(rows.label_starts[row], rows.label_starts[row + 1])
    n_repeats = entries.stop - entries.start - len(labels)
    rows.label_ids[entries] = labels + labels[-1:] * n_repeats  # `_label_matrix` merges repeats
    rows.status[row] = 2 if n_repeats > 0 else 0


def _add_one_based_hint(error: OutOfRange, text: Text) -> DataError:
    """The same error, with a hint if ids of that kind run from 1 to the width and never include 0."""
    kind = error.kind
    width, base = (text.n_labels, text.label_base) if kind == "label" else (text.n_features, text.feature_base)
    ids: set[int] = set()
    for row in range(len(text.starts) - 1):
        tokens = _line(text.buffer, text.starts, row).replace(b"\t", b" ").split(b" ")
        has_labels = text.with_labels and tokens[0] != b"" and b":" not in tokens[0]
        labels = tokens.pop(0).split(b",") if has_labels else []
        id_texts = labels if kind == "label" else [t.partition(b":")[0] for t in tokens]
        ids.update(int(t) for t in id_texts if t.isdigit() and len(t) < 19)
    if base == 0 and ids and min(ids) >= 1 and max(ids) == width:
        return DataError(
            f"{error.message}. The file looks 1-based: its {kind} ids run from {min(ids)} to {width}, never 0",
            f"Subtract 1 from every {kind} id, or import it with --one-based {kind}s.",
        )
    return DataError(error.message, error.hint)
