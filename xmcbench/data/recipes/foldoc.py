"""foldoc: a definition of a computing term, its cross-references cut out → the definitions that it refers to.

Documents: definitions with at least one label, headwords included, less every {cross-reference}, so that the answer
can't be copied from where it stood (the same words may occur elsewhere in the text). Definitions of the same words are
one document (`hashed.merged`); those with more than 100 labels are lists ("TLAs" has 1,279) and left out. Labels: the
other definitions that they refer to by headword, case aside, less those referred to by more than 10 % (the Jargon
File, which is named as a source); a reference that leads nowhere is none.
Numbered in the order of the file, which is alphabetical. Label text = headwords. Test: one key in five
(`hashed.in_test`).

Formats: dictd's index (headword, offset and size in base 64, separated by tabs) and gzip-compatible dictionary.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

from xmcbench.data.formats import read_lines
from xmcbench.data.recipes import Files, Options, Parsed
from xmcbench.data.recipes.hashed import hashed_splits, merged, select_labels
from xmcbench.data.text import bow_words
from xmcbench.errors import DataError

MOST = 0.1  # share of the documents that a label may have
LONGEST = 100  # labels of a document
_DIGITS = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
_REFERENCE = re.compile(r"\{([^{}]*)\}")
_NAMED = re.compile(r".*\(([^()]*)\)", re.DOTALL)  # {words of the text (headword)}


def foldoc(files: Files, view: str, options: Options) -> Parsed:
    """Roles `index`, `dict`. View `bow`: words, sublinear tf-idf; `text`: the definitions alone."""
    definitions, at = read_dictionary(files["index"], files["dict"])
    pairs = [
        (" ".join(_REFERENCE.sub(" ", text).split()), references(text, at) - {offset})
        for offset, text in definitions.items()
    ]
    texts, found = merged(pairs)
    labels_of = select_labels({key: labels for key, labels in found.items() if 0 < len(labels) <= LONGEST}, most=MOST)
    labels = sorted({label for named in labels_of.values() for label in named})
    train, test = hashed_splits(texts, labels_of, labels, bow_words if view == "bow" else None)
    return Parsed(train, test, label_texts=[headwords(definitions[label]) for label in labels])


def read_dictionary(index: Path, dictionary: Path) -> tuple[dict[int, str], dict[str, int]]:
    """(offset → definition in the order of the file, lower-cased headword → offset of its first definition)."""
    try:
        content = gzip.decompress(dictionary.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{dictionary}: damaged ({error})", "Install the package dict-foldoc again.") from error
    spans: dict[int, int] = {}
    at: dict[str, int] = {}
    for number, line in enumerate(read_lines(index), 1):
        try:
            headword, offset, size = line.split("\t")
            start = _number(offset)
            spans[start] = _number(size)
        except (ValueError, KeyError) as error:
            raise DataError(f"{index}, line {number}: no entry", "Install the package dict-foldoc again.") from error
        if not headword.startswith("00-database"):  # dictd's own entries
            at[headword.lower()] = min(start, at.get(headword.lower(), start))
    if any(start + size > len(content) for start, size in spans.items()):
        raise DataError(f"{dictionary}: shorter than its index says", "Install the package dict-foldoc again.")
    named = sorted(set(at.values()))
    return {start: content[start : start + spans[start]].decode("utf-8", "replace") for start in named}, at


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = 64 * value + _DIGITS[digit]
    return value


def references(text: str, at: dict[str, int]) -> set[int]:
    """The offsets that the {headword} and {words (headword)} of a definition lead to."""
    names = (_NAMED.sub(r"\1", " ".join(inside.split())).lower() for inside in _REFERENCE.findall(text))
    return {at[name] for name in names if name in at}


def headwords(text: str) -> str:
    """The lines before the first empty one, joined by ", "."""
    return ", ".join(line.strip() for line in text.strip().partition("\n\n")[0].splitlines())
