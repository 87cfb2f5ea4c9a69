"""ding: a German word or phrase → the words of its English translation.

Documents: the text before the first "|" of a line's German side, without {grammar} and [domains]. Lines with the same
words are merged into one document (`hashed.merged`). The later parts are inflected forms and examples, which would be
near-duplicates of the first. Labels: lower-cased words of at least two letters in the first part of the English side,
without (remarks), that occur in at least two documents and in at most 0.5 % of the documents, which excludes function
words such as "to" and "of"; numbered alphabetically. Label text = the word. Test: one key in five (`hashed.in_test`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xmcbench.data.documents import read_lines
from xmcbench.data.recipes import Files, Options
from xmcbench.data.recipes.hashed import hashed_splits, merged, select_labels
from xmcbench.data.spec import Parsed
from xmcbench.data.text import bow_words_chars
from xmcbench.errors import DataError

MIN_DOCUMENTS, MAX_SHARE = 2, 0.005  # limits for a label: number of documents, share of all documents
_MARKS = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_REMARKS = re.compile(r"\([^)]*\)|<[^>]*>")
_WORD = re.compile(r"[^\W\d_]{2,}")


def ding(files: Files, view: str, options: Options) -> Parsed:
    """Role `de-en`. View `bow`: words and character n-grams, as in icd10cm; `text`: only the German phrases."""
    texts, words_of = merged(read_pairs(files["de-en"]))
    labels_of = select_labels(words_of, least=MIN_DOCUMENTS, most=MAX_SHARE)
    return hashed_splits(texts, labels_of, list, bow_words_chars if view == "bow" else None)


def read_pairs(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (German phrase, English words) of each line: "German | more German :: English | more English"."""
    for number, line in enumerate(read_lines(path), 1):
        if line.startswith("#") or not line:
            continue
        german, separator, english = line.partition(" :: ")
        if not separator:
            raise DataError(f"{path}, line {number}: no ' :: '", "Install the package trans-de-en again.")
        phrase = _MARKS.sub("", german.partition("|")[0])
        translation = _REMARKS.sub("", _MARKS.sub("", english.partition("|")[0]))
        yield " ".join(phrase.split()), _WORD.findall(translation.lower())
