"""Limits of what is read from files, checked before memory is allocated.

A file may be damaged or crafted: a few bytes can claim terabytes. The limits are far above real data, of which the
largest sets here have 10 GB of text and 100 million entries. A file beyond a limit is refused by name.
"""

from __future__ import annotations

SETTINGS = 1 << 24  # bytes of a record, a TOML file or another JSON object of facts; the largest here have 0.5 MB
WHOLE_TEXT = 1 << 30  # bytes that are decoded at once: a line, or a JSON array, which pandas writes in one line
MATRIX_LINE = 1 << 26  # bytes of a line of a matrix that Python parses, since a kernel found it irregular
UNPACKED = 1 << 36  # bytes of a compressed file or an archive after unpacking
UNPACKED_RATIO = 200  # unpacked / packed bytes; term lists reach about 5, xz of EU laws 12, an archive bomb 1,000
ALWAYS_UNPACKED = 1 << 26  # bytes that may be unpacked whatever the ratio, such as those of a column of zeros
DEFLATE_RATIO = 1032  # what deflate can reach at most; equal rows of predictions in our own npz files come near it
ZIP_DIRECTORY = 1 << 25  # bytes of a zip archive's list of members, about 100 a member
MEMBERS = 200_000  # of an archive; EURLEX57K has 57,000
TAR_HEADER = 1 << 20  # bytes of a tar header, which holds a path; also those that are read at once
ROWS = 10**7  # rows that a header may claim in a file of fewer bytes, since an empty row needs none
COLUMNS = 10**8  # columns that a header may claim in a file of fewer bytes; each costs memory later
WIDEST = 2**31 - 1  # columns, whatever the size of the file: ids are int32
PARQUET_ROWS = 256  # rows that are decoded at once, each of which may repeat one long text
SUBMITTED_FILES = 5_000  # files of a submission to the leaderboards; a record has 2 to 4
SUBMITTED_FILE = 1 << 26  # bytes of one of them; per-row numbers have 2 to 80 KB, predictions of 6,656 rows 4 MB
SUBMITTED = 1 << 28  # bytes of all of them
SYNTHETIC_ENTRIES = 10**9  # features of all rows of a synthetic data set, about 20 GB with its texts


def most_unpacked(packed: int) -> int:
    """The bytes to which a file of `packed` bytes may unpack."""
    return min(UNPACKED, max(ALWAYS_UNPACKED, packed * UNPACKED_RATIO))


def longest_side(floor: int, n_bytes: int) -> int:
    """The rows (`floor`: ROWS) or columns (COLUMNS) that a matrix in a file of `n_bytes` may have."""
    return min(WIDEST, max(floor, n_bytes))


def check_memory(n_bytes: int) -> None:
    """MemoryError if `n_bytes` are more than the machine has free."""
    if n_bytes < ALWAYS_UNPACKED:
        return
    import psutil

    from xmcbench.memory import free

    most = free() + psutil.swap_memory().free
    if n_bytes > most:
        raise MemoryError(f"it needs {n_bytes:,} bytes of memory, {most:,} are free")
