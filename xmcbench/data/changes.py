"""What differs between two imports of one data set: labels added, removed and renumbered, and rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import scipy.sparse as sp

from xmcbench.data.spec import Parsed, Split
from xmcbench.errors import counted

SHOWN = 3  # names in a message
Rows = Counter[bytes]  # `_digest` of text or features, and labels → how often


def changes(old: Parsed, new: Parsed) -> list[str]:
    """One message per kind of difference.

    Labels are the same if they have the same text. Rows are the same if they have the same text (or, without texts, the
    same features) and the same labels.
    """
    matched = _texts_identify(old) and _texts_identify(new)
    lines = _label_changes(old.label_texts or (), new.label_texts or ()) if matched else _unmatched(old, new)
    for which in dict.fromkeys([*old.splits, *new.splits]):
        lines += _row_changes(which, _rows(old, which, matched), _rows(new, which, matched))
    widths = [None if data.train.features is None else data.train.features.shape[1] for data in (old, new)]
    if widths[0] != widths[1]:
        lines.append(f"features {' → '.join('none' if width is None else f'{width:,}' for width in widths)}")
    return lines or ["the order of rows, values of features, texts of labels or filter pairs differ"]


def name_changes(old: Parsed, new: Parsed) -> list[str]:
    """One message each if ids of rows, or short names of labels, were added, removed or changed.

    They are the user's own, and no part of the content.
    """
    ids = ([list(split.ids or ()) for split in data.splits.values()] for data in (old, new))
    names = ([list(data.label_names or ())] for data in (old, new))
    lines = []
    for what, (before, after) in (("ids of rows", ids), ("names of labels", names)):
        if before != after:
            lines.append(f"{what} {'added' if not any(before) else 'removed' if not any(after) else 'changed'}")
    return lines


def _texts_identify(data: Parsed) -> bool:
    return data.label_texts is not None and len(set(data.label_texts)) == len(data.label_texts)


def _unmatched(old: Parsed, new: Parsed) -> list[str]:
    counts = [f"{data.train.labels.shape[1]:,}" for data in (old, new)]
    without = any(data.label_texts is None for data in (old, new))
    why = "labels have no texts" if without else "texts of labels repeat"
    return [f"labels {counts[0]} → {counts[1]}, compared by their numbers, since {why}"]


def _label_changes(old: Sequence[str], new: Sequence[str]) -> list[str]:
    old_ids = {text: i for i, text in enumerate(old)}
    new_ids = {text: i for i, text in enumerate(new)}
    added = [text for text in new_ids if text not in old_ids]
    removed = [text for text in old_ids if text not in new_ids]
    moved = [text for text, i in new_ids.items() if old_ids.get(text, i) != i]
    lines = [
        f"{counted(len(texts), 'label')} {word}: {_some(texts)}"
        for word, texts in (("added", added), ("removed", removed))
        if texts
    ]
    if moved:
        first = moved[0]
        example = f"{_short(first)} from {old_ids[first]} to {new_ids[first]}"
        lines.append(f"{counted(len(moved), 'label')} renumbered, such as {example}")
    return lines


def _some(texts: Sequence[str]) -> str:
    return ", ".join(map(_short, texts[:SHOWN])) + (", …" if len(texts) > SHOWN else "")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _rows(data: Parsed, which: str, by_text: bool) -> Rows | None:
    """How often each row occurs in a split; None if there is no such split."""
    split = data.splits.get(which)
    if split is None:
        return None
    texts = data.label_texts if by_text else None
    ids = split.labels.indices
    labels = (ids[a:b].tolist() for a, b in pairwise(split.labels.indptr))
    return Counter(
        _digest(key, row if texts is None else [texts[i] for i in row])
        for key, row in zip(_inputs(split), labels, strict=True)
    )


def _digest(key: bytes, labels: Sequence[int | str]) -> bytes:
    """16 bytes that are the same for the same inputs and set of labels: rows themselves would be the data once more."""
    digest = hashlib.blake2b(hashlib.blake2b(key, digest_size=16).digest(), digest_size=16)
    for label in sorted({str(label) for label in labels}):
        digest.update(label.encode("utf-8", "surrogatepass") + b"\xff")  # which no text has
    return digest.digest()


def _inputs(split: Split) -> Iterable[bytes]:
    if split.texts is not None:
        return (text.encode("utf-8", "surrogatepass") for text in split.texts)
    assert split.features is not None  # `validate` refuses a split with neither
    return feature_keys(split.features)


def feature_keys(matrix: sp.csr_matrix) -> Iterator[bytes]:
    """One key per row of features; equal rows have equal keys."""
    for a, b in pairwise(matrix.indptr):
        yield matrix.indices[a:b].astype("<i8").tobytes() + matrix.data[a:b].astype("<f4").tobytes()


def _row_changes(which: str, old: Rows | None, new: Rows | None) -> list[str]:
    if old is None or new is None:
        rows = (Counter() if old is None else old).total() + (Counter() if new is None else new).total()
        return [f"{which} split {'added' if old is None else 'removed'}, {counted(rows, 'row')}"]
    added, removed = (new - old).total(), (old - new).total()
    if not added and not removed:
        return []
    same = (old & new).total()
    return [f"{which} rows {old.total():,} → {new.total():,}: {added:,} added, {removed:,} removed, {same:,} the same"]
