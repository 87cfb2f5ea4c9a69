"""ding: a German word or phrase → the words of its English translation.

Documents: what stands before the first "|" of a line's German side, less {grammar} and [domains]; lines of the same
words are one document (`hashed.merged`). What follows are inflected forms and examples, near-duplicates of the first.
Labels: the lower-cased words of two letters or more of the first part of the English side, less (remarks), that two
documents have at least and 0.5 % at most (more have function words, such as "to" and "of"); numbered alphabetically.
Label text = the word. Test: one key in five (`hashed.in_test`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xmcbench.data.formats import read_lines
from xmcbench.data.recipes import Files, Options, Parsed
from xmcbench.data.recipes.hashed import hashed_splits, merged, select_labels
from xmcbench.data.text import bow_words_chars
from xmcbench.errors import DataError

LEAST, MOST = 2, 0.005  # documents of a label, and the share of all that it may have
_MARKS = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_REMARKS = re.compile(r"\([^)]*\)|<[^>]*>")
_WORD = re.compile(r"[^\W\d_]{2,}")


def ding(files: Files, view: str, options: Options) -> Parsed:
    """Role `de-en`. View `bow`: words and character n-grams, as in icd10cm; `text`: the German phrases alone."""
    texts, words_of = merged(read_pairs(files["de-en"]))
    labels_of = select_labels(words_of, least=LEAST, most=MOST)
    labels = sorted({word for found in labels_of.values() for word in found})
    train, test = hashed_splits(texts, labels_of, labels, bow_words_chars if view == "bow" else None)
    return Parsed(train, test, label_texts=labels)


def read_pairs(path: Path) -> Iterator[tuple[str, list[str]]]:
    """(German phrase, English words) of each line: "German | more German :: English | more English"."""
    for number, line in enumerate(read_lines(path), 1):
        if line.startswith("#") or not line:
            continue
        german, sign, english = line.partition(" :: ")
        if not sign:
            raise DataError(f"{path}, line {number}: no ' :: '", "Install the package trans-de-en again.")
        phrase = _MARKS.sub("", german.partition("|")[0])
        translation = _REMARKS.sub("", _MARKS.sub("", english.partition("|")[0]))
        yield " ".join(phrase.split()), _WORD.findall(translation.lower())
