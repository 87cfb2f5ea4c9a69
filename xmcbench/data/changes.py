"""What differs between two imports of one data set: labels added, removed and renumbered, and rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import scipy.sparse as sp

from xmcbench.data.spec import Parsed, Split
from xmcbench.errors import counted

SHOWN = 3  # names in a message
Rows = Counter[tuple[str | bytes, frozenset[str | int]]]  # (text or features, labels) → how often


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
    starts, ids = split.labels.indptr.tolist(), split.labels.indices.tolist()
    labels: list[frozenset[str | int]] = [
        frozenset(ids[a:b] if texts is None else [texts[i] for i in ids[a:b]]) for a, b in pairwise(starts)
    ]
    return Counter(zip(_inputs(split), labels, strict=True))


def _inputs(split: Split) -> list[str | bytes]:
    if split.texts is not None:
        return list(split.texts)
    assert split.features is not None  # `validate` refuses a split with neither
    return list(feature_keys(split.features))


def feature_keys(matrix: sp.csr_matrix) -> list[bytes]:
    """One key per row of features; equal rows have equal keys."""
    ids, values = matrix.indices.astype("<i8"), matrix.data.astype("<f4")
    return [ids[a:b].tobytes() + values[a:b].tobytes() for a, b in pairwise(matrix.indptr.tolist())]


def _row_changes(which: str, old: Rows | None, new: Rows | None) -> list[str]:
    if old is None or new is None:
        rows = (Counter() if old is None else old).total() + (Counter() if new is None else new).total()
        return [f"{which} split {'added' if old is None else 'removed'}, {counted(rows, 'row')}"]
    added, removed = (new - old).total(), (old - new).total()
    if not added and not removed:
        return []
    same = (old & new).total()
    return [f"{which} rows {old.total():,} → {new.total():,}: {added:,} added, {removed:,} removed, {same:,} the same"]
