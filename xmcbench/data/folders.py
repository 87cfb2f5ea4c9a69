"""A data set as a folder of plain files in the layout of PECOS and ELIAS, used by exports and imports.

X.trn.npz Y.trn.npz X.tst.npz Y.tst.npz    features and labels, scipy CSR; X/Y.dev.npz for a development split
X.trn.txt X.tst.txt X.dev.txt              raw texts, one per line; or X.*.jsonl, one JSON string per line
output-items.txt                           label texts, one per line; or output-items.jsonl
filter_labels_train.txt, …_test.txt        pairs `row label` to exclude from evaluation
train.txt test.txt dev.txt                 instead of npz: one-file XMC text
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcbench.errors import DataError
from xmcbench.files import TEMPORARY, atomic, cannot_write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xmcbench.data.recipes import Parsed
    from xmcbench.data.spec import Dataset, Split

SHORT = {"train": "trn", "test": "tst", "validation": "dev"}
XMC_NAMES = {"train": "train.txt", "test": "test.txt", "validation": "dev.txt"}
FILTERS = {"train": "filter_labels_train.txt", "test": "filter_labels_test.txt"}
LABEL_TEXTS = "output-items"
NAMES = frozenset(
    [f"{kind}.{short}.{end}" for kind in "XY" for short in SHORT.values() for end in ("npz", "txt", "jsonl")]
    + [*XMC_NAMES.values(), *FILTERS.values(), f"{LABEL_TEXTS}.txt", f"{LABEL_TEXTS}.jsonl", "meta.json"]
)


def write_folder(folder: Path, data: Dataset | Parsed, *, matrices: str = "npz", texts: str = "txt") -> list[Path]:
    """Write a data set's files into an existing folder; returns the paths written.

    Parameters
    ----------
    matrices : "npz" or "xmc".
    texts : "txt", where line ends within a text become spaces, or "jsonl", which keeps texts unchanged.

    Raises
    ------
    DataError : the disk is full, the folder is read-only, or `matrices` is "xmc" and the view has no features.
    """
    written: list[Path] = []
    splits = {"train": data.train, "test": data.test, "validation": data.validation}
    for which, split in splits.items():
        if split is not None:
            written += _write_split(folder, which, split, matrices, texts)
    if data.label_texts is not None:
        written.append(_write_texts(folder / LABEL_TEXTS, data.label_texts, texts))
    for which, pairs in (("train", data.train_filter), ("test", data.test_filter)):
        if len(pairs):
            written.append(_write_filter(folder / FILTERS[which], pairs))
    return written


def _write_split(folder: Path, which: str, split: Split, matrices: str, texts: str) -> list[Path]:
    from xmcbench.data.writing import write_npz_csr, write_xmc

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
        written.append(_write_texts(folder / f"X.{SHORT[which]}", split.texts, texts))
    return written


def _write_texts(stem: Path, texts: Sequence[str], kind: str) -> Path:
    path = stem.with_name(f"{stem.name}.{kind}")
    with atomic(path) as file:
        for text in texts:
            line = json.dumps(text, ensure_ascii=False) if kind == "jsonl" else " ".join(text.splitlines())
            file.write(line.encode("utf-8", "replace") + b"\n")
    return path


def _write_filter(path: Path, pairs: NDArray[np.int64]) -> Path:
    with atomic(path) as file:
        file.write("".join(f"{row} {label}\n" for row, label in pairs.tolist()).encode())
    return path


def read_folder(folder: Path, *, with_features: bool = True) -> Parsed:
    """Read a folder written by `write_folder` with `matrices="npz"`, or PECOS's files of the same names.

    Raises
    ------
    DataError : a file is missing or damaged, or its number of rows or labels differs from the others.
    """
    from xmcbench.data.formats import read_filter
    from xmcbench.data.recipes import Parsed, no_pairs

    train, test = _read_split(folder, "train", with_features), _read_split(folder, "test", with_features)
    has_validation = (folder / "Y.dev.npz").exists()
    pairs = {
        which: read_filter(folder / name, *split.labels.shape) if (folder / name).exists() else no_pairs()
        for (which, name), split in zip(FILTERS.items(), (train, test), strict=True)
    }
    return Parsed(
        train,
        test,
        _read_split(folder, "validation", with_features) if has_validation else None,
        read_texts(folder / LABEL_TEXTS, int(train.labels.shape[1])),
        pairs["train"],
        pairs["test"],
    )


def _read_split(folder: Path, which: str, with_features: bool) -> Split:
    from xmcbench.data.formats import read_labels, read_matrix
    from xmcbench.data.spec import Split

    short = SHORT[which]
    labels = read_labels(folder / f"Y.{short}.npz")
    features = folder / f"X.{short}.npz"
    return Split(
        read_matrix(features) if with_features and features.exists() else None,
        read_texts(folder / f"X.{short}", int(labels.shape[0])),
        labels,
    )


def read_texts(stem: Path, expected: int) -> list[str] | None:
    """The `expected` texts of STEM.jsonl, else of STEM.txt; None if neither file exists."""
    from xmcbench.data.documents import read_lines

    txt, jsonl = (stem.with_name(f"{stem.name}.{kind}") for kind in ("txt", "jsonl"))
    if not jsonl.exists():
        return read_lines(txt, expected) if txt.exists() else None
    texts: list[str] = []
    for number, line in enumerate(read_lines(jsonl, expected), 1):
        try:
            text = json.loads(line)
        except ValueError as error:
            raise DataError(f"{jsonl}, line {number}: not JSON ({error})", "One JSON string per line.") from error
        if not isinstance(text, str):
            raise DataError(f"{jsonl}, line {number}: a JSON {type(text).__name__}, not a string")
        texts.append(text)
    return texts


def plan_of(folder: Path) -> dict[str, Any]:
    """The files of a folder as fields of `xmcbench.data.importing.Plan`: npz or XMC text, texts, label texts, filters.

    In addition to the names above, finds PECOS's tfidf-attnxml/X.trn.npz, and raw/trn_X.txt and raw/Y.txt of ELIAS.

    Raises
    ------
    DataError : the folder has neither Y.trn.npz nor train.txt.
    """
    from xmcbench.data.user_files import SplitFiles

    def first_existing(*names: str) -> Path | None:
        return next((folder / name for name in names if (folder / name).is_file()), None)

    plan: dict[str, Any] = {}
    for field, which in (("train", "train"), ("test", "test"), ("dev", "validation")):
        xmc_text, short = first_existing(XMC_NAMES[which]), SHORT[which]
        features = first_existing(f"X.{short}.npz", f"tfidf-attnxml/X.{short}.npz") or xmc_text
        texts = first_existing(f"X.{short}.txt", f"raw/{short}_X.txt")
        plan[field] = SplitFiles(texts, first_existing(f"Y.{short}.npz") or xmc_text, features)
    if plan["train"].labels is None:
        raise DataError(f"{folder}: neither Y.trn.npz nor train.txt in it", "Give the files one by one instead.")
    plan["label_texts"] = first_existing(f"{LABEL_TEXTS}.txt", "raw/Y.txt")
    plan["train_filter"], plan["test_filter"] = first_existing(FILTERS["train"]), first_existing(FILTERS["test"])
    return plan


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder next to `target` that replaces `target` on success and is removed on any error.

    A lock serialises processes. Folders of killed processes are removed, or restored if they were the old `target`.

    Raises
    ------
    DataError : the parent folder can't be written or the disk is full.
    """
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.parent / f".{target.name}.lock")
        lock.acquire()
    except OSError as error:
        raise cannot_write(target, error) from error
    prefix = f"{TEMPORARY}{target.name}-"
    try:
        _sweep(target, prefix)
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        yield work
        work.chmod(0o755)
        if target.exists():  # move it away first, since `rename` cannot replace a non-empty folder
            target.rename(work.with_name(work.name + "-old"))
        work.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        with suppress(OSError):
            _sweep(target, prefix)
        lock.release()


def _sweep(target: Path, prefix: str) -> None:
    """Remove temporary folders of `target`, but restore the old `target` if no new one replaced it."""
    leftovers = sorted(path for path in target.parent.iterdir() if path.name.startswith(prefix))
    for path in leftovers:
        if path.name.endswith("-old") and not target.exists():
            path.rename(target)
        else:
            shutil.rmtree(path, ignore_errors=True)
