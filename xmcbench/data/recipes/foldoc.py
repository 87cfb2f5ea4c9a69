"""foldoc: a definition of a computing term, without its cross-references → the definitions that it refers to.

Documents: definitions with at least one label, including headwords. Every {cross-reference} is removed, so that the
answer can't be copied from it (the same words may occur elsewhere in the text). Definitions with the same words are
merged into one document (`hashed.merged`); definitions with more than 100 labels are lists ("TLAs" has 1,279) and are
dropped. Labels: the other definitions that a definition refers to by headword, ignoring case. References to unknown
headwords are dropped, and so are labels of more than 10 % of the documents (the Jargon File, which is named as a
source). Labels are numbered in the order of the file, which is alphabetical. Label text = headwords. Test: one key in
five (`hashed.in_test`).

Formats: dictd's index (headword, offset and size in base 64, separated by tabs) and gzip-compatible dictionary.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from xmcbench.data.documents import read_lines
from xmcbench.data.recipes import Files, Options
from xmcbench.data.recipes.hashed import hashed_splits, merged, select_labels
from xmcbench.data.spec import Parsed
from xmcbench.data.text import bow_words
from xmcbench.errors import DataError

MAX_SHARE = 0.1  # largest share of the documents for a label
MAX_LABELS = 100  # labels per document
_DIGITS = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
_REFERENCE = re.compile(r"\{([^{}]*)\}")
_HEADWORD = re.compile(r".*\(([^()]*)\)", re.DOTALL)  # {words of the text (headword)}


def foldoc(files: Files, view: str, options: Options) -> Parsed:
    """Roles `index`, `dict`. View `bow`: words, sublinear tf-idf; `text`: only the definitions."""
    definitions, offset_of = read_dictionary(files["index"], files["dict"])
    pairs = [
        (" ".join(_REFERENCE.sub(" ", text).split()), references(text, offset_of) - {offset})
        for offset, text in definitions.items()
    ]
    texts, labels_by_key = merged(pairs)
    labels_of = select_labels(
        {key: labels for key, labels in labels_by_key.items() if 0 < len(labels) <= MAX_LABELS}, most=MAX_SHARE
    )

    def label_texts(labels: list[int]) -> list[str]:
        return [headwords(definitions[label]) for label in labels]

    return hashed_splits(texts, labels_of, label_texts, bow_words if view == "bow" else None)


def read_dictionary(index: Path, dictionary: Path) -> tuple[dict[int, str], dict[str, int]]:
    """(offset → definition in the order of the file, lower-cased headword → offset of its first definition)."""
    try:
        content = gzip.decompress(dictionary.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{dictionary}: damaged ({error})", "Install the package dict-foldoc again.") from error
    spans: dict[int, int] = {}
    offset_of: dict[str, int] = {}
    for number, line in enumerate(read_lines(index), 1):
        try:
            headword, offset, size = line.split("\t")
            start = _number(offset)
            spans[start] = _number(size)
        except (ValueError, KeyError) as error:
            raise DataError(
                f"{index}, line {number}: not an entry", "Install the package dict-foldoc again."
            ) from error
        if not headword.startswith("00-database"):  # metadata entries of dictd
            offset_of[headword.lower()] = min(start, offset_of.get(headword.lower(), start))
    if any(start + size > len(content) for start, size in spans.items()):
        raise DataError(f"{dictionary}: shorter than its index says", "Install the package dict-foldoc again.")
    offsets = sorted(set(offset_of.values()))
    return {start: content[start : start + spans[start]].decode("utf-8", "replace") for start in offsets}, offset_of


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = 64 * value + _DIGITS[digit]
    return value


def references(text: str, offset_of: dict[str, int]) -> set[int]:
    """The offsets of the definitions that a text refers to by {headword} or {words (headword)}."""
    names = (_HEADWORD.sub(r"\1", " ".join(inside.split())).lower() for inside in _REFERENCE.findall(text))
    return {offset_of[name] for name in names if name in offset_of}


def headwords(text: str) -> str:
    """The lines before the first empty one, joined by ", "."""
    return ", ".join(line.strip() for line in text.strip().partition("\n\n")[0].splitlines())
