"""`xmcbench data import`: read a user's files and store them as a named data set (`xmcbench.data.imported`)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from xmcbench.data.cache import content_hash
from xmcbench.data.changes import changes, feature_keys, name_changes
from xmcbench.data.characters import has_unspaced
from xmcbench.data.file_forms import kind_of
from xmcbench.data.folders import LABEL_NAMES, LABEL_TEXTS, SHORT, XMC_NAMES, check_same_texts, read_texts
from xmcbench.data.formats import with_filters, with_one_width
from xmcbench.data.home import changing, imported, reading, sweep_home
from xmcbench.data.imported import (
    BOW_NOTE,
    Imported,
    check_files,
    check_name,
    find_imported,
    imported_names,
    store,
    version,
)
from xmcbench.data.label_cells import CellRules
from xmcbench.data.label_space import label_space
from xmcbench.data.lf_files import FILTERS, LABELS
from xmcbench.data.spec import Parsed, Split
from xmcbench.data.table_columns import Reading
from xmcbench.data.text import bow_any_script
from xmcbench.data.user_files import SplitFiles, SplitRows, read_label_texts, read_splits
from xmcbench.data.validate import validate
from xmcbench.data.vectorizer import Vectorizer
from xmcbench.errors import DataError, UsageError, counted
from xmcbench.files import replaced_folder

JAIN_MEAN = (0.55, 1.5)  # A, B for data sets that are neither Amazon nor Wikipedia: Jain et al. 2016, section 5
NO_FILES, DEFAULT_READING = SplitFiles(), Reading()


@dataclass(frozen=True)
class Plan:
    """What to import.

    Attributes
    ----------
    train, test, dev : the files of each split; without `test`, a share of the `train` rows becomes the test split.
    label_texts : one text per line, or `name<TAB>text`; see `xmcbench.data.label_space`.
    label_names : short names of labels, a JSON string per line, as exports write them.
    train_filter, test_filter : files of pairs `row label` to exclude from evaluation.
    reading : options for reading the files.
    test_share : share of the rows that becomes the test split if there are no test files. Rows with equal text,
        ignoring case and whitespace (or, without texts, with equal features), go to the same split.
    seed : seed of that split.
    propensity : (A, B) of Jain et al. 2016.
    unread : names of files of a folder that look like parts of a data set, but are not read.
    """

    train: SplitFiles
    test: SplitFiles = NO_FILES
    dev: SplitFiles = NO_FILES
    label_texts: Path | None = None
    label_names: Path | None = None
    train_filter: Path | None = None
    test_filter: Path | None = None
    reading: Reading = DEFAULT_READING
    test_share: float = 0.2
    seed: int = 0
    propensity: tuple[float, float] = JAIN_MEAN
    unread: tuple[str, ...] = ()

    def of_folder(self, folder: Path) -> Plan:
        """The plan with the files of a folder: npz or XMC text, texts, label texts, filters.

        In addition to the layout of `xmcbench.data.folders`, finds PECOS's tfidf-attnxml/X.trn.npz, and raw/trn_X.txt
        and raw/Y.txt of ELIAS. Where texts are in a .jsonl and in a .txt, the .jsonl is read. Without labels in this
        layout, it takes the files of `xmcbench.data.lf_files`.

        DataError if the folder has labels in neither layout, or a .jsonl and a .txt hold other texts, or it is the
        stored form of an import.
        """
        if folder.resolve().parent == imported().resolve():
            hint = f"Write its files first: `xmcbench data export {folder.name} --to FOLDER`; then give that folder."
            raise DataError(f"{folder} is the imported data set {folder.name} itself", hint)

        def first_existing(*names: str) -> Path | None:
            return next((folder / name for name in names if (folder / name).is_file()), None)

        def exact_texts(stem: str, raw: str) -> Path | None:
            if (folder / f"{stem}.jsonl").is_file():
                check_same_texts(folder / stem)
            return first_existing(f"{stem}.jsonl", f"{stem}.txt", raw)

        def split_files(which: str) -> SplitFiles:
            xmc_text, short = first_existing(XMC_NAMES[which]), SHORT[which]
            features = first_existing(f"X.{short}.npz", f"tfidf-attnxml/X.{short}.npz") or xmc_text
            texts = exact_texts(f"X.{short}", f"raw/{short}_X.txt")
            labels = first_existing(f"Y.{short}.npz") or xmc_text
            return SplitFiles(texts, labels, features, first_existing(f"ids.{short}.jsonl"))

        train = split_files("train")
        if train.labels is None:
            return self._of_lf_folder(folder)
        plan = dataclasses.replace(
            self,
            train=train,
            test=split_files("test"),
            dev=split_files("validation"),
            label_texts=exact_texts(LABEL_TEXTS, "raw/Y.txt"),
            label_names=first_existing(f"{LABEL_NAMES}.jsonl"),
            train_filter=first_existing(FILTERS["train"]),
            test_filter=first_existing(FILTERS["test"]),
            # Programs wrote these files, and "text" is the key in an exported .jsonl.
            reading=dataclasses.replace(self.reading, text_column="text", cells=CellRules(literal=True)),
        )
        used = {plan.label_texts, plan.train_filter, plan.test_filter}
        used |= {path for files in (plan.train, plan.test, plan.dev) for path in dataclasses.astuple(files)}
        unread = (path for path in folder.glob("[XY].*") if not used & {path, path.with_suffix(".jsonl")})
        return dataclasses.replace(plan, unread=tuple(sorted(path.name for path in unread)))

    def _of_lf_folder(self, folder: Path) -> Plan:
        """The plan with the files of `xmcbench.data.lf_files`; labels are in those of the rows if in no matrix."""

        def existing(name: str) -> Path | None:
            return path if (path := folder / name).is_file() else None

        def split_files(short: str) -> SplitFiles:
            rows = existing(f"{short}.json.gz")
            return SplitFiles(rows, existing(f"{short}_X_Y.txt"), existing(f"{short}_X_Xf.txt"))

        train = split_files("trn")
        if train.labels is None and train.texts is None:
            problem = f"{folder}: none of Y.trn.npz, train.txt, trn_X_Y.txt and trn.json.gz is in it"
            raise DataError(problem, "Give the files one by one instead.")
        reading = dataclasses.replace(self.reading, cells=CellRules(literal=True))
        if train.texts is not None:
            reading = dataclasses.replace(reading, text_column="title,content")
        if train.labels is None:
            reading = dataclasses.replace(reading, labels_column="target_ind")
        return dataclasses.replace(
            self,
            train=train,
            test=split_files("tst"),
            label_texts=existing(LABELS),
            train_filter=existing(FILTERS["train"]),
            test_filter=existing(FILTERS["test"]),
            reading=reading,
        )


def import_files(name: str, plan: Plan, *, replace: bool = False) -> Imported:
    """Read, check and store a user's files under `name`. On an error nothing is stored.

    Raises
    ------
    UsageError : an invalid name, or an existing one without `replace`.
    DataError : with file and line; another process imported or removed `name` meanwhile; the home folder can't be
        written; or it has an import of that name and no locks.
    """
    check_name(name, replace=replace)
    earlier = version(name)
    if earlier is not None:
        with reading(name, must=True):  # refuses a file system without locks before the work
            earlier = version(name)
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
        text_column=plan.reading.text_column if plan.train.texts and kind_of(plan.train.texts) != "lines" else "",
    )
    new = msgspec.structs.replace(new, changes=_changes(new, parsed))
    sweep_home()
    with ExitStack() as held:
        with replaced_folder(new.folder) as folder:
            store(folder, new, parsed)
            held.enter_context(changing(name, must=earlier is not None))  # until the folder is in its place
            if version(name) != earlier:
                hint = (
                    f"This import is not stored. See `xmcbench info {name}`; repeat it with --replace or another name."
                )
                raise DataError(f"{name} was imported or removed by another process meanwhile", hint)
        return find_imported(name)


def _changes(new: Imported, parsed: Parsed) -> tuple[str, ...]:
    """What differs from the import of the same name that is stored now; empty if there is none."""
    if new.name not in imported_names():
        return ()
    try:
        with reading(new.name):
            old = find_imported(new.name)
            check_files(old)
            old_parsed = old.parse()
    except DataError as error:
        return (f"the earlier import can't be compared, since it is damaged: {error.message}",)
    lines = []
    if old.propensity != new.propensity:
        lines.append(f"propensity A, B {old.propensity} → {new.propensity}")
    lines += name_changes(old_parsed, parsed)
    if old.revision == new.revision:
        return (f"the same rows and labels as before, revision {old.revision}", *lines)
    belong = f"earlier runs, models and predictions belong to revision {old.revision}"
    return (f"revision {old.revision} → {new.revision}; {belong}", *lines, *changes(old_parsed, parsed))


def read_plan(plan: Plan) -> tuple[Parsed, list[str]]:
    """(parsed data set, notes about decisions and corrections made while reading) of a plan's files."""
    split_files = {"train": plan.train, "test": plan.test, "validation": plan.dev}
    if not plan.train:
        raise UsageError("no training files", "Give --texts or --features, and --labels.")
    if not plan.test and (plan.test_filter or plan.train_filter):
        raise UsageError(
            "filter pairs need row numbers of a given split, but there are no test files", "Give the test files too."
        )
    if plan.test and (plan.test_share, plan.seed) != (Plan.test_share, Plan.seed):
        raise UsageError("--test-share and --seed choose test rows, but there are test files", "Leave them out.")
    given = {which: files for which, files in split_files.items() if files}
    rows_by_split, notes = read_splits(given, plan.reading, plan.label_texts)
    _give_one_width(rows_by_split, split_files, plan)
    labels = label_space(rows_by_split, plan.label_texts, plan.reading)
    for which, rows in rows_by_split.items():
        if empty := sum(not text.strip() for text in rows.texts or ()):
            notes.append(f"{counted(empty, f'empty {which} text')}")
    notes += labels.notes
    notes += [f"not read: {', '.join(plan.unread)}"] if plan.unread else []
    splits = {
        name: Split(rows.features, rows.texts, labels.matrices[name], rows.ids) for name, rows in rows_by_split.items()
    }
    if "test" not in splits:
        splits["train"], splits["test"] = split_rows(splits["train"], plan.test_share, plan.seed)
        n_test, n_rows = (sum(splits[s].labels.shape[0] for s in of) for of in (("test",), ("train", "test")))
        share = f"{n_test} of {n_rows} rows ({n_test / n_rows:.0%}; asked for: {plan.test_share:.0%})"
        notes.append(f"{share} set aside for test by a hash of each row, seed {plan.seed}; equal rows stay together")
    splits, vectorizer = with_bow(splits, notes)
    validation = splits.get("validation")
    names = labels.names
    if plan.label_names is not None:
        names = read_texts(plan.label_names.with_suffix(""), int(splits["train"].labels.shape[1]))
    parsed = Parsed(splits["train"], splits["test"], validation, labels.texts, vectorizer=vectorizer, label_names=names)
    one_based = "labels" in plan.reading.one_based
    return with_filters(parsed, plan.train_filter, plan.test_filter, one_based=one_based), notes


def _give_one_width(splits: Mapping[str, SplitRows], files: Mapping[str, SplitFiles], plan: Plan) -> None:
    """Widen matrices of files without a header to the widest of all splits, and labels to the number of their texts."""
    features = [(files[name].features, rows.features) for name, rows in splits.items() if rows.features is not None]
    with_one_width(features, "features")
    labels = [
        (files[name].labels or files[name].features, rows.labels)
        for name, rows in splits.items()
        if rows.labels is not None
    ]
    texts = plan.label_texts if labels else None
    with_one_width(labels, "labels", 0 if texts is None else len(read_label_texts(texts, plan.reading).texts))


def with_bow(splits: dict[str, Split], notes: list[str]) -> tuple[dict[str, Split], Vectorizer | None]:
    """The splits with tf-idf features added, and their vectorizer, if the splits have only texts."""
    if any(split.features is not None or split.texts is None for split in splits.values()):
        return splits, None
    matrices, vectorizer = bow_any_script(*(list(split.texts or []) for split in splits.values()))
    notes.append(BOW_NOTE)
    if any(has_unspaced(text) for split in splits.values() for text in split.texts or ()):
        notes.append("in scripts without spaces between words, bow has characters and their 2- and 3-grams")
    pairs = zip(splits.items(), matrices, strict=True)
    return {which: dataclasses.replace(split, features=matrix) for (which, split), matrix in pairs}, vectorizer


def split_rows(rows: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Split into (train, test), each in the original order, equal rows together; DataError if one would be empty."""
    if not 0 < share < 1:
        raise UsageError(f"--test-share {share} is not between 0 and 1")
    hash_limit = int(share * 2**64)
    n_rows = rows.labels.shape[0]
    hashes = (hashlib.sha256(f"{seed}/".encode() + key).digest()[:8] for key in _equality_keys(rows))
    in_test = np.array([int.from_bytes(first, "big") < hash_limit for first in hashes], bool)
    if not in_test.any() or in_test.all():
        side = "test" if not in_test.any() else "train"
        different, files = len(set(_equality_keys(rows))), "Give --test-texts and --test-labels"
        if different == 1:
            rows_are = "the only row" if n_rows == 1 else f"all {n_rows} rows are equal, and equal rows"
            raise DataError(f"{rows_are} can't be in train and test: {side} would be empty", f"{files}.")
        raise DataError(
            f"{side} would be empty: a hash with seed {seed} puts {'none' if side == 'test' else 'all'} of the "
            f"{different} different rows (of {n_rows}) into test, where {share:.0%} is asked for",
            f"{files}, or another --seed or --test-share.",
        )
    return _select_rows(rows, np.flatnonzero(~in_test)), _select_rows(rows, np.flatnonzero(in_test))


def _equality_keys(rows: Split) -> Iterator[bytes]:
    """One key per row; equal rows have equal keys. Key: case-folded words of the text, or else the features."""
    if rows.texts is not None:
        return (" ".join(text.casefold().split()).encode("utf-8", "replace") for text in rows.texts)
    assert rows.features is not None
    return feature_keys(rows.features)


def _select_rows(rows: Split, row_ids: NDArray[np.int64]) -> Split:
    return Split(
        None if rows.features is None else rows.features[row_ids],
        None if rows.texts is None else [rows.texts[int(i)] for i in row_ids],
        rows.labels[row_ids],
        None if rows.ids is None else [rows.ids[int(i)] for i in row_ids],
    )
