"""wordnet: the gloss of a noun or verb synset → its ancestors, the hypernyms at any distance.

Documents: nouns, then verbs, in the order of their data files, that have at least one label. Labels: synsets that are
ancestors of another synset, except ancestors of more than 5 % of the synsets that have any; numbered in the order of
the data files. Label text = only the lemmas: a label's gloss is the text of a document, possibly of the test split.

Test: `int(sha256(f"{offset}{pos}").hexdigest(), 16) % 5 == 0` with the eight digits of the offset and pos n or v.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xmcbench.data.documents import read_lines
from xmcbench.data.recipes import Files, Options
from xmcbench.data.recipes.hashed import hashed_splits, select_labels
from xmcbench.data.spec import Parsed
from xmcbench.data.text import bow_words
from xmcbench.errors import DataError

MAX_SHARE = 0.05  # share of the documents; drops uninformative labels such as entity and abstraction
POINTERS = ("@", "@i")  # hypernym, instance hypernym
Key = str  # offset and part of speech: "00001740n"


@dataclass(frozen=True)
class Synset:
    """One line of a data file."""

    key: Key
    lemmas: str
    gloss: str
    hypernyms: tuple[Key, ...]  # direct hypernyms


def wordnet(files: Files, view: str, options: Options) -> Parsed:
    """Roles `data.noun`, `data.verb`. View `bow`: words, sublinear tf-idf; `text`: only the glosses."""
    synsets = {synset.key: synset for role in ("data.noun", "data.verb") for synset in read_synsets(files[role])}
    labels_of = labels(synsets)
    glosses = {key: synset.gloss for key, synset in synsets.items()}
    position = {key: i for i, key in enumerate(synsets)}

    def label_texts(labels: list[Key]) -> list[str]:
        return [synsets[key].lemmas for key in labels]

    return hashed_splits(glosses, labels_of, label_texts, bow_words if view == "bow" else None, position.__getitem__)


def read_synsets(path: Path) -> list[Synset]:
    """The synsets of a data file (format: wndb(5WN) of WordNet 3.0); lines that begin with spaces are the licence."""
    synsets = []
    for number, line in enumerate(read_lines(path), 1):
        if line.startswith("  ") or not line:
            continue
        try:
            synsets.append(_synset(line))
        except (ValueError, IndexError) as error:
            raise DataError(f"{path}, line {number}: not a synset ({error})", "Get the file again.") from error
    return synsets


def _synset(line: str) -> Synset:
    fields, _, gloss = line.partition("|")
    words = fields.split()
    offset, pos, n_words = words[0], words[2], int(words[3], 16)
    if not (len(offset) == 8 and offset.isdigit()) or pos not in ("n", "v"):
        raise ValueError(f"offset {offset!r}, part of speech {pos!r}")
    lemmas = [word.replace("_", " ") for word in words[4 : 4 + 2 * n_words : 2]]
    pointers_start = 4 + 2 * n_words
    n_pointers = int(words[pointers_start])
    pointers = [words[pointers_start + 1 + 4 * i : pointers_start + 5 + 4 * i] for i in range(n_pointers)]
    hypernyms = tuple(target + kind for symbol, target, kind, _ in pointers if symbol in POINTERS)
    return Synset(offset + pos, ", ".join(lemmas), gloss.strip(), hypernyms)


def labels(synsets: dict[Key, Synset]) -> dict[Key, list[Key]]:
    """Labels by document, in order: its ancestors that pass `MAX_SHARE`; documents without labels are dropped."""
    ancestors = {key: everything_above(key, synsets) for key in synsets}
    return select_labels({key: keys for key, keys in ancestors.items() if keys}, most=MAX_SHARE)


def everything_above(key: Key, synsets: dict[Key, Synset]) -> list[Key]:
    """Hypernyms of `key` at any distance, excluding `key` itself even if the pointers form a cycle."""
    visited, to_visit = {key}, [key]
    ancestors: list[Key] = []
    while to_visit:
        current = to_visit.pop()
        if current not in synsets:
            raise DataError(f"synset {key} points to {current}, which does not exist", "Get the data files again.")
        for hypernym in synsets[current].hypernyms:
            if hypernym not in visited:
                visited.add(hypernym)
                ancestors.append(hypernym)
                to_visit.append(hypernym)
    return ancestors
