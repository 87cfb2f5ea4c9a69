"""Readers of text documents: lines, JSON lines of the LF data sets, and EURLEX57K's folder of JSON files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from shlex import quote
from typing import TypeVar

import msgspec

from xmcbench import limits
from xmcbench.data.reading import ENDINGS, FIRST, opened, packing_of
from xmcbench.errors import DataError, cannot_read, counted
from xmcbench.inputs import read_file, typed_json

T = TypeVar("T")
SPLITS = ("train", "dev", "test")


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its newline) of a utf-8 text, unpacked if the name ends in .gz.

    Only newlines end lines, not the other Unicode line separators. DataError if the file is missing, damaged, or not
    utf-8 (with the line number), or a line is longer than `limits.WHOLE_TEXT`.
    """
    with opened(path) as file:
        yield from decoded_lines(path, file)


def decoded_lines(path: Path, file: BufferedReader) -> Iterator[tuple[int, str]]:
    """The lines of an open file, read once; otherwise as `lines_of`."""
    number = 0
    try:
        for number, line in enumerate(iter(lambda: file.readline(limits.WHOLE_TEXT + 1), b""), 1):
            if len(line) > limits.WHOLE_TEXT:
                raise DataError(f"{path}, line {number}: more than {limits.WHOLE_TEXT:,} bytes", "Divide the line.")
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            yield number, text.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        position = f"byte 0x{error.object[error.start]:02x} at column {error.start + 1}"
        raise DataError(f"{path}, line {number}: {position} is not utf-8", _encoding_hint(path, error)) from error


def iconv(path: Path, encoding: str) -> str:
    """The command that converts a file, unpacked if it is compressed; the ending of the name stays, since it says how
    the file is read."""
    packing = ""
    with suppress(OSError), path.open("rb") as file:
        packing = packing_of(file.read(FIRST))
    plain = path.with_suffix("") if packing and path.suffix.lower() in ENDINGS else path
    converted = quote(f"{plain.stem}-utf8{plain.suffix}")
    convert = f"iconv -f {encoding} -t UTF-8"
    if packing:
        return f"{packing} -dc {quote(str(path))} | {convert} > {converted}"
    return f"{convert} {quote(str(path))} > {converted}"


def _encoding_hint(path: Path, error: UnicodeDecodeError) -> str:
    """How to convert a file; names Windows-1252 only where few bytes of the line are other than ASCII."""
    if error.reason == "unexpected end of data":
        return "The file seems to be cut off within a character: get it again."
    line = error.object
    if re.search(rb"[A-Za-z][\x81\x82\x84\x88]", line):  # letters there, but marks in Windows-1252
        return f"It may be CP850, from MS-DOS. Convert it to utf-8: {iconv(path, 'CP850')}"
    few = sum(byte > 0x7F for byte in line) <= 0.3 * len(line) or len(line) < 4
    if few and not set(line) & {0x81, 0x8D, 0x8F, 0x90, 0x9D, 0x00}:
        return f"It may be Windows-1252 or Latin-1. Convert it to utf-8, for example: {iconv(path, 'WINDOWS-1252')}"
    return "Convert the file to utf-8 from the encoding in which it was written, for example with iconv."


def read_lines(path: Path, expected: int | None = None) -> list[str]:
    """The lines of a text file; DataError if their number is not `expected`."""
    lines = [line for _, line in lines_of(path)]
    if expected is not None and len(lines) != expected:
        found = counted(len(lines), "line")
        raise DataError(f"{path}: {found}, expected {expected}", "One line per id, in the order of ids.")
    return lines


def json_lines(path: Path, form: type[T]) -> Iterator[tuple[int, T]]:
    """Yield (line number, value) of a file with one JSON value of type `form` per line; blank lines are skipped."""
    for number, line in lines_of(path):
        if line.strip():
            yield number, typed_json(line, form, f"{path}, line {number}")


class LfItem(msgspec.Struct, frozen=True):
    """A document or a label of an LF data set; `target_ind` has the ids of a document's labels."""

    title: str | None = None
    content: str | None = None
    target_ind: list[int] = []

    def text(self, fields: Sequence[str] = ("title", "content")) -> str:
        """The named fields that are not empty, joined with a space."""
        return " ".join(filter(None, (getattr(self, name) for name in fields)))


def read_lf_json(path: Path, n_labels: int | None = None) -> Iterator[LfItem]:
    """The rows of trn.json.gz, tst.json.gz or lbl.json.gz.

    DataError, with the line, if one is not JSON, a field has the wrong type, or a label is outside 0 to n_labels - 1.
    """
    for number, item in json_lines(path, LfItem):
        outside = [label for label in item.target_ind if label < 0 or (n_labels is not None and label >= n_labels)]
        if outside:
            limit = "negative" if n_labels is None else f"outside 0 to {n_labels - 1}"
            raise DataError(f"{path}, line {number}: target_ind names label {outside[0]}, which is {limit}")
        yield item


class EurlexDocument(msgspec.Struct, frozen=True):
    """A law of EURLEX57K; `concepts` are EUROVOC ids."""

    celex_id: str
    title: str
    header: str
    recitals: str
    main_body: tuple[str, ...]
    concepts: tuple[str, ...]

    @property
    def text(self) -> str:
        """Title, header, recitals and the parts of the main body, joined by newlines; without attachments."""
        return "\n".join((self.title, self.header, self.recitals, "\n".join(self.main_body)))


def read_eurlex57k(path: Path) -> dict[str, list[EurlexDocument]]:
    """Documents of train, dev and test, each in CELEX order, from `dataset.tar.xz`, `datasets.zip` or their folder.

    Members are `…/train/CELEX.json` and so on; other members are skipped, and nothing is unpacked to disk.

    Raises
    ------
    DataError : damaged archive, a member that is not a document, a split without documents, a duplicate CELEX number.
    """
    by_split: dict[str, dict[str, EurlexDocument]] = {name: {} for name in SPLITS}
    for member, content in _members(path):
        where = f"{path}, {member}"
        document = typed_json(content, EurlexDocument, where, "Not a document of EURLEX57K: get the archive again.")
        by_celex = by_split[member.split("/")[-2]]
        if document.celex_id in by_celex:
            raise DataError(f"{where}: {document.celex_id} occurs twice in its split")
        by_celex[document.celex_id] = document
    missing = [name for name, documents in by_split.items() if not documents]
    if missing:
        raise DataError(f"{path}: no documents under {missing[0]}/", "It holds dataset/train, dev and test/CELEX.json.")
    return {name: [documents[celex] for celex in sorted(documents)] for name, documents in by_split.items()}


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            member = file.relative_to(path).as_posix()
            if _is_document(member):
                yield member, _content(file)
        return
    from xmcbench.data.archive import members

    yield from members(path, _is_document)


def _content(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise cannot_read(path, error) from error


def _is_document(member: str) -> bool:
    parts = member.split("/")
    return len(parts) >= 2 and parts[-2] in SPLITS and member.endswith(".json") and parts[0] != "__MACOSX"
