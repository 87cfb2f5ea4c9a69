"""A data set as a folder of plain files in the layout of PECOS and ELIAS, used by exports and imports.

X.trn.npz Y.trn.npz X.tst.npz Y.tst.npz    features and labels, scipy CSR; X/Y.dev.npz for a development split
X.trn.txt X.tst.txt X.dev.txt              raw texts, one per line
output-items.txt                           label texts, one per line
X.*.jsonl output-items.jsonl               texts unchanged: {"text": …} per line if a text doesn't fit into a line of
                                           the .txt next to it; in imports a JSON string per line, and no .txt
ids.trn.jsonl ids.tst.jsonl ids.dev.jsonl  ids of the rows, a JSON string per line, if the data set has ids
label-names.jsonl                          short names of the labels, the same, if labels have them next to texts
filter_labels_train.txt, …_test.txt        pairs `row label` to exclude from evaluation
train.txt test.txt dev.txt                 instead of npz: one-file XMC text

Or the files of `lf_files`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

import msgspec

from xmcbench.data.documents import json_lines, read_lines
from xmcbench.data.formats import read_labels, read_matrix, with_filters, write_filter, write_npz_csr, write_xmc
from xmcbench.data.lf_files import FILTERS, write_lf
from xmcbench.data.lf_files import NAMES as LF_NAMES
from xmcbench.data.spec import Dataset, Parsed, Split
from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.files import atomic, temporary_folder
from xmcbench.inputs import typed_json

FORMATS = ("npz", "xmc", "lf")
SHORT = {"train": "trn", "test": "tst", "validation": "dev"}
XMC_NAMES = {"train": "train.txt", "test": "test.txt", "validation": "dev.txt"}
LABEL_TEXTS, LABEL_NAMES = "output-items", "label-names"
# One of these, which have the training labels, is in every folder; of two, the first has all that the second has.
MARKS = ("Y.trn.npz", "train.txt", "trn.json.gz", "trn_X_Y.txt")
BOM = "\ufeff"  # readers take it off the first line of a file
NAMES = frozenset(
    [f"{kind}.{short}.{end}" for kind in "XY" for short in SHORT.values() for end in ("npz", "txt", "jsonl")]
    + [f"ids.{short}.jsonl" for short in SHORT.values()]
    + [*XMC_NAMES.values(), *FILTERS.values(), f"{LABEL_TEXTS}.txt", f"{LABEL_TEXTS}.jsonl", f"{LABEL_NAMES}.jsonl"]
    + ["meta.json", *LF_NAMES]
)


class _Text(msgspec.Struct):
    """A line of an exported .jsonl."""

    text: str


def write_folder(folder: Path, data: Parsed, *, matrices: str = "npz", texts: str = "txt") -> list[Path]:
    """Write a data set's files into an existing folder; returns the paths written.

    Parameters
    ----------
    matrices : one of `FORMATS`; with "lf" the files are those of `lf_files`.
    texts : "txt", where line ends within a text become spaces and .jsonl next to it has the unchanged texts, or
        "jsonl": JSON strings alone.

    Raises
    ------
    DataError : the disk is full, the folder is read-only, or `matrices` is "xmc" and the view has no features.
    """
    if matrices == "lf":
        return write_lf(folder, data)
    written: list[Path] = []
    for which, split in data.splits.items():
        written += _write_split(folder, which, split, matrices, texts)
    if data.label_texts is not None:
        written += _write_texts(folder / LABEL_TEXTS, data.label_texts, texts)
    if data.label_names is not None:
        written += _write_texts(folder / LABEL_NAMES, data.label_names, "jsonl")
    for which, pairs in (("train", data.train_filter), ("test", data.test_filter)):
        if len(pairs):
            written.append(folder / FILTERS[which])
            write_filter(written[-1], pairs)
    return written


def _write_split(folder: Path, which: str, split: Split, matrices: str, texts: str) -> list[Path]:
    written = []
    if matrices == "xmc":
        if split.features is None:
            raise DataError("XMC text needs features, and this view has none", "Export the view bow, or --format npz.")
        written.append(folder / XMC_NAMES[which])
        write_xmc(written[-1], split.features, split.labels)
    else:
        for kind, matrix in (("X", split.features), ("Y", split.labels)):
            if matrix is not None:
                written.append(folder / f"{kind}.{SHORT[which]}.npz")
                write_npz_csr(written[-1], matrix)
    if split.texts is not None:
        written += _write_texts(folder / f"X.{SHORT[which]}", split.texts, texts)
    if split.ids is not None:
        written += _write_texts(folder / f"ids.{SHORT[which]}", split.ids, "jsonl")
    return written


def _write_texts(stem: Path, texts: Sequence[str], kind: str) -> list[Path]:
    if kind == "jsonl":
        return [_write_lines(stem, "jsonl", map(_json, texts))]
    written = [_write_lines(stem, "txt", map(one_line, texts))]
    if any(one_line(text) != text for text in texts) or (len(texts) and texts[0].startswith(BOM)):
        written.append(_write_lines(stem, "jsonl", (_json({"text": text}) for text in texts)))
    return written


def _write_lines(stem: Path, kind: str, lines: Iterable[str]) -> Path:
    path = stem.with_name(f"{stem.name}.{kind}")
    with atomic(path) as file:
        file.writelines(line.encode("utf-8", "replace") + b"\n" for line in lines)
    return path


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def one_line(text: str) -> str:
    """The text with a space for each line end, including those that only some programs take for one, as U+2028."""
    return " ".join(text.splitlines())


def check_same_texts(stem: Path) -> None:
    """DataError, with the line, if STEM.txt exists and is not what an export writes next to STEM.jsonl."""
    txt, jsonl = (stem.with_name(f"{stem.name}.{kind}") for kind in ("txt", "jsonl"))
    if not txt.exists():
        return
    hint = f"Both hold the same texts, {jsonl.name} with their line ends. Remove the file that you don't want."
    texts = (item.text for _, item in json_lines(jsonl, _Text))
    for number, (line, text) in enumerate(zip_longest(read_lines(txt), texts), 1):
        if line is None or text is None:
            raise DataError(f"{txt if line is None else jsonl} ends before line {number} of the other", hint)
        if line.removeprefix(BOM) != one_line(text).removeprefix(BOM):
            raise DataError(f"{txt} and {jsonl.name} differ in line {number}", hint)


def read_folder(folder: Path, *, with_features: bool = True) -> Parsed:
    """Read a folder written by `write_folder` with `matrices="npz"`, or PECOS's files of the same names.

    DataError if a file is missing or damaged, or has another number of rows or labels than the others.
    """
    train, test = _read_split(folder, "train", with_features), _read_split(folder, "test", with_features)
    validation = _read_split(folder, "validation", with_features) if (folder / "Y.dev.npz").exists() else None
    n_labels = int(train.labels.shape[1])
    texts, names = (read_texts(folder / stem, n_labels) for stem in (LABEL_TEXTS, LABEL_NAMES))
    parsed = Parsed(train, test, validation, texts, label_names=names)
    filters = [path if (path := folder / name).exists() else None for name in FILTERS.values()]
    return with_filters(parsed, *filters)


def _read_split(folder: Path, which: str, with_features: bool) -> Split:
    short = SHORT[which]
    labels = read_labels(folder / f"Y.{short}.npz")
    features = folder / f"X.{short}.npz"
    return Split(
        read_matrix(features) if with_features and features.exists() else None,
        read_texts(folder / f"X.{short}", int(labels.shape[0])),
        labels,
        read_texts(folder / f"ids.{short}", int(labels.shape[0])),
    )


def read_texts(stem: Path, expected: int) -> list[str] | None:
    """The `expected` texts of STEM.jsonl, else of STEM.txt; None if neither file exists."""
    txt, jsonl = (stem.with_name(f"{stem.name}.{kind}") for kind in ("txt", "jsonl"))
    if not jsonl.exists():
        return read_lines(txt, expected) if txt.exists() else None
    lines = enumerate(read_lines(jsonl, expected), 1)
    return [typed_json(line, str, f"{jsonl}, line {number}", "One JSON string per line.") for number, line in lines]


def export(data: Dataset, to: Path, *, matrices: str = "npz", replace: bool = False) -> list[Path]:
    """Write `data` into folder `to` as `write_folder` does; returns the files written.

    All files are written before the first one is at its place. With `replace`, files with names of the layout are
    replaced, or removed if this data set has no such file; other files in the folder stay.

    Raises
    ------
    DataError : the folder is not empty and `replace` is False, the folder can't be written, or the disk is full.
    UsageError : unknown format, or `to` is a file.
    """
    if matrices not in FORMATS:
        raise unknown("format", matrices, FORMATS)
    if to.exists() and not to.is_dir():
        raise UsageError(f"{to} is a file", "Give --to a folder.")
    if not to.exists():
        with temporary_folder(to.parent, to.name) as work:
            written = write_folder(work, data, matrices=matrices)
            work.chmod(0o755)
            work.rename(to)
        return [to / path.name for path in written]
    with temporary_folder(to, "export") as work:
        existing = sorted(path.name for path in to.iterdir() if path != work)
        if existing and not replace:
            examples = ", ".join(existing[:5]) + (", …" if len(existing) > 5 else "")
            hint = "Give an empty folder, or --replace to overwrite its files."
            raise DataError(f"{to} is not empty ({examples})", hint)
        return _moved(write_folder(work, data, matrices=matrices), to)


def _moved(written: list[Path], to: Path) -> list[Path]:
    """Move files into `to` in place of all others of the layout.

    The training labels, by which a folder is recognised, go first and come last: `data import --from` refuses a folder
    in which a killed process left a mixture.
    """
    names = [path.name for path in written]
    for name in [*MARKS, *NAMES.difference(names, MARKS)]:
        (to / name).unlink(missing_ok=True)
    marks_last = {name: place for place, name in enumerate(MARKS, 1)}
    for path in sorted(written, key=lambda path: marks_last.get(path.name, 0)):
        path.replace(to / path.name)
    return [to / name for name in names]
