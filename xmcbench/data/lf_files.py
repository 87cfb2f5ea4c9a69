"""A data set as the files of a label-feature (LF) data set of the XC repository, from which the catalogue reads those.

trn_X_Xf.txt trn_X_Y.txt tst_X_Xf.txt tst_X_Y.txt    features and labels in two-file XMC text, if there are features
trn.json.gz tst.json.gz lbl.json.gz                  a JSON object per row or label: uid, title, content, target_ind,
                                                     target_rel, if rows and labels have texts
filter_labels_train.txt filter_labels_test.txt       pairs `row label` to exclude from evaluation, perhaps none

A text becomes the title, and the content is empty.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from xmcbench.data.formats import ROWS_AT_A_TIME, write_filter, write_sparse
from xmcbench.data.spec import Parsed, Split
from xmcbench.errors import DataError
from xmcbench.files import atomic

SPLITS = {"train": "trn", "test": "tst"}  # LF data sets have no development split
FILTERS = {"train": "filter_labels_train.txt", "test": "filter_labels_test.txt"}
LABELS = "lbl.json.gz"
NAMES = (
    *(f"{short}_{end}" for short in SPLITS.values() for end in ("X_Xf.txt", "X_Y.txt")),
    *(f"{short}.json.gz" for short in SPLITS.values()),
    LABELS,
)


def write_lf(folder: Path, data: Parsed) -> list[Path]:
    """Write the files into an existing folder; returns the paths written.

    DataError if there are neither features nor texts of rows and labels to write, or the disk is full.
    """
    with_texts = data.label_texts is not None and data.train.texts is not None and data.test.texts is not None
    if data.train.features is None and not with_texts:
        raise DataError("LF files need features, or texts of rows and labels", "Export with --format npz.")
    written: list[Path] = []
    for which, short in SPLITS.items():
        split = data.splits[which]
        if split.features is not None:
            for end, matrix in (("X_Xf.txt", split.features), ("X_Y.txt", split.labels)):
                written.append(folder / f"{short}_{end}")
                write_sparse(written[-1], matrix)
        if with_texts and split.texts is not None:
            written.append(_write_json(folder / f"{short}.json.gz", _rows(short, split, split.texts)))
    if with_texts and data.label_texts is not None:
        labels = ({"uid": f"lbl{i}", "title": text, "content": ""} for i, text in enumerate(data.label_texts))
        written.append(_write_json(folder / LABELS, labels))
    pairs = {"train": data.train_filter, "test": data.test_filter}
    for which, name in FILTERS.items():
        written.append(folder / name)
        write_filter(written[-1], pairs[which])
    return written


def _rows(short: str, split: Split, texts: Sequence[str]) -> Iterator[dict[str, object]]:
    n = split.labels.shape[0]
    all_texts = enumerate(texts)
    for start in range(0, n, ROWS_AT_A_TIME):
        block = split.labels[start : start + ROWS_AT_A_TIME]
        ids = block.indices.tolist()
        for first, last in pairwise(block.indptr.tolist()):
            row, text = next(all_texts)
            labels, weights = ids[first:last], [1.0] * (last - first)
            yield {"uid": f"{short}{row}", "title": text, "content": "", "target_ind": labels, "target_rel": weights}


def _write_json(path: Path, values: Iterable[Mapping[str, object]]) -> Path:
    with atomic(path) as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
        for value in values:
            packed.write(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    return path
