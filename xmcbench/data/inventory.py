"""What of the catalogue is on this machine: files and their state, parsed caches, counts beside expected ones."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench.data.catalogue import Entry, File, catalogue, entry
from xmcbench.data.hashes import check, hashes_of
from xmcbench.data.home import home
from xmcbench.data.places import Place, folder, known_hash, places
from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.files import cannot_write

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset


@dataclass(frozen=True)
class State:
    """One file of one form.

    Attributes
    ----------
    place : "downloads", "mirror", "package", or "missing".
    hash : what it was compared with, or would be.
    ok : None where nothing was compared.
    problem : why it is not ok, and what to do.
    """

    dataset: str
    form: str
    file: str
    place: str
    path: str
    size: int | None
    hash: str
    ok: bool | None = None
    problem: str = ""


def described(name: str) -> Entry:
    """The catalogue's entry of that name; "synthetic[rows=10]" has the one of "synthetic" under its own name.

    Raises
    ------
    UsageError : unknown name, or wrong parameters of "synthetic".
    """
    if name.strip().casefold().startswith("synthetic["):
        from xmcbench.data.synthetic import parameters

        return dataclasses.replace(entry("synthetic"), name=parameters(name).name)
    return entry(name)


def have(found: Entry, view: str | None = None) -> str:
    """The kind of place where one form (of that view) is complete, archive or loose files; "" if none is."""
    for form in found.forms if view is None else found.forms_for(view):
        archived = places(found, form.archive) if form.archive else []
        loose = [places(found, file) for file in form.files if not file.optional]
        if archived or (loose and all(loose)):
            return (archived or loose[0])[0].kind
    return ""


def states(found: Entry) -> list[State]:
    """Every file the entry may consist of, archives first; nothing is read."""
    return [_state(found, form, file, place) for form, file, place in _files(found)]


def verified(found: Entry) -> list[State]:
    """The files that are here, each read in full and compared with the catalogue or the recorded hash."""
    return [_checked(found, form, file, place) for form, file, place in _files(found) if place is not None]


def _files(found: Entry) -> list[tuple[str, File, Place | None]]:
    rows: dict[tuple[str, str], tuple[str, File, Place | None]] = {}  # forms may share an archive or a file
    for form in found.forms:
        for file in (*([form.archive] if form.archive else []), *form.files):
            here = places(found, file)
            rows.setdefault((file.name, file.sha256 or ""), (form.name, file, here[0] if here else None))
    return list(rows.values())


def _state(found: Entry, form: str, file: File, place: Place | None) -> State:
    words = known_hash(found, file)
    if place is None:
        kind = "missing, optional" if file.optional else "missing"
        return State(found.name, form, file.name, kind, str(folder(found) / file.name), file.size, words)
    return State(found.name, form, file.name, place.kind, str(place.path), place.path.stat().st_size, words)


def _checked(found: Entry, form: str, file: File, place: Place) -> State:
    try:
        hashes = hashes_of(place.path)
        words, problem = check(found, file, place.path, hashes, record=file.role != "archive"), ""
    except OSError as error:
        return State(found.name, form, file.name, place.kind, str(place.path), None, "unreadable", False, str(error))
    except DataError as error:
        words, problem = known_hash(found, file), str(error)
    size = hashes.size
    return State(found.name, form, file.name, place.kind, str(place.path), size, words, not problem, problem)


def counts(data: Dataset) -> dict[str, int | None]:
    """What the parsed rows amount to, under the names that the catalogue's `expected` uses."""
    import numpy as np

    train, test, features = data.train.labels, data.test.labels, data.train.features
    seen = np.zeros(data.n_labels, dtype=bool)
    seen[train.indices] = True
    return {
        "n_train": int(train.shape[0]),
        "n_validation": None if data.validation is None else int(data.validation.labels.shape[0]),
        "n_test": int(test.shape[0]),
        "n_features": None if features is None else int(features.shape[1]),
        "n_labels": data.n_labels,
        "train_pairs": int(train.nnz),
        "test_pairs": int(test.nnz),
        "train_filter_pairs": len(data.train_filter),
        "test_filter_pairs": len(data.test_filter),
        "labels_in_train": int(seen.sum()),
        "test_pairs_unseen_label": int((~seen[test.indices]).sum()),
        "train_rows_without_label": int((np.diff(train.indptr) == 0).sum()),
        "test_rows_without_label": int((np.diff(test.indptr) == 0).sum()),
    }


def differing(found: Entry, counted: dict[str, int | None]) -> list[str]:
    """Counts that are not as expected; one that the view doesn't have is no difference."""
    return [
        f"{name}: {counted[name]:,} counted, {expected:,} expected ({found.expected_source})"
        for name, expected in found.expected.items()
        if counted.get(name) is not None and counted[name] != expected
    ]


def is_parsed(found: Entry, view: str = "*") -> bool:
    """Whether that view, or any, lies in the cache."""
    return any((home() / "parsed" / found.name).glob(f"{view}-*/meta.json"))


def removable(name: str | None, downloads: bool) -> list[tuple[Path, int]]:
    """Folders that `clean` would remove, with their bytes: parsed caches, and downloads if asked.

    Without a name what encoders keep of texts too, tokens and embeddings, which tell no data set apart.

    Raises
    ------
    UsageError : neither a data set of the catalogue nor one with a cache.
    """
    roots = [home() / "parsed"] + ([home() / "downloads"] if downloads else [])
    there = [path for root in roots if root.is_dir() for path in sorted(root.iterdir()) if path.is_dir()]
    if name is not None:
        name = _canonical(name, {path.name for path in there})
        there = [path for path in there if path.name == name]
    else:
        there += [path for path in (home() / "tokens", home() / "embeddings") if path.is_dir()]
    return [(path, _bytes(path)) for path in there]


def _canonical(name: str, cached: set[str]) -> str:
    try:
        return entry(name).name
    except UsageError:
        if name not in cached:
            raise unknown("data set", name, {*catalogue(), *cached}) from None
        return name


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def remove(paths: list[Path], tell: Callable[[Path], None]) -> None:
    """Remove folders; `tell` is called after each.

    Raises
    ------
    DataError : one can't be removed.
    """
    for path in paths:
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise cannot_write(path, error) from error
        tell(path)
