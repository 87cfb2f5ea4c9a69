"""Predicted labels as lines of JSON, csv or tsv."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from xmcbench.escaping import csv_cell
from xmcbench.models.model import Predictions
from xmcbench.topk import PAD

Ids = Sequence[str | int]  # of rows: those of the user, or row numbers
FORMATS = ("jsonl", "csv", "tsv")
COLUMNS = ("id", "rank", "label", "name", "score")


def header(form: str) -> str:
    """What stands before the lines."""
    return "" if form == "jsonl" else _delimited([COLUMNS], form)


def lines(form: str) -> Callable[[Ids, Predictions], str]:
    """The function that writes rows: jsonl has a line per row, csv and tsv one per label, so that both can be filtered.

    A row without labels has one line in csv and tsv too, with empty cells.
    """
    return _json_lines if form == "jsonl" else lambda ids, found: _delimited(_cells(ids, found), form)


def _json_lines(ids: Ids, found: Predictions) -> str:
    rows, labels, at = [], _labels(found, _json_name), 0
    cells = [f'{{"label": {label}, "name": {name}, "score": {score}}}' for label, name, score in labels]
    for row_id, end in zip(ids, _ends(found), strict=True):
        row = row_id if isinstance(row_id, int) else json.dumps(row_id)
        rows.append(f'{{"id": {row}, "labels": [{", ".join(cells[at:end])}]}}\n')
        at = end
    return "".join(rows)


def _cells(ids: Ids, found: Predictions) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    labels, at = list(_labels(found, _csv_name)), 0
    for row_id, end in zip(ids, _ends(found), strict=True):
        first = csv_cell(row_id) if isinstance(row_id, str) else row_id
        rows += [(first, rank, *label) for rank, label in enumerate(labels[at:end], 1)] or [(first, "", "", "", "")]
        at = end
    return rows


def _labels(found: Predictions, written: Callable[[str], str]) -> Iterator[tuple[int, str, str]]:
    """(id, name as written, score) of the labels of all rows, one after the other.

    Scores have the fewest digits that are the float32 score in every case: 0.300000012, not 0.30000001192092896.
    """
    there = found.topk.ids != PAD
    ids = found.topk.ids[there].tolist()
    names = map(str, ids) if found.names is None else map(found.names.__getitem__, ids)
    digits = (f"{score:.9g}" for score in found.topk.scores[there].tolist())
    return zip(ids, map(written, names), digits, strict=True)


def _ends(found: Predictions) -> list[int]:
    """Where the labels of each row end among those of all rows."""
    ends: list[int] = np.cumsum((found.topk.ids != PAD).sum(axis=1)).tolist()
    return ends


@lru_cache(1 << 16)
def _json_name(name: str) -> str:
    return json.dumps(name)


@lru_cache(1 << 16)
def _csv_name(name: str) -> str:
    return csv_cell(name)


def _delimited(rows: Sequence[Sequence[object]], form: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter="," if form == "csv" else "\t", lineterminator="\n").writerows(rows)
    return out.getvalue()
