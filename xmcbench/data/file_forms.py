"""What form a user's file has: its kind by its name, forms that are not read by their first bytes, lines of text."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from xmcbench.data.documents import decoded_lines, iconv, lines_of
from xmcbench.data.reading import ENDINGS, FIRST, opened, unsupported
from xmcbench.errors import DataError
from xmcbench.inputs import json_value, open_file
from xmcbench.npz_files import open_zip

KINDS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
HEAD = 1 << 16  # bytes that are looked at to recognise a form

TABLE = "Save the table as .csv or .jsonl, and give that file."
LINES = "Write one text per line into a utf-8 file, and give that file."
MATRIX = "Matrices are features or labels: give the file as npz or XMC text with --features or --labels."
UNPACK = "Unpack the archive, and give its files one by one."
FOLDER = "Give one of its files, or --from for a folder of `data export`. Documents are rows of one table or lines."
PAGE = "Was an error page downloaded? Extract its texts into a file."
HINTS = {  # a part of a form's name in `reading.unsupported` → what to do; TABLE for all others
    "parquet": f"Texts and labels are read from files that are named .parquet. {MATRIX}",
    "MATLAB": MATRIX,
    "pickle": f"No pickle is loaded, since loading can run any program. {TABLE}",
    "tar archive": UNPACK,
    "7z": UNPACK,
    "RAR": UNPACK,
    "PDF": LINES,
    "RTF": LINES,
    "image": LINES,
    "compressed": "Unpack it once.",
    "Git LFS": "Run git lfs pull.",
}
TEXT_FORMS = (  # the beginning of a text, what the file is, what to do
    (rb"\s*<(?i:!doctype html|html|\?xml)[\s>]", "an HTML or XML page, not text", PAGE),
    (rb"%%(?i:MatrixMarket)", "a MatrixMarket file (.mtx)", f"{MATRIX} scipy.io.mmread reads it."),
    (rb"(?:%[^\n]*\n|\s)*@(?i:relation)\s", "an ARFF file (Weka, MULAN)", f"{TABLE} {MATRIX}"),
    (
        rb"(?:--[^\n]*\n|/\*.*?\*/;?|PRAGMA [^\n]*\n|BEGIN TRANSACTION;|DROP TABLE [^\n]*\n|SET [^\n]*;\n|\s)*"
        rb"(?:CREATE TABLE|INSERT INTO) \S+ ?(?:\(|VALUES)",
        "an SQL dump",
        "Export the table as .csv, and give that file.",
    ),
)
ZIPPED = {  # a member's name begins with → what the archive is, and what to do
    "xl/": ("an Excel workbook (.xlsx)", TABLE),
    "word/": ("a Word document (.docx)", LINES),
    "ppt/": ("a PowerPoint file (.pptx)", LINES),
    "content.xml": ("an OpenDocument file (.ods, .odt)", TABLE),
}
UNICODE = (  # byte order marks; UTF-16 comes after UTF-32, whose mark begins in the same way
    (b"\xff\xfe\x00\x00", "UTF-32LE"),
    (b"\x00\x00\xfe\xff", "UTF-32BE"),
    (b"\xff\xfe", "UTF-16LE"),
    (b"\xfe\xff", "UTF-16BE"),
)


def kind_of(path: Path) -> str:
    """ "json", "csv", "tsv", "parquet" or "lines", by the file name without the ending of a compression."""
    name = Path(path.name.lower())
    return KINDS.get(Path(name.stem).suffix if name.suffix in ENDINGS else name.suffix, "lines")


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its newline) of a user's utf-8 text, unpacked if it is compressed.

    DataError, with what the file is, if it is missing, empty, a folder, or not utf-8 text.
    """
    check_text(path)
    yield from _checked(path, lines_of(path))


def pipe_lines(path: Path, file: BufferedReader) -> Iterator[tuple[int, str]]:
    """As `text_lines`, of an open pipe, which is read once; the buffer of `file` has at least `HEAD` bytes."""
    check_head(path, file.peek(HEAD)[:HEAD])
    yield from _checked(path, decoded_lines(path, file))


def _checked(path: Path, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        if "\0" in line:
            column = line.index("\0") + 1
            raise DataError(f"{path}, line {number}, column {column}: a NUL byte", "Text has none: get the file again.")
        if line.startswith("\ufeff"):  # `lines_of` removes that of line 1
            hint = "Were files joined? Remove the character from all lines but the first."
            raise DataError(f"{path}, line {number}, column 1: a byte order mark within the file", hint)
        yield number, line


def check_text(path: Path) -> None:
    """DataError, with what the file is, unless its first bytes may be those of a utf-8 text."""
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file", FOLDER)
    if path.exists() and not path.is_file():  # a pipe is empty when it is opened again
        raise DataError(f"{path} is a pipe or a device", "Files are read several times: write its content into a file.")
    with opened(path) as file:
        head = file.read(HEAD)
    check_head(path, head)


def check_head(path: Path, head: bytes) -> None:
    """As `check_text`, for the first bytes of a file, at most `HEAD`."""
    if not head.removeprefix(b"\xef\xbb\xbf"):
        raise DataError(f"{path}: the file is empty", "Is it the right file?")
    form, hint = _unsupported(path, head)
    if form:
        raise DataError(f"{path} is {form}", hint)
    if b"\r" in head.removesuffix(b"\r") and b"\n" not in head:
        hint = f"Convert the line ends: tr '\\r' '\\n' < {path.name} > converted"
        raise DataError(f"{path}, line 1: lines end with a carriage return alone, as on old Macs", hint)


def _unsupported(path: Path, head: bytes) -> tuple[str, str]:
    """(what the file is, what to do), or empty texts for a text."""
    for first_bytes, encoding in UNICODE:
        if head.startswith(first_bytes):
            return f"{encoding[:6]} text", convert_hint(path, encoding)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if not path.is_file():  # a pipe: its first bytes name one member
            return unsupported(head[:FIRST]) or "a zip archive", TABLE
        return _zip_form(path)
    if head.startswith(b"\x93NUMPY"):
        return "a numpy array (.npy)", MATRIX
    if binary := unsupported(head[:FIRST]):
        return binary, next((hint for part, hint in HINTS.items() if part in binary), TABLE)
    for beginning, form, hint in TEXT_FORMS:
        if re.match(beginning, head.removeprefix(b"\xef\xbb\xbf"), re.DOTALL):
            return form, hint
    for zeros, encoding in ((head[1::2], "UTF-16LE"), (head[::2], "UTF-16BE")):
        if len(zeros) > 1 and zeros.count(0) > 0.7 * len(zeros):
            return f"probably {encoding[:6]} text: every second byte is 0", convert_hint(path, encoding)
    return "", ""


def holds_arrays(path: Path) -> bool:
    """Whether a file is npz or npy, or is named so: then the reader of matrices says what is wrong with it."""
    if path.suffix.lower() in (".npz", ".npy") or not path.is_file():
        return path.suffix.lower() in (".npz", ".npy")
    with opened(path) as file:
        if file.read(6) == b"\x93NUMPY":
            return True
    members = _members(path)
    return bool(members) and all(name.endswith(".npy") for name in members)


def check_arrays_or_text(path: Path) -> None:
    """DataError, with what the file is, unless it holds arrays or its first bytes may be those of a utf-8 text."""
    if not holds_arrays(path):
        check_text(path)


def _members(path: Path) -> list[str]:
    """The names in a zip archive; none if it is damaged, compressed again, or not a zip archive."""
    try:
        with open_file(path) as file, open_zip(file) as archive:
            return archive.namelist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):  # zipfile raises the last two for old forms
        return []


def _zip_form(path: Path) -> tuple[str, str]:
    names = _members(path)
    for first, form in ZIPPED.items():
        if any(name.startswith(first) for name in names):
            return form
    if holds_arrays(path):
        return "an npz file, which holds arrays", MATRIX
    if not names:
        return "a damaged zip archive (.xlsx, .docx and .npz are zip archives too)", "Get the file again."
    return "a zip archive", UNPACK


def convert_hint(path: Path, encoding: str) -> str:
    return f"Convert it: {iconv(path, encoding)}, or save it as UTF-8 in the editor."


def check_plain(path: Path, first: str) -> None:
    """DataError if the first line of a file of plain lines is a JSON object: its name would make its text JSON code."""
    if first.startswith("{"):
        try:
            json_value(first, "")
        except DataError:
            return
        raise DataError(f"{path}, line 1: a JSON object in a file of plain lines", "Name the file .jsonl.")
