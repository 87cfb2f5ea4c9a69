"""Predicted labels as lines of JSON, csv or tsv."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from functools import lru_cache

from xmcbench.data.spec import Naming
from xmcbench.escaping import csv_cell
from xmcbench.models.model import Predictions

Ids = Sequence[str | int]  # of rows: those of the user, or row numbers
FORMATS = ("jsonl", "csv", "tsv")
COLUMNS = ("id", "rank", "label", "name", "score")  # and "text", if the model has short names of labels


def _digits(score: float) -> str:
    """The fewest digits that are the float32 score in every case: 0.300000012, not 0.30000001192092896."""
    return f"{score:.9g}"


def header(form: str, naming: Naming) -> str:
    """What stands before the lines; a column of texts only where labels have short names next to their texts."""
    return "" if form == "jsonl" else _delimited([COLUMNS if naming.names is None else (*COLUMNS, "text")], form)


def lines(form: str) -> Callable[[Ids, Predictions], str]:
    """The function that writes rows: jsonl has a line per row, csv and tsv one per label, so that both can be filtered.

    A row without labels has one line in csv and tsv too, with empty cells.
    """
    return _json_lines if form == "jsonl" else lambda ids, found: _delimited(_cells(ids, found), form)


def _json_lines(ids: Ids, found: Predictions) -> str:
    rows = []
    for row_id, labels in zip(ids, found, strict=True):
        listed = (
            f'{{"label": {label.id}, "name": {_json(label.name)}, '
            + ("" if label.text is None else f'"text": {_json(label.text)}, ')
            + f'"score": {_digits(label.score)}}}'
            for label in labels
        )
        rows.append(f'{{"id": {json.dumps(row_id)}, "labels": [{", ".join(listed)}]}}\n')
    return "".join(rows)


@lru_cache(1 << 16)
def _json(text: str) -> str:
    return json.dumps(text)


def _cells(ids: Ids, found: Predictions) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = []
    with_text = found.naming.names is not None
    for row_id, labels in zip(ids, found, strict=True):
        first = csv_cell(row_id) if isinstance(row_id, str) else row_id
        rows += [
            (first, rank, label.id, csv_cell(label.name), _digits(label.score))
            + ((csv_cell(label.text or ""),) if with_text else ())
            for rank, label in enumerate(labels, 1)
        ] or [(first, "", "", "", "", *([""] if with_text else []))]
    return rows


def _delimited(rows: Sequence[Sequence[object]], form: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter="," if form == "csv" else "\t", lineterminator="\n").writerows(rows)
    return out.getvalue()
