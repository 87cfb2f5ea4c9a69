"""Read predictions from JSON: one row per line, or one array of all rows.

A row is [[id, score], …], {"id": score, …}, or {"ids": [id, …], "scores": [score, …]}.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmcbench import limits
from xmcbench.data.documents import lines_of
from xmcbench.data.reading import FIRST, opened
from xmcbench.errors import DataError
from xmcbench.inputs import json_value
from xmcbench.topk import PAD

ROW = 'A row is [[id, score], …], {"id": score, …} or {"ids": [id, …], "scores": [score, …]}; one row per line.'
LARGEST = {int: 2**63 - 1, float: sys.float_info.max}  # whole scores are int64


def is_json(path: Path) -> bool:
    """Whether a file begins as JSON does, with a bracket."""
    with opened(path) as file:
        return file.read(FIRST).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{")


def read_json(path: Path, n_labels: int, *, one_based: bool = False) -> sp.csr_matrix:
    """(n, n_labels) CSR of the predictions, float64, or int64 if all scores are whole numbers; ids −1 are left out.

    DataError names the line, or the row from 0 in one array of rows, that is not JSON, is no row, has a label outside
    of 0 to n_labels − 1 (`one_based`: 1 to n_labels), or has a score that is no finite number.
    """
    base = int(one_based)
    ids: list[int] = []
    scores: list[int | float] = []
    ends = [0]
    for where, row in _rows(path):
        for label, score in _pairs(where, row):
            if label == PAD:
                continue
            if not base <= label < n_labels + base:
                valid = f"valid are {base} to {n_labels - 1 + base}"
                raise DataError(f"{where}: label {label} is outside, {valid}", "Only id −1 marks padding.")
            ids.append(label - base)
            scores.append(score)
        ends.append(len(ids))
    data = np.array(scores, np.int64 if scores and all(type(score) is int for score in scores) else np.float64)
    return sp.csr_matrix((data, np.array(ids, np.int32), np.array(ends)), shape=(len(ends) - 1, n_labels))


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (where it is, row) of JSON in which each object is a tuple of its (key, value) pairs."""
    lines = [(number, line) for number, line in lines_of(path) if line.strip()]
    whole: Any = None
    if len(lines) == 1 or (lines and not _is_value(lines[0][1])):  # one array, perhaps over several lines
        if (size := sum(len(line) for _, line in lines)) > limits.WHOLE_TEXT:
            raise DataError(f"{path}: {size:,} characters, at most {limits.WHOLE_TEXT:,} are read at once", ROW)
        whole = _decode("\n".join(line for _, line in lines), str(path))
    if type(whole) is list and not _is_row(whole):
        yield from ((f"{path}, row {i}", row) for i, row in enumerate(whole))
    else:
        for number, line in lines:
            yield f"{path}, line {number}", _decode(line, f"{path}, line {number}")


def _is_value(text: str) -> bool:
    """Whether a line is JSON alone."""
    try:
        json_value(text, "")
    except DataError:
        return False
    return True


def _decode(text: str, where: str) -> Any:
    return json_value(text, where, ROW, object_pairs_hook=tuple)  # a dict would keep only the last of equal keys


def _is_row(value: Any) -> bool:
    """Whether a list is one row of pairs, and not a list of rows."""
    return all(type(pair) is list and len(pair) == 2 and not isinstance(pair[0], list | tuple) for pair in value)


def _pairs(where: str, row: Any) -> Iterator[tuple[int, int | float]]:
    """Yield the (label id, score) pairs of a row."""
    pairs: Sequence[Any] = row if type(row) in (list, tuple) else [None]
    if type(row) is tuple and {key for key, _ in row} == {"ids", "scores"}:
        ids, scores = dict(row)["ids"], dict(row)["scores"]
        if type(ids) is not list or type(scores) is not list or len(ids) != len(scores):
            raise DataError(f"{where}: ids and scores must be two lists of one length", ROW)
        pairs = list(zip(ids, scores, strict=True))
    if (type(row) is tuple and [key for key, _ in row] == ["ids"]) or (pairs and all(type(x) is int for x in pairs)):
        raise DataError(f"{where}: ids without scores", ROW)
    for pair in pairs:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise DataError(f"{where}: {str(pair if row is pairs else row)[:60]} is no pair of id and score", ROW)
        label, score = pair
        if type(row) is tuple and isinstance(label, str) and label.removeprefix("-").isdecimal():
            label = int(label[:30])  # of a longer one, enough to be outside
        if type(label) is not int:
            raise DataError(f"{where}: label {label!r} is no id", "Ids are whole numbers, as in the truth. " + ROW)
        if type(score) not in (int, float) or abs(score) > LARGEST[type(score)] or math.isnan(score):
            raise DataError(f"{where}: label {label} has the score {score!r}, which is no finite number", ROW)
        yield label, score
