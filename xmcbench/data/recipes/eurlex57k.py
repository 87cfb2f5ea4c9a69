"""eurlex-4.3k (EURLEX57K): 57,000 EU laws and their EuroVoc descriptors, with an official development split.

Rows: sorted by CELEX number within each split, so that the order of the archive doesn't matter. Labels: the concepts
that occur in any of the three splits (4,271; 4,108 of them in train), numbered by ascending numeric concept id; label
name = concept id, label text = English descriptor. Ids of rows are CELEX numbers. Test pairs of labels unseen in train
stay in the true labels.

Row groups `near-duplicate` and `novel`: test rows with and without a train row at cosine above 0.9 in view `bow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import scipy.sparse as sp

from xmcbench.data.documents import SPLITS, read_eurlex57k
from xmcbench.data.near import near_duplicates
from xmcbench.data.reading import load_bytes
from xmcbench.data.recipes import Files, Options, label_matrix
from xmcbench.data.spec import Parsed, Split
from xmcbench.data.text import bow_eurlex
from xmcbench.errors import DataError
from xmcbench.inputs import typed_json

NEAR_DUPLICATE_COSINE = 0.9  # a quarter of the test rows have a train row above it


def eurlex57k(files: Files, view: str, options: Options) -> Parsed:
    """Roles `documents` (archive or folder) and `descriptors`.

    View `bow`: title, header, recitals and main body; `title`: only titles, as text and as features; `text`: as `bow`
    without features.
    """
    splits = read_eurlex57k(files["documents"])
    documents = [document for name in SPLITS for document in splits[name]]
    concepts = sorted({concept for document in documents for concept in document.concepts}, key=_numeric_key)
    label_texts = _descriptors(files["descriptors"], concepts)
    texts = [[document.text for document in splits[name]] for name in SPLITS]
    bow, vectorizer = bow_eurlex(*texts)
    features: Sequence[sp.csr_matrix | None] = bow
    is_near_duplicate = near_duplicates(bow[2], bow[0], NEAR_DUPLICATE_COSINE)
    if view == "title":
        texts = [[document.title for document in splits[name]] for name in SPLITS]
        features, vectorizer = bow_eurlex(*texts)
    elif view == "text":
        features = [None, None, None]
    label_ids = {concept: i for i, concept in enumerate(concepts)}

    labels = [[[label_ids[concept] for concept in document.concepts] for document in splits[name]] for name in SPLITS]
    train, validation, test = (
        Split(matrix, part_texts, label_matrix(rows, len(concepts)), [document.celex_id for document in splits[name]])
        for name, matrix, part_texts, rows in zip(SPLITS, features, texts, labels, strict=True)
    )
    row_groups = {"near-duplicate": is_near_duplicate, "novel": ~is_near_duplicate}
    return Parsed(
        train,
        test,
        validation,
        label_texts,
        row_groups=row_groups,
        vectorizer=None if view == "text" else vectorizer,
        label_names=concepts,
    )


def _numeric_key(concept: str) -> tuple[int, str]:
    return (int(concept), "") if concept.isdecimal() else (2**62, concept)


class _Descriptor(msgspec.Struct):
    label: str


def _descriptors(path: Path, concepts: list[str]) -> list[str]:
    """The English descriptor of each concept."""
    hint = "Not the file of EuroVoc descriptors: get it again."
    descriptors = typed_json(load_bytes(path), dict[str, _Descriptor], str(path), hint)
    if missing := [concept for concept in concepts if concept not in descriptors]:
        raise DataError(f"{path}: no descriptor of concept {missing[0]!r}", hint)
    return [descriptors[concept].label for concept in concepts]
