"""wordnet: the gloss of a noun or verb synset → everything it is a kind or an instance of, at any distance.

Documents: nouns, then verbs, each in the order of its data file, that have at least one label. Labels: synsets that are
above some other one, less those above more than 5 % of the synsets that have any above them; numbered in the order of
the documents. Label text = lemmas alone: a label's gloss is the text of a document, perhaps of the test split.

Test: `int(sha256(f"{offset}{pos}").hexdigest(), 16) % 5 == 0` with the eight digits of the offset and pos n or v.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xmcbench.data.formats import read_lines
from xmcbench.data.recipes import Files, Options, Parsed
from xmcbench.data.recipes.hashed import hashed_splits, select_labels
from xmcbench.data.text import bow_words
from xmcbench.errors import DataError

TOO_MANY = 0.05  # share of the documents; entity, abstraction and the like tell nothing
POINTERS = ("@", "@i")  # hypernym, instance hypernym
Key = str  # offset and part of speech: "00001740n"


@dataclass(frozen=True)
class Synset:
    """One line of a data file."""

    key: Key
    lemmas: str
    gloss: str
    above: tuple[Key, ...]  # direct hypernyms


def wordnet(files: Files, view: str, options: Options) -> Parsed:
    """Roles `data.noun`, `data.verb`. View `bow`: words, sublinear tf-idf; `text`: the glosses alone."""
    synsets = {s.key: s for role in ("data.noun", "data.verb") for s in read_synsets(files[role])}
    labels_of = labels(synsets)
    named = {label for above in labels_of.values() for label in above}
    label_keys = [key for key in synsets if key in named]
    glosses = {key: synsets[key].gloss for key in labels_of}
    train, test = hashed_splits(glosses, labels_of, label_keys, bow_words if view == "bow" else None)
    return Parsed(train, test, label_texts=[synsets[key].lemmas for key in label_keys])


def read_synsets(path: Path) -> list[Synset]:
    """The synsets of a data file (format: wndb(5WN) of WordNet 3.0); lines that begin with blanks are the licence."""
    found = []
    for number, line in enumerate(read_lines(path), 1):
        if line.startswith("  ") or not line:
            continue
        try:
            found.append(_synset(line))
        except (ValueError, IndexError) as error:
            raise DataError(f"{path}, line {number}: not a synset ({error})", "Get the file again.") from error
    return found


def _synset(line: str) -> Synset:
    data, _, gloss = line.partition("|")
    words = data.split()
    offset, pos, n_words = words[0], words[2], int(words[3], 16)
    if not (len(offset) == 8 and offset.isdigit()) or pos not in ("n", "v"):
        raise ValueError(f"offset {offset!r}, part of speech {pos!r}")
    lemmas = [word.replace("_", " ") for word in words[4 : 4 + 2 * n_words : 2]]
    at = 4 + 2 * n_words
    n_pointers = int(words[at])
    pointers = [words[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(n_pointers)]
    above = tuple(target + kind for symbol, target, kind, _ in pointers if symbol in POINTERS)
    return Synset(offset + pos, ", ".join(lemmas), gloss.strip(), above)


def labels(synsets: dict[Key, Synset]) -> dict[Key, list[Key]]:
    """For each document, in order, what is above it and not above too many; documents left without any are dropped."""
    above = {key: everything_above(key, synsets) for key in synsets}
    return select_labels({key: found for key, found in above.items() if found}, most=TOO_MANY)


def everything_above(key: Key, synsets: dict[Key, Synset]) -> list[Key]:
    """Hypernyms at any distance, itself excepted even where the pointers run in a circle."""
    seen, waiting = {key}, [key]
    found: list[Key] = []
    while waiting:
        here = waiting.pop()
        if here not in synsets:
            raise DataError(f"synset {key} points to {here}, which is not there", "Get the data files again.")
        for higher in synsets[here].above:
            if higher not in seen:
                seen.add(higher)
                found.append(higher)
                waiting.append(higher)
    return found
