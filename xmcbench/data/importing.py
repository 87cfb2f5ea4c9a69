"""`xmcbench data import`: read a user's files and store them as a named data set.

HOME/imported/NAME/    the layout of `xmcbench.data.folders` with texts as jsonl, and meta.json
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from xmcbench.data.cache import content_hash
from xmcbench.data.catalogue import names
from xmcbench.data.folders import FILTERS, LABEL_TEXTS, SHORT, XMC_NAMES, read_folder, write_folder
from xmcbench.data.formats import with_filters, with_one_width
from xmcbench.data.home import imported
from xmcbench.data.label_space import label_space
from xmcbench.data.spec import Parsed, Split
from xmcbench.data.text import bow_words
from xmcbench.data.user_files import Reading, SplitFiles, SplitRows, read_label_texts, read_rows
from xmcbench.data.validate import validate
from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.files import lock_of, locked, replaced_folder, typed_json, write_json

FORMAT = 1  # version of meta.json
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
JAIN_MEAN = (0.55, 1.5)  # A, B for data sets that are neither Amazon nor Wikipedia: Jain et al. 2016, section 5
NO_FILES, DEFAULT_READING = SplitFiles(), Reading()


@dataclass(frozen=True)
class Plan:
    """What to import.

    Attributes
    ----------
    train, test, dev : the files of each split; without `test`, a share of the `train` rows becomes the test split.
    label_texts : one text per line, or `name<TAB>text`; see `xmcbench.data.label_space`.
    train_filter, test_filter : files of pairs `row label` to exclude from evaluation.
    reading : options for reading the files.
    test_share : share of the rows that becomes the test split if there are no test files. Rows with equal text,
        ignoring case and whitespace (or, without texts, with equal features), go to the same split.
    seed : seed of that split.
    propensity : (A, B) of Jain et al. 2016.
    """

    train: SplitFiles
    test: SplitFiles = NO_FILES
    dev: SplitFiles = NO_FILES
    label_texts: Path | None = None
    train_filter: Path | None = None
    test_filter: Path | None = None
    reading: Reading = DEFAULT_READING
    test_share: float = 0.2
    seed: int = 0
    propensity: tuple[float, float] = JAIN_MEAN

    def of_folder(self, folder: Path) -> Plan:
        """The plan with the files of a folder: npz or XMC text, texts, label texts, filters.

        In addition to the layout of `xmcbench.data.folders`, finds PECOS's tfidf-attnxml/X.trn.npz, and raw/trn_X.txt
        and raw/Y.txt of ELIAS. DataError if the folder has neither Y.trn.npz nor train.txt.
        """

        def first_existing(*names: str) -> Path | None:
            return next((folder / name for name in names if (folder / name).is_file()), None)

        def split_files(which: str) -> SplitFiles:
            xmc_text, short = first_existing(XMC_NAMES[which]), SHORT[which]
            features = first_existing(f"X.{short}.npz", f"tfidf-attnxml/X.{short}.npz") or xmc_text
            texts = first_existing(f"X.{short}.txt", f"raw/{short}_X.txt")
            return SplitFiles(texts, first_existing(f"Y.{short}.npz") or xmc_text, features)

        train = split_files("train")
        if train.labels is None:
            raise DataError(f"{folder}: neither Y.trn.npz nor train.txt in it", "Give the files one by one instead.")
        return dataclasses.replace(
            self,
            train=train,
            test=split_files("test"),
            dev=split_files("validation"),
            label_texts=first_existing(f"{LABEL_TEXTS}.txt", "raw/Y.txt"),
            train_filter=first_existing(FILTERS["train"]),
            test_filter=first_existing(FILTERS["test"]),
        )


class _Version(msgspec.Struct):
    format: int


class Imported(msgspec.Struct, frozen=True):
    """The content of an import's meta.json; `revision` is a prefix of its content hash, `views` has the default first.

    `counts` are those of `xmcbench.data.validate.counts`, `propensity` is (A, B) of Jain et al. 2016.
    """

    name: str
    revision: str
    views: tuple[str, ...]
    propensity: tuple[float, float]
    counts: Mapping[str, int | float]
    notes: tuple[str, ...]
    format: int = FORMAT

    @property
    def folder(self) -> Path:
        return imported() / self.name

    def view(self, name: str | None = None) -> str:
        """`name`, or the default view for None; UsageError if there is no such view."""
        if name is not None and name not in self.views:
            raise unknown(f"view of {self.name}", name, self.views)
        return name or self.views[0]

    def parse(self, view: str | None = None) -> Parsed:
        """Read the files: view `bow` has features, and texts if available; view `text` has only texts."""
        return read_folder(self.folder, with_features=self.view(view) == "bow")


def import_files(name: str, plan: Plan, *, replace: bool = False) -> Imported:
    """Read, check and store a user's files under `name`. On an error nothing is stored.

    Raises
    ------
    UsageError : an invalid name, or an existing one without `replace`.
    DataError : with file and line; or the home folder can't be written.
    """
    check_name(name, replace=replace)
    parsed, notes = read_plan(plan)
    labels = parsed.train.labels
    fewest = int(np.bincount(labels.indices, minlength=labels.shape[1]).min(initial=labels.shape[0]))
    if fewest + plan.propensity[1] <= 0:
        message = f"B of --propensity is {plan.propensity[1]:g}, and a label has {fewest} training rows"
        raise UsageError(message, "Their sum must be above 0 for every label: choose a larger B.")
    new = Imported(
        name=name,
        revision=content_hash(parsed).removeprefix("sha256:")[:12],
        views=("bow",) * (parsed.train.features is not None) + ("text",) * (parsed.train.texts is not None),
        propensity=plan.propensity,
        counts=validate(parsed, f"{name} (to be imported)"),
        notes=tuple(notes),
    )
    with locked(lock_of(new.folder)), replaced_folder(new.folder) as folder:
        write_folder(folder, parsed, texts="jsonl")
        write_json(folder / "meta.json", msgspec.to_builtins(new))
    return new


def check_name(name: str, *, replace: bool = False) -> None:
    """Raise UsageError for an invalid name, a name of the catalogue, or, without `replace`, of an existing import."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid name of a data set", "Lower case letters, digits, '.', '_' and '-'.")
    if name in names():
        raise UsageError(f"{name} is a data set of the catalogue", "Choose another name.")
    if (imported() / name).exists() and not replace:
        raise UsageError(f"{name} is imported already ({imported() / name})", "Another --name, or --replace.")


def imported_names() -> list[str]:
    """Sorted names of all imported data sets."""
    return sorted(path.parent.name for path in imported().glob("*/meta.json") if NAME.fullmatch(path.parent.name))


def find_imported(name: str) -> Imported:
    """The imported data set of that name; UsageError if there is none, DataError if its meta.json is damaged."""
    if name not in imported_names():
        raise unknown("imported data set", name, imported_names())
    path = imported() / name / "meta.json"
    damaged, hint = f"{path}: damaged", "Import the files again with --replace."
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{damaged} ({error})", hint) from error
    written_by = typed_json(text, _Version, damaged, hint).format
    if written_by != FORMAT:
        raise DataError(f"{path}: format {written_by}, this version reads {FORMAT}", "Import the files again.")
    return msgspec.structs.replace(typed_json(text, Imported, damaged, hint), name=name)


def read_plan(plan: Plan) -> tuple[Parsed, list[str]]:
    """(parsed data set, notes about decisions and corrections made while reading) of a plan's files."""
    split_files = {"train": plan.train, "test": plan.test, "validation": plan.dev}
    if not plan.train:
        raise UsageError("no training files", "Give --texts or --features, and --labels.")
    if not plan.test and (plan.test_filter or plan.train_filter):
        raise UsageError(
            "filter pairs need row numbers of a given split, but there are no test files", "Give the test files too."
        )
    rows_by_split = {which: read_rows(files, plan.reading) for which, files in split_files.items() if files}
    _give_one_width(rows_by_split, split_files, plan)
    labels = label_space(rows_by_split, plan.label_texts, plan.reading)
    notes = [
        f"{which} labels split at {rows.names.separator}"
        for which, rows in rows_by_split.items()
        if rows.names is not None and rows.names.separator
    ]
    if labels.rows_naming_twice:
        notes.append(f"{labels.rows_naming_twice} rows name a label twice; it counts once")
    if plan.label_texts is not None and (texts := labels.texts) is not None:
        empty = sum(not text.strip() for text in texts)
        notes.append(f"texts of {len(texts)} labels" + (f", {empty} of them empty" if empty else ""))
    splits = {name: Split(rows.features, rows.texts, labels.matrices[name]) for name, rows in rows_by_split.items()}
    if "test" not in splits:
        splits["train"], splits["test"] = split_rows(splits["train"], plan.test_share, plan.seed)
        notes.append(f"{plan.test_share:.0%} of the rows set aside for test by a hash of each row, seed {plan.seed}")
    splits = with_bow(splits, notes)
    parsed = Parsed(splits["train"], splits["test"], splits.get("validation"), labels.texts)
    one_based = "labels" in plan.reading.one_based
    return with_filters(parsed, plan.train_filter, plan.test_filter, one_based=one_based), notes


def _give_one_width(splits: Mapping[str, SplitRows], files: Mapping[str, SplitFiles], plan: Plan) -> None:
    """Widen matrices of files without a header to the widest of all splits, and labels to the number of their texts."""
    features = [(files[name].features, rows.features) for name, rows in splits.items() if rows.features is not None]
    with_one_width(features)
    labels = [
        (files[name].labels or files[name].features, rows.labels)
        for name, rows in splits.items()
        if rows.labels is not None
    ]
    texts = plan.label_texts if labels else None
    with_one_width(labels, 0 if texts is None else len(read_label_texts(texts, plan.reading)))


def with_bow(splits: dict[str, Split], notes: list[str]) -> dict[str, Split]:
    """The splits with tf-idf features added if they have only texts."""
    if any(split.features is not None or split.texts is None for split in splits.values()):
        return splits
    matrices = bow_words(*(list(split.texts or []) for split in splits.values()))
    notes.append("view bow made from the texts: word unigrams, sublinear tf-idf, fitted on the training texts")
    pairs = zip(splits.items(), matrices, strict=True)
    return {which: dataclasses.replace(split, features=matrix) for (which, split), matrix in pairs}


def split_rows(rows: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Split into (train, test), each in the original order, equal rows together; DataError if one would be empty."""
    if not 0 < share < 1:
        raise UsageError(f"--test-share {share} is not between 0 and 1")
    hash_limit = int(share * 2**64)
    hashes = (hashlib.sha256(f"{seed}/".encode() + key).digest()[:8] for key in _equality_keys(rows))
    in_test = np.array([int.from_bytes(first, "big") < hash_limit for first in hashes], bool)
    if not in_test.any() or in_test.all():
        side = "test" if not in_test.any() else "train"
        raise DataError(
            f"{len(in_test)} rows are too few to set {share:.0%} aside: {side} would be empty",
            "Give --test-texts and --test-labels, or another --test-share or --seed.",
        )
    return _select_rows(rows, np.flatnonzero(~in_test)), _select_rows(rows, np.flatnonzero(in_test))


def _equality_keys(rows: Split) -> list[bytes]:
    """One key per row; equal rows have equal keys. Key: case-folded words of the text, or else the features."""
    if rows.texts is not None:
        return [" ".join(text.casefold().split()).encode("utf-8", "replace") for text in rows.texts]
    matrix = rows.features
    assert matrix is not None
    row_starts = matrix.indptr.tolist()
    ids, values = matrix.indices.astype("<i8"), matrix.data.astype("<f4")
    return [ids[a:b].tobytes() + values[a:b].tobytes() for a, b in pairwise(row_starts)]


def _select_rows(rows: Split, row_ids: NDArray[np.int64]) -> Split:
    return Split(
        None if rows.features is None else rows.features[row_ids],
        None if rows.texts is None else [rows.texts[int(i)] for i in row_ids],
        rows.labels[row_ids],
    )
