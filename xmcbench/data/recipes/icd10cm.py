"""icd10cm: given a clinical term, find its ICD-10-CM code. Read from the CDC's tabular XML.

Documents: the description of every code, and the notes of its `inclusionTerm` and `includes` elements. All
descriptions are train rows. A note is a train row if `int(sha256(note).hexdigest(), 16) % 10 < 5`, else a test row.
Test rows whose lower-cased text occurs in train are dropped. Train rows are in the order of the XML: all descriptions,
then the notes.

Labels are numbered in the order of the XML, that is by code within a chapter; label text = description.
View `bow`: the labels of a term are its code and the code's ancestors up to the three-character category. View `code`:
the only label of a term is its code.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from xmcbench.data.recipes import Files, Options, label_matrix
from xmcbench.data.spec import Parsed, Split
from xmcbench.data.text import bow_words_chars
from xmcbench.errors import DataError


@dataclass
class Tabular:
    """The code tree: descriptions by label id, and notes as (text, label id)."""

    codes: list[str]
    descriptions: list[str]
    paths: list[list[int]]  # label ids from the three-character category down to the code itself
    notes: list[tuple[str, int]]


def icd10cm(files: Files, view: str, options: Options) -> Parsed:
    """Role `tabular`: the XML file. Label groups depth3 … depth7: number of characters of the code without the dot."""
    try:
        tabular = read_tabular(ElementTree.parse(files["tabular"]).getroot())
    except ElementTree.ParseError as error:
        raise DataError(f"{files['tabular']}: not well-formed XML ({error})", "Install its package again.") from error
    terms = split_terms(tabular)
    texts = [[text for text, _ in part] for part in terms]
    labels = [[tabular.paths[label] if view == "bow" else [label] for _, label in part] for part in terms]
    features, vectorizer = bow_words_chars(*texts)
    train, test = (
        Split(matrix, part_texts, label_matrix(part_labels, len(tabular.codes)))
        for matrix, part_texts, part_labels in zip(features, texts, labels, strict=True)
    )
    depth = np.array([len(code.replace(".", "")) for code in tabular.codes])
    groups = {f"depth{d}": depth == d for d in np.unique(depth).tolist()}
    return Parsed(train, test, label_texts=tabular.descriptions, label_groups=groups, vectorizer=vectorizer)


def read_tabular(root: ElementTree.Element) -> Tabular:
    """All `diag` elements below the chapters' sections, in the order of the file."""
    tabular = Tabular([], [], [], [])
    for top in root.iterfind("chapter/section/diag"):
        _walk(top, [], tabular)
    return tabular


def _walk(diag: ElementTree.Element, ancestors: list[int], tabular: Tabular) -> None:
    label = len(tabular.codes)
    path = [*ancestors, label]
    tabular.codes.append(_text(diag.find("name"), "name", label))
    tabular.descriptions.append(_text(diag.find("desc"), "desc", label))
    tabular.paths.append(path)
    for kind in ("inclusionTerm", "includes"):
        for note in diag.iterfind(f"{kind}/note"):
            tabular.notes.append((_text(note, "note", label), label))
    for child in diag.iterfind("diag"):
        _walk(child, path, tabular)


def _text(element: ElementTree.Element | None, kind: str, label: int) -> str:
    if element is None or not element.text:
        raise DataError(f"tabular XML: diag number {label} has an empty or missing <{kind}>")
    return element.text


def split_terms(tabular: Tabular) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """(train, test) as (text, label id)."""
    train = [(text, label) for label, text in enumerate(tabular.descriptions)]
    candidates: list[tuple[str, int]] = []
    for note in tabular.notes:
        in_train = int(hashlib.sha256(note[0].encode()).hexdigest(), 16) % 10 < 5
        (train if in_train else candidates).append(note)
    train_texts = {text.lower() for text, _ in train}
    return train, [note for note in candidates if note[0].lower() not in train_texts]
