"""Predicted labels as lines of JSON, csv or tsv."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial

import numpy as np

from xmcbench.data.spec import Naming
from xmcbench.escaping import csv_cell
from xmcbench.topk import PAD, TopK

Ids = Sequence[str | int]  # of rows: those of the user, or row numbers
FORMATS = ("jsonl", "csv", "tsv")
COLUMNS = ("id", "rank", "label", "name", "score")  # and "text", if the model has short names of labels
LABELS = 1 << 16  # labels whose names are kept as they are written, since most labels come again and again


def header(form: str, naming: Naming) -> str:
    """What stands before the lines; a column of texts only where labels have short names next to their texts."""
    return "" if form == "jsonl" else _delimited([COLUMNS if naming.names is None else (*COLUMNS, "text")], form)


def lines(form: str, naming: Naming) -> Callable[[Ids, TopK], str]:
    """The function that writes rows: jsonl has a line per row, csv and tsv one per label, so that both can be filtered.

    A row without labels has one line in csv and tsv too, with empty cells. Scores have the fewest digits that are the
    float32 score in every case: 0.300000012, not 0.30000001192092896.
    """
    if form == "jsonl":
        return partial(_json_lines, lru_cache(LABELS)(partial(_json_label, naming)))
    cells = partial(_cells, lru_cache(LABELS)(partial(_csv_label, naming)), () if naming.names is None else ("",))
    return lambda ids, found: _delimited(cells(ids, found), form)


def _json_lines(written: Callable[[int], str], ids: Ids, found: TopK) -> str:
    rows, at = [], 0
    labels = [f'{{{written(label)}, "score": {score}}}' for label, score in _labels(found)]
    for row_id, end in zip(ids, _ends(found), strict=True):
        row = row_id if isinstance(row_id, int) else json.dumps(row_id)
        rows.append(f'{{"id": {row}, "labels": [{", ".join(labels[at:end])}]}}\n')
        at = end
    return "".join(rows)


def _json_label(naming: Naming, label: int) -> str:
    text = naming.text(label)
    name = f'"label": {label}, "name": {json.dumps(naming.name(label))}'
    return name if text is None else f'{name}, "text": {json.dumps(text)}'


def _cells(
    written: Callable[[int], tuple[str, tuple[str, ...]]], no_text: tuple[str, ...], ids: Ids, found: TopK
) -> Iterator[Sequence[object]]:
    labels, at = [(label, *written(label), score) for label, score in _labels(found)], 0
    for row_id, end in zip(ids, _ends(found), strict=True):
        first = csv_cell(row_id) if isinstance(row_id, str) else row_id
        for rank, (label, name, text, score) in enumerate(labels[at:end], 1):
            yield (first, rank, label, name, score, *text)
        if at == end:
            yield (first, "", "", "", "", *no_text)
        at = end


def _csv_label(naming: Naming, label: int) -> tuple[str, tuple[str, ...]]:
    """Cells of the name and of the text, if there is a column for it."""
    text = () if naming.names is None else (csv_cell(naming.text(label) or ""),)
    return csv_cell(naming.name(label)), text


def _labels(found: TopK) -> Iterator[tuple[int, str]]:
    """The labels of all rows, one after the other, and their scores as written."""
    there = found.ids != PAD
    digits = (f"{score:.9g}" for score in found.scores[there].tolist())
    return zip(found.ids[there].tolist(), digits, strict=True)


def _ends(found: TopK) -> list[int]:
    """Where the labels of each row end among those of all rows."""
    ends: list[int] = np.cumsum((found.ids != PAD).sum(axis=1)).tolist()
    return ends


def _delimited(rows: Iterator[Sequence[object]] | Sequence[Sequence[object]], form: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter="," if form == "csv" else "\t", lineterminator="\n").writerows(rows)
    return out.getvalue()
