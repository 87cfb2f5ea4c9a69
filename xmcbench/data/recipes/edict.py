"""edict: the English meaning of a Japanese word → the kanji it is written with.

Documents: the glosses of an entry joined by "; ", without annotations such as (n,vs), (1) and (comp). Entries whose
glosses have the same words are merged into one document (`hashed.merged`); entries without kanji are dropped. Labels:
the distinct kanji of the headwords, numbered by code point. Label text = the kanji and its English meanings in
KANJIDIC. Test: one key in five (`hashed.in_test`).

Formats: edict_doc.html and kanjidic_doc.html of the Electronic Dictionary Research and Development Group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from xmcbench.data.recipes import Files, Options
from xmcbench.data.recipes.hashed import hashed_splits, merged, select_labels
from xmcbench.data.spec import Parsed
from xmcbench.data.text import bow_words
from xmcbench.errors import DataError

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


def edict(files: Files, view: str, options: Options) -> Parsed:
    """Roles `edict`, `kanjidic`. View `bow`: words, sublinear tf-idf; `text`: only the glosses."""
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
        return path.read_bytes().decode("euc_jp").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not in EUC-JP ({error})", "Install its package again.") from error
