"""The layout of PECOS and ELIAS: X and Y as npz, texts and label texts one per line."""

from __future__ import annotations

from xmcbench.data.formats import read_labels, read_lines, read_matrix
from xmcbench.data.recipes import Files, Options, Parsed
from xmcbench.data.spec import Split
from xmcbench.errors import DataError


def pecos(files: Files, view: str, options: Options) -> Parsed:
    """Roles `{train,test}_{features,labels,texts}`, `label_texts` (output-items.txt)."""
    train, test = _split(files, "train", view), _split(files, "test", view)
    if train.labels.shape[1] != test.labels.shape[1]:
        raise DataError(
            f"{files['train_labels']}: {train.labels.shape[1]} labels, {files['test_labels']}: {test.labels.shape[1]}",
            "The two files belong to different data sets or versions.",
        )
    return Parsed(train, test, label_texts=read_lines(files["label_texts"], train.labels.shape[1]))


def _split(files: Files, which: str, view: str) -> Split:
    labels = read_labels(files[f"{which}_labels"])
    texts = read_lines(files[f"{which}_texts"], labels.shape[0]) if f"{which}_texts" in files else None
    features = read_matrix(files[f"{which}_features"]) if view == "bow" else None
    return Split(features, texts, labels)
