"""State of data sets on this machine: source files, parsed caches, and actual and expected counts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from xmcbench.data.catalogue import Entry, File, catalogue, entry
from xmcbench.data.hashes import check, hashes_of
from xmcbench.data.home import home
from xmcbench.data.places import Place, folder, known_hash, places
from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.files import cannot_write


@dataclass(frozen=True)
class State:
    """State of one file of one form.

    Attributes
    ----------
    place : "downloads", "mirror", "package", "missing", or "missing, optional".
    hash : the hash that the file was or would be compared with, in words.
    ok : None if the file was not compared.
    problem : if not ok, the reason and the remedy.
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
    """The catalogue's entry of that name; "synthetic[rows=10]" gets the entry "synthetic" with its full name.

    Raises
    ------
    UsageError : unknown name, or invalid parameters of "synthetic".
    """
    if name.strip().casefold().startswith("synthetic["):
        from xmcbench.data.synthetic import parameters

        return msgspec.structs.replace(entry("synthetic"), name=parameters(name).name)
    return entry(name)


def have(dataset: Entry, view: str | None = None) -> str:
    """The kind of place that has a complete form (of that view), as archive or as files; "" if none is complete."""
    for form in dataset.forms if view is None else dataset.forms_for(view):
        archive_copies = places(dataset, form.archive) if form.archive else []
        file_copies = [places(dataset, file) for file in form.files if not file.optional]
        if archive_copies or (file_copies and all(file_copies)):
            return (archive_copies or file_copies[0])[0].kind
    return ""


def states(dataset: Entry) -> list[State]:
    """State of every file of the entry's forms, archives first, without reading the files."""
    return [_unchecked_state(dataset, form, file, place) for form, file, place in _entry_files(dataset)]


def verified(dataset: Entry) -> list[State]:
    """State of the files on this machine: each is read in full and compared with its known or recorded hash."""
    return [
        _checked_state(dataset, form, file, place) for form, file, place in _entry_files(dataset) if place is not None
    ]


def _entry_files(dataset: Entry) -> list[tuple[str, File, Place | None]]:
    unique_files: dict[tuple[str, str], tuple[str, File, Place | None]] = {}  # forms may share an archive or a file
    for form in dataset.forms:
        for file in (*([form.archive] if form.archive else []), *form.files):
            copies = places(dataset, file)
            unique_files.setdefault((file.name, file.sha256 or ""), (form.name, file, copies[0] if copies else None))
    return list(unique_files.values())


def _unchecked_state(dataset: Entry, form: str, file: File, place: Place | None) -> State:
    hash_text = known_hash(dataset, file)
    if place is None:
        place_kind = "missing, optional" if file.optional else "missing"
        return State(dataset.name, form, file.name, place_kind, str(folder(dataset) / file.name), file.size, hash_text)
    return State(dataset.name, form, file.name, place.kind, str(place.path), place.path.stat().st_size, hash_text)


def _checked_state(dataset: Entry, form: str, file: File, place: Place) -> State:
    try:
        hashes = hashes_of(place.path)
        hash_text, problem = check(dataset, file, place.path, hashes, record=not file.is_archive), ""
    except OSError as error:
        return State(dataset.name, form, file.name, place.kind, str(place.path), None, "unreadable", False, str(error))
    except DataError as error:
        hash_text, problem = known_hash(dataset, file), str(error)
    size = hashes.size
    return State(dataset.name, form, file.name, place.kind, str(place.path), size, hash_text, not problem, problem)


def differing(dataset: Entry, counted: Mapping[str, int | float]) -> list[str]:
    """Messages for counts that differ from the expected ones; counts that the view doesn't have are ignored."""
    return [
        f"{name}: {counted[name]:,} counted, {expected:,} expected ({dataset.expected_source})"
        for name, expected in dataset.expected.items()
        if counted.get(name, expected) != expected
    ]


def is_parsed(dataset: Entry, view: str = "*") -> bool:
    """Whether that view, by default any view, is in the cache."""
    return any((home() / "parsed" / dataset.name).glob(f"{view}-*/meta.json"))


def removable(name: str | None, downloads: bool) -> list[tuple[Path, int]]:
    """(folder, size in bytes) for each folder that `clean` would remove: parsed caches, and downloads if requested.

    Without a name also the caches of tokens and embeddings, which are not separated by data set.

    Raises
    ------
    UsageError : `name` is neither in the catalogue nor has a cache.
    """
    roots = [home() / "parsed"] + ([home() / "downloads"] if downloads else [])
    folders = [path for root in roots if root.is_dir() for path in sorted(root.iterdir()) if path.is_dir()]
    if name is not None:
        name = _canonical(name, {path.name for path in folders})
        folders = [path for path in folders if path.name == name]
    else:
        folders += [path for path in (home() / "tokens", home() / "embeddings") if path.is_dir()]
    return [(path, _folder_bytes(path)) for path in folders]


def _canonical(name: str, cached: set[str]) -> str:
    try:
        return entry(name).name
    except UsageError:
        if name not in cached:
            raise unknown("data set", name, {*catalogue(), *cached}) from None
        return name


def _folder_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def remove(paths: list[Path], on_removed: Callable[[Path], None]) -> None:
    """Remove folders; `on_removed` is called after each one.

    Raises
    ------
    DataError : a folder can't be removed.
    """
    for path in paths:
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise cannot_write(path, error) from error
        on_removed(path)
