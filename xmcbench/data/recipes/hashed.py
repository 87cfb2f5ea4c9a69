"""For recipes without an official split: merge equal texts, select labels, split by a hash of each row's key."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar

from xmcbench.data.recipes import label_matrix
from xmcbench.data.spec import Parsed, Split
from xmcbench.data.text import Features

_WORD = re.compile(r"\w+")
_Key = TypeVar("_Key", bound=Hashable)
_Label = TypeVar("_Label", bound=Hashable)


def merged(pairs: Iterable[tuple[str, Iterable[_Label]]]) -> tuple[dict[str, str], dict[str, set[_Label]]]:
    """(text by key, labels by key) of merged documents, in order of first occurrence.

    Key: the sorted set of a text's lower-cased words. Texts with the same key become one document, with the first text
    and the labels of all, so that no two rows differ only in word order, repetition or punctuation. A text without
    words is dropped.
    """
    texts: dict[str, str] = {}
    labels_of: dict[str, set[_Label]] = {}
    for text, labels in pairs:
        key = " ".join(sorted(set(_WORD.findall(text.lower()))))
        if key:
            texts.setdefault(key, text)
            labels_of.setdefault(key, set()).update(labels)
    return texts, labels_of


def select_labels(
    labels_of: Mapping[_Key, Iterable[_Label]], *, least: int = 1, most: float = 1.0
) -> dict[_Key, list[_Label]]:
    """Keep labels of at least `least` documents and at most a share `most` of them; drop documents without labels."""
    count = Counter(label for labels in labels_of.values() for label in labels)
    selected = {label for label, n in count.items() if least <= n <= most * len(labels_of)}
    selected_of = {key: [label for label in labels if label in selected] for key, labels in labels_of.items()}
    return {key: labels for key, labels in selected_of.items() if labels}


def in_test(key: str) -> bool:
    """Whether a key is in the test split: one in five, `int(sha256(key).hexdigest(), 16) % 5 == 0`."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 5 == 0


def hashed_splits(
    texts: Mapping[str, str],
    labels_of: Mapping[str, Iterable[_Label]],
    label_texts: Callable[[list[_Label]], list[str]],
    bow: Callable[[list[str], list[str]], Features] | None,
    order: Callable[[_Label], Any] = lambda label: label,
) -> Parsed:
    """The rows of `labels_of` in its order, split by `in_test`, with their texts from `texts`.

    Parameters
    ----------
    label_texts : the texts of all labels, which are numbered by `order`, by default in ascending order.
    bow : computes features from (training texts, test texts), as the functions of `xmcbench.data.text`; None for rows
        without features.
    """
    labels = sorted({label for row_labels in labels_of.values() for label in row_labels}, key=order)
    label_ids = {label: i for i, label in enumerate(labels)}
    keys_by_split = [[key for key in labels_of if in_test(key) == test] for test in (False, True)]
    train_texts, test_texts = ([texts[key] for key in keys] for keys in keys_by_split)
    features, vectorizer = bow(train_texts, test_texts) if bow else ([None, None], None)
    train, test = (
        Split(matrix, part, label_matrix([[label_ids[label] for label in labels_of[key]] for key in keys], len(labels)))
        for matrix, part, keys in zip(features, (train_texts, test_texts), keys_by_split, strict=True)
    )
    return Parsed(train, test, label_texts=label_texts(labels), vectorizer=vectorizer)
