"""Data sets made of dictionaries: edict (Japanese-English), ding (German-English), foldoc (of computing).

Documents with the same words are merged (`hashed.merged`). Test: one key in five (`hashed.in_test`). View `text` has
only the texts.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from xmcbench import limits
from xmcbench.data.documents import read_lines
from xmcbench.data.recipes import Files, Options
from xmcbench.data.recipes.hashed import hashed_splits, merged, select_labels
from xmcbench.data.spec import Parsed
from xmcbench.data.text import bow_words, bow_words_chars
from xmcbench.errors import DataError
from xmcbench.inputs import read_file

KANJI = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")  # CJK ideographs
# Annotations in parentheses before a gloss: sense numbers, parts of speech, forms, usage, field, dialect.
_TAG = (
    r"\d+|P|(?:n|v|adj|adv|aux|cop)(?:-[a-z-]+)?|v[0-9snkrz][a-z-]*|vt|vi|exp|int|pn|pref|suf|ctr|conj|num|prt|unc|"
    r"[io][koK]|io|ateji|gikun|uk|arch|abbr|on-mim|yoji|obsc?|col|sl|m-sl|net-sl|id|proverb|hon|pol|hum|derog|sens|"
    r"vulg|fam|joc|hist|chn|fem|male|dated|litf|tradem|poet|rare|quote|X|Buddh|MA|Shinto|Christn|comp|food|math|med|"
    r"ling|sports|music|sumo|baseb|astron|physics|chem|mahj|biol|law|anat|geol|hanaf|finc|bot|mil|archit|shogi|engr|"
    r"econ|bus|zool|physiol|phil|biochem|genet|aviat|geom|[a-z]{2,4}:"
)
TAGS = re.compile(rf"(?:\((?:{_TAG})(?:,(?:{_TAG}))*\) ?)+")

DING_MIN_DOCUMENTS, DING_MAX_SHARE = 2, 0.005  # limits for a label: number of documents, share of all documents
_MARKS = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_REMARKS = re.compile(r"\([^)]*\)|<[^>]*>")
_WORD = re.compile(r"[^\W\d_]{2,}")
FOLDOC_MAX_SHARE = 0.1  # largest share of the documents for a label
FOLDOC_MAX_LABELS = 100  # labels per document
_DIGITS = {c: i for i, c in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")}
_REFERENCE = re.compile(r"\{([^{}]*)\}")
_HEADWORD = re.compile(r".*\(([^()]*)\)", re.DOTALL)  # {words of the text (headword)}


def edict(files: Files, view: str, options: Options) -> Parsed:
    """The English meaning of a Japanese word → the kanji it is written with. Roles `edict`, `kanjidic`.

    Documents: the glosses of an entry joined by "; ", without annotations such as (n,vs), (1) and (comp). Entries
    without kanji are dropped. Labels: the distinct kanji of the headwords, numbered by code point. Label text = the
    kanji and its English meanings in KANJIDIC. View `bow`: words, sublinear tf-idf.

    Formats: edict_doc.html and kanjidic_doc.html of the Electronic Dictionary Research and Development Group.
    """
    texts, kanji_of = merged(read_entries(files["edict"]))
    labels_of = select_labels(kanji_of)
    meanings = read_meanings(files["kanjidic"])

    def label_texts(labels: list[str]) -> list[str]:
        return [f"{kanji} {meanings.get(kanji, '')}".rstrip() for kanji in labels]

    return hashed_splits(texts, labels_of, label_texts, bow_words if view == "bow" else None)


def read_entries(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (joined glosses, kanji of the headword) of each entry: "HEADWORD [READING] /(n) (1) gloss/gloss/(P)/"."""
    for number, line in enumerate(read_euc_jp(path), 1):
        headword, slash, glosses = line.partition(" /")
        if not slash or not line.endswith("/"):
            raise DataError(f"{path}, line {number}: not an entry of EDICT", "Install the package edict again.")
        if number > 1:  # the first entry is the title
            cleaned = (TAGS.sub("", gloss, count=1) if TAGS.match(gloss) else gloss for gloss in glosses.split("/"))
            yield "; ".join(gloss for gloss in cleaned if gloss), KANJI.findall(headword.partition(" [")[0])


def read_meanings(path: Path) -> dict[str, str]:
    """Kanji → its English meanings joined by ", ": "亜 3021 … {Asia} {rank next}"; lines with # are comments."""
    meanings = {}
    for number, line in enumerate(read_euc_jp(path), 1):
        if line.startswith("#"):
            continue
        if not KANJI.match(line) or line[1:2] != " ":
            raise DataError(f"{path}, line {number}: not an entry of KANJIDIC", "Install the package kanjidic again.")
        meanings[line[0]] = ", ".join(re.findall(r"{([^}]*)}", line))
    return meanings


def read_euc_jp(path: Path) -> list[str]:
    """The lines of a file encoded in EUC-JP."""
    try:
        return read_file(path, limits.WHOLE_TEXT).decode("euc_jp").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not in EUC-JP ({error})", "Install its package again.") from error


def ding(files: Files, view: str, options: Options) -> Parsed:
    """A German word or phrase → the words of its English translation. Role `de-en`.

    Documents: the text before the first "|" of a line's German side, without {grammar} and [domains]. The later parts
    are inflected forms and examples, which would be near-duplicates of the first. Labels: lower-cased words of at least
    two letters in the first part of the English side, without (remarks), that occur in at least two documents and in at
    most 0.5 % of the documents, which excludes function words such as "to" and "of"; numbered alphabetically. Label
    text = the word. View `bow`: words and character n-grams, as in icd10cm.
    """
    texts, words_of = merged(read_pairs(files["de-en"]))
    labels_of = select_labels(words_of, least=DING_MIN_DOCUMENTS, most=DING_MAX_SHARE)
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


def foldoc(files: Files, view: str, options: Options) -> Parsed:
    """A definition without its cross-references → the definitions that it refers to. Roles `index`, `dict`.

    Documents: definitions with at least one label, including headwords. Every {cross-reference} is removed, so that the
    answer can't be copied from it (the same words may occur elsewhere in the text). Definitions with more than 100
    labels are lists ("TLAs" has 1,279) and are dropped. Labels: the other definitions that a definition refers to by
    headword, ignoring case. References to unknown headwords are dropped, and so are labels of more than 10 % of the
    documents (the Jargon File, which is named as a source). Labels are numbered in the order of the file, which is
    alphabetical. Label text = headwords. View `bow`: words, sublinear tf-idf.

    Formats: dictd's index (headword, offset and size in base 64, separated by tabs) and gzip-compatible dictionary.
    """
    definitions, offset_of = read_dictionary(files["index"], files["dict"])
    pairs = [
        (" ".join(_REFERENCE.sub(" ", text).split()), references(text, offset_of) - {offset})
        for offset, text in definitions.items()
    ]
    texts, labels_by_key = merged(pairs)
    labels_of = select_labels(
        {key: labels for key, labels in labels_by_key.items() if 0 < len(labels) <= FOLDOC_MAX_LABELS},
        most=FOLDOC_MAX_SHARE,
    )

    def label_texts(labels: list[int]) -> list[str]:
        return [headwords(definitions[label]) for label in labels]

    return hashed_splits(texts, labels_of, label_texts, bow_words if view == "bow" else None)


def read_dictionary(index: Path, dictionary: Path) -> tuple[dict[int, str], dict[str, int]]:
    """(offset → definition in the order of the file, lower-cased headword → offset of its first definition)."""
    hint = "Install the package dict-foldoc again."
    try:
        content = gzip.decompress(read_file(dictionary, limits.WHOLE_TEXT))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{dictionary}: damaged ({error})", hint) from error
    spans: dict[int, int] = {}
    offset_of: dict[str, int] = {}
    for number, line in enumerate(read_lines(index), 1):
        try:
            headword, offset, size = line.split("\t")
            start = _number(offset)
            spans[start] = _number(size)
        except (ValueError, KeyError) as error:
            raise DataError(f"{index}, line {number}: not an entry", hint) from error
        if not headword.startswith("00-database"):  # metadata entries of dictd
            offset_of[headword.lower()] = min(start, offset_of.get(headword.lower(), start))
    if any(start + size > len(content) for start, size in spans.items()):
        raise DataError(f"{dictionary}: shorter than its index says", hint)
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
