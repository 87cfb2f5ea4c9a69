"""State of data sets on this machine: source files, parsed caches, and actual and expected counts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from xmcbench.data.catalogue import Entry, File, catalogue, entry, listed_names, names
from xmcbench.data.hashes import check, hashes_of
from xmcbench.data.home import ENCODERS, home, imported, unused
from xmcbench.data.imported import AGAIN, Imported, content_fault, file_faults, imported_names, is_imported
from xmcbench.data.places import Place, folder, known_hash, places
from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.files import TEMPORARY, remove_folder, sweep
from xmcbench.locks import Busy


@dataclass(frozen=True)
class State:
    """State of one file of one form.

    Attributes
    ----------
    form : the form's name; "imported" for the files of an import.
    place : "downloads", "mirror", "package", "imported", "missing", or "missing, optional".
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


def generated() -> list[Entry]:
    """The synthetic data sets with parameters of their own that are in the cache."""
    found = []
    for path in sorted((home() / "parsed").glob("synthetic[[]*")):
        with suppress(UsageError):  # no name of a data set
            found.append(described(path.name))
    return found


def data_set(name: str) -> Entry | str:
    """The catalogue's entry of that name as `described`, else the name of an imported data set, else a UsageError."""
    if name.casefold() in names() or name.strip().casefold().startswith("synthetic["):
        return described(name)
    if is_imported(name):
        return name.casefold()
    raise unknown("data set", name, {*listed_names(), *imported_names()})


def name_in_records(text: str) -> str:
    """The name that records have for a data set as a user types it; unchanged if no data set here has that name."""
    try:
        found = data_set(text)
    except UsageError:
        return text
    return found if isinstance(found, str) else found.name


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
    return [_state(dataset, *file) for file in _entry_files(dataset)]


def verified(dataset: Entry) -> list[State]:
    """State of the files on this machine: each is read in full and compared with its known or recorded hash."""
    return [
        _checked_state(dataset, file, place, _state(dataset, form, file, place))
        for form, file, place in _entry_files(dataset)
        if place is not None
    ]


def imported_states(imported: Imported, *, verify: bool = False) -> list[State]:
    """State of every file of an import; with `verify`, each is read in full and compared with its hash at import."""
    faults = file_faults(imported) if verify or not imported.files else dict.fromkeys(imported.files, "")
    states = []
    for name, fault in faults.items():
        path, size = imported.folder / name, None
        with suppress(OSError):
            size = path.stat().st_size
        place = "missing" if size is None else "imported"
        hash_text = f"sha256 {imported.files[name]}" if name in imported.files else "no hash recorded"
        problem = f"{path}: {fault}\n  {AGAIN}" if fault else ""
        ok = not fault if verify else None
        states.append(State(imported.name, "imported", name, place, str(path), size, hash_text, ok, problem))
    if verify and not imported.files and (fault := content_fault(imported)):
        states = [replace(state, ok=False, problem=fault) for state in states]
    return states


def _entry_files(dataset: Entry) -> list[tuple[str, File, Place | None]]:
    unique_files: dict[tuple[str, str], tuple[str, File, Place | None]] = {}  # forms may share an archive or a file
    for form in dataset.forms:
        for file in (*([form.archive] if form.archive else []), *form.files):
            copies = places(dataset, file)
            unique_files.setdefault((file.name, file.sha256 or ""), (form.name, file, copies[0] if copies else None))
    return list(unique_files.values())


def _state(dataset: Entry, form: str, file: File, place: Place | None) -> State:
    kind, path, size = "missing, optional" if file.optional else "missing", folder(dataset) / file.name, file.size
    if place is not None:
        with suppress(FileNotFoundError):  # removed since it was found
            kind, path, size = place.kind, place.path, place.path.stat().st_size
    return State(dataset.name, form, file.name, kind, str(path), size, known_hash(dataset, file))


def _checked_state(dataset: Entry, file: File, place: Place, state: State) -> State:
    try:
        hashes = hashes_of(place.path)
        hash_text, problem = check(dataset, file, place.path, hashes, record=not file.is_archive), ""
    except OSError as error:
        return replace(state, size=None, hash="unreadable", ok=False, problem=str(error))
    except DataError as error:
        hash_text, problem = state.hash, str(error)
    return replace(state, size=hashes.size, hash=hash_text, ok=not problem, problem=problem)


def differing(dataset: Entry, counted: Mapping[str, int | float]) -> list[str]:
    """Messages for counts that differ from the expected ones; counts that the view doesn't have are ignored."""
    return [
        f"{name}: {counted[name]:,} counted, {expected:,} expected ({dataset.expected_source})"
        for name, expected in dataset.expected.items()
        if counted.get(name, expected) != expected
    ]


def is_parsed(name: str, view: str = "*") -> bool:
    """Whether that view of the data set, by default any view, is in the cache."""
    return any((home() / "parsed" / name).glob(f"{view}-*/meta.json"))


def removable(name: str | None, downloads: bool) -> list[tuple[Path, int]]:
    """(folder, size in bytes) for each folder that `clean` would remove: parsed caches, and downloads if requested.

    Without a name also the caches of tokens and embeddings, which are not separated by data set. What killed processes
    left there is removed at once. UsageError if `name` is neither in the catalogue nor has a cache.
    """
    roots = [home() / "parsed"] + ([home() / "downloads"] if downloads else [])
    folders = []
    for root in (home(), imported(), *roots):
        sweep(root)
    for root in roots:
        folders += [path for path in sorted(root.glob("*")) if path.is_dir() and not path.name.startswith(TEMPORARY)]
    if name is None:
        folders += [path for kind in ENCODERS if (path := home() / kind).is_dir()]
    else:
        if name.casefold() in names():
            name = entry(name).name
        elif is_imported(name):
            name = name.casefold()
        elif name not in (cached := {path.name for path in folders}):
            raise unknown("data set", name, {*catalogue(), *imported_names(), *cached})
        folders = [path for path in folders if path.name == name]
    return [(path, size_of(path)) for path in folders]


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; those that other processes remove meanwhile don't count."""
    size = 0
    for root, _, files in os.walk(folder):  # where `Path.rglob` would raise for a folder that disappears
        for file in files:
            with suppress(OSError):
                size += os.lstat(os.path.join(root, file)).st_size
    return size


def remove(folders: list[Path]) -> dict[Path, str]:
    """Remove folders found by `removable`; returns those that stay because a process uses them, with the reason.

    DataError if one can't be removed, or if the file system has no locks, so that nobody knows what is in use.
    """
    kept = {}
    for path in folders:
        try:
            with unused(None if path.parent == home() else path.name):
                if path.is_dir():  # another process may have removed it
                    remove_folder(path)
        except Busy as error:
            kept[path] = error.message
    return kept
