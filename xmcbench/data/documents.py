"""Readers of text documents: lines, JSON lines of the LF data sets, and EURLEX57K's folder of JSON files."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcbench.data.reading import cannot_read
from xmcbench.errors import DataError

SPLITS = ("train", "dev", "test")


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its newline) of a utf-8 text, unpacked if the name ends in .gz.

    Only newlines end lines, not the other Unicode line separators.

    Raises
    ------
    DataError : the file is missing, damaged, or not utf-8 (with the line number).
    """
    path = Path(path)
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                yield number, text.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        position = f"byte 0x{error.object[error.start]:02x} at column {error.start + 1}"
        raise DataError(f"{path}, line {number}: {position} is not utf-8", "Convert the file to utf-8.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}, after line {number}: not a whole gzip file ({error})", "Get it again.") from error
    except OSError as error:
        raise cannot_read(path, error) from error


def read_lines(path: Path, expected: int | None = None) -> list[str]:
    """The lines of a text file; DataError if their number is not `expected`."""
    lines = [line for _, line in lines_of(path)]
    if expected is not None and len(lines) != expected:
        raise DataError(f"{path}: {len(lines)} lines, expected {expected}", "One line per id, in the order of ids.")
    return lines


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a file with one JSON object per line; blank lines are skipped."""
    for number, line in lines_of(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not JSON ({error})", "One JSON object per line.") from error
        if not isinstance(value, dict):
            raise DataError(f"{path}, line {number}: a JSON {type(value).__name__}, not an object")
        yield number, value


@dataclass(frozen=True)
class LfItem:
    """A document or a label of an LF data set; `labels` is empty for a label."""

    title: str
    content: str
    labels: list[int]

    def text(self, fields: Sequence[str] = ("title", "content")) -> str:
        """The named fields that are not empty, joined with a space."""
        return " ".join(filter(None, (getattr(self, name) for name in fields)))


def read_lf_json(path: Path, n_labels: int | None = None) -> Iterator[LfItem]:
    """The rows of trn.json.gz, tst.json.gz or lbl.json.gz: objects with uid, title, content, target_ind.

    Raises
    ------
    DataError : with the line number: not JSON, a field of the wrong type, a label id outside 0 to n_labels - 1.
    """
    for number, row in json_lines(path):
        where = f"{path}, line {number}"
        fields = {name: row.get(name) or "" for name in ("title", "content")}
        for name, value in fields.items():
            if not isinstance(value, str):
                raise DataError(f"{where}: {name} is a {type(value).__name__}, not a string")
        labels = row.get("target_ind", [])
        if not isinstance(labels, list) or not all(type(label) is int for label in labels):
            raise DataError(f"{where}: target_ind must be a list of whole numbers")
        outside = [label for label in labels if label < 0 or (n_labels is not None and label >= n_labels)]
        if outside:
            limit = "negative" if n_labels is None else f"outside 0 to {n_labels - 1}"
            raise DataError(f"{where}: target_ind names label {outside[0]}, which is {limit}")
        yield LfItem(fields["title"], fields["content"], labels)


@dataclass(frozen=True)
class EurlexDocument:
    """A law of EURLEX57K; `concepts` are EUROVOC ids, `main_body` is its parts joined by newlines."""

    celex: str
    title: str
    header: str
    recitals: str
    main_body: str
    concepts: tuple[str, ...]

    @property
    def text(self) -> str:
        """Title, header, recitals and main body, joined by newlines; without attachments."""
        return "\n".join((self.title, self.header, self.recitals, self.main_body))


def eurlex_document(value: Any, where: str) -> EurlexDocument:
    """The document in a parsed JSON value; `where` names the file in errors."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: a JSON {type(value).__name__}, not an object")
    body, concepts = value.get("main_body"), value.get("concepts")
    texts = [value.get(name) for name in ("celex_id", "title", "header", "recitals")]
    string_lists = (body, concepts)
    types_ok = all(isinstance(x, str) for x in texts) and all(
        isinstance(x, list) and all(isinstance(item, str) for item in x) for x in string_lists
    )
    if not types_ok or body is None or concepts is None:
        raise DataError(
            f"{where}: not a document of EURLEX57K",
            "It has strings celex_id, title, header, recitals and lists of strings main_body, concepts.",
        )
    celex, title, header, recitals = map(str, texts)
    return EurlexDocument(celex, title, header, recitals, "\n".join(body), tuple(concepts))


def read_eurlex57k(path: Path) -> dict[str, list[EurlexDocument]]:
    """Documents of train, dev and test, each in CELEX order, from `dataset.tar.xz`, `datasets.zip` or their folder.

    Members are `…/train/CELEX.json` and so on; other members are skipped, and nothing is unpacked to disk.

    Raises
    ------
    DataError : damaged archive, a member that is not a document, a split without documents, a duplicate CELEX number.
    """
    by_split: dict[str, dict[str, EurlexDocument]] = {name: {} for name in SPLITS}
    for member, content in _members(Path(path)):
        where = f"{path}, {member}"
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not JSON ({error})", "Get the archive again.") from error
        document = eurlex_document(value, where)
        by_celex = by_split[member.split("/")[-2]]
        if document.celex in by_celex:
            raise DataError(f"{where}: {document.celex} occurs twice in its split")
        by_celex[document.celex] = document
    missing = [name for name, documents in by_split.items() if not documents]
    if missing:
        raise DataError(f"{path}: no documents under {missing[0]}/", "It holds dataset/train, dev and test/CELEX.json.")
    return {name: [documents[celex] for celex in sorted(documents)] for name, documents in by_split.items()}


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            member = file.relative_to(path).as_posix()
            if _is_document(member):
                yield member, file.read_bytes()
        return
    from xmcbench.data.archive import members

    yield from members(path, _is_document)


def _is_document(member: str) -> bool:
    parts = member.split("/")
    return len(parts) >= 2 and parts[-2] in SPLITS and member.endswith(".json") and parts[0] != "__MACOSX"
