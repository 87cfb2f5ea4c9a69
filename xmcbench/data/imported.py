"""Imported data sets: what is stored of them, whether it is still what was stored, and how to remove it.

HOME/imported/NAME/    the layout of `xmcbench.data.folders` with texts as jsonl, and meta.json; vectorizer.npz and
                       vectorizer.json where features are made from the texts

meta.json has the hash of every other file, and a seal: the hash of everything else in meta.json.

The folder is replaced as a whole, under the lock of its name (`xmcbench.data.home`). Whoever reads several of its files
holds `reading(NAME)` meanwhile; meta.json alone is always that of one import.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np

from xmcbench import limits
from xmcbench.data.cache import content_hash
from xmcbench.data.catalogue import names
from xmcbench.data.folders import read_folder, write_folder
from xmcbench.data.home import VERSION, changing, home, imported, reading, unused, version_lock
from xmcbench.data.spec import Parsed
from xmcbench.data.vectorizer import OPTIONS, Vectorizer
from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.files import remove_folder, sha256_of, sweep, write_json
from xmcbench.inputs import read_file, typed, typed_json

FORMAT = 1  # version of meta.json
META = "meta.json"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
AGAIN = "Import the files again with --replace."
BOW_NOTE = "view bow made from the texts: word unigrams, sublinear tf-idf, fitted on the training texts"


class _Version(msgspec.Struct):
    format: int


class Imported(msgspec.Struct, frozen=True):
    """The content of an import's meta.json; `revision` is a prefix of its content hash, `views` has the default first.

    `counts` are those of `xmcbench.data.validate.counts`, `propensity` is (A, B) of Jain et al. 2016. `changes` says
    what differs from the import that this one replaced. `text_column` is the --text-column that the texts were read
    from, such as "title,content"; "" if they were in no table. `files` is the sha256 of each file by name. The last
    three are empty in imports of earlier versions.
    """

    name: str
    revision: str
    views: tuple[str, ...]
    propensity: tuple[float, float]
    counts: Mapping[str, int | float]
    notes: tuple[str, ...]
    format: int = FORMAT
    changes: tuple[str, ...] = ()
    text_column: str = ""
    files: Mapping[str, str] = {}
    seal: str = ""

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
        with_features = self.view(view) == "bow"
        parsed = read_folder(self.folder, with_features=with_features)
        return dataclasses.replace(parsed, vectorizer=self._vectorizer(parsed)) if with_features else parsed

    def _vectorizer(self, parsed: Parsed) -> Vectorizer | None:
        """The vectorizer that made the features; None if the features were given.

        Imports of earlier versions do not store it: it is fitted again, and used if the training rows then have the
        same features, to the bit.
        """
        if (self.folder / OPTIONS).is_file():
            return Vectorizer.load(self.folder)
        train = parsed.train
        if train.features is None or train.texts is None or BOW_NOTE not in self.notes:
            return None
        from xmcbench.data.text import bow_any_script

        try:
            (again,), vectorizer = bow_any_script(train.texts)
        except DataError:
            return None
        equal = again.shape == train.features.shape and all(
            np.array_equal(getattr(again, part), getattr(train.features, part))
            for part in ("indptr", "indices", "data")
        )
        return vectorizer if equal else None


def check_name(name: str, *, replace: bool = False) -> None:
    """Raise UsageError for an invalid name, a name of the catalogue, or, without `replace`, of an existing import."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid name of a data set", "Lower case letters, digits, '.', '_' and '-'.")
    if name in names():
        raise UsageError(f"{name} is a data set of the catalogue", "Choose another name.")
    if (imported() / name).exists() and not replace:
        raise UsageError(f"{name} is imported already ({imported() / name})", "Another --name, or --replace.")


def imported_names() -> list[str]:
    """Sorted names of all imported data sets, including damaged ones."""
    folders = {path.name for path in imported().glob("*") if path.is_dir()}
    locks = {path.name.removeprefix(VERSION) for path in (home() / "locks").glob(f"{VERSION}*")}
    return sorted(name for name in folders | locks if NAME.fullmatch(name) and is_imported(name))


def is_imported(name: str) -> bool:
    """Whether a data set of that name, ignoring case, is imported."""
    name = name.casefold()
    if not NAME.fullmatch(name):
        return False
    folder = imported() / name
    if folder.is_dir() or not version_lock(name).exists():
        return folder.is_dir()
    with reading(name):  # another process may replace the folder at this moment
        sweep(imported())  # or was killed while it did
        return folder.is_dir()


def version(name: str) -> tuple[int, int] | None:
    """What tells two imports of one name apart, even those of equal files; None if there is no import."""
    for path in (imported() / name / META, imported() / name):
        with suppress(OSError):
            stat = path.stat()
            return stat.st_ino, stat.st_mtime_ns
    return None


def store(folder: Path, new: Imported, parsed: Parsed) -> None:
    """Write the files of an import into an empty folder; DataError if the folder can't be written."""
    written = write_folder(folder, parsed, texts="jsonl")
    if parsed.vectorizer is not None:
        written += parsed.vectorizer.save(folder)
    files = {path.name: sha256_of(path) for path in written}
    raw = msgspec.to_builtins(msgspec.structs.replace(new, files=files))
    write_json(folder / META, {**raw, "seal": _seal(raw)})


def find_imported(name: str) -> Imported:
    """The imported data set of that name, ignoring case.

    Raises
    ------
    UsageError : there is none.
    DataError : its meta.json is missing, damaged, edited, or of another format.
    """
    if not is_imported(name):
        raise unknown("imported data set", name, imported_names())
    path = imported() / name.casefold() / META
    damaged = f"{path}: damaged"
    try:
        text = _read_meta(name.casefold(), path)
    except OSError as error:
        raise DataError(f"{damaged} ({error.strerror or error})", AGAIN) from error
    raw = typed_json(text, dict[str, object], damaged, AGAIN)
    written_by = typed(raw, _Version, damaged, AGAIN).format
    if written_by != FORMAT:
        raise DataError(f"{path}: format {written_by}, this version reads {FORMAT}", "Import the files again.")
    found = typed(raw, Imported, damaged, AGAIN)
    if (found.files or found.seal) and found.seal != _seal(raw):
        raise DataError(f"{damaged} (it was changed after the import)", AGAIN)
    return msgspec.structs.replace(found, name=name.casefold())


def _read_meta(name: str, path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return read_file(path, limits.WHOLE_TEXT)
    with reading(name):  # another process may replace the folder at this moment
        return read_file(path, limits.WHOLE_TEXT)


def replaced_by(name: str, revision: str | None) -> str | None:
    """The revision that the import of that name has now if it is another one; None also without a whole import."""
    now = _whole(name)
    return None if now is None or now.revision == revision else now.revision


def text_column_of(name: str, revision: str | None) -> str:
    """`Imported.text_column` of the import of that name and revision; "" if there is none."""
    now = _whole(name)
    return now.text_column if now is not None and now.revision == revision else ""


def _whole(name: str) -> Imported | None:
    if not is_imported(name):
        return None
    try:
        return find_imported(name)
    except DataError:
        return None


def _seal(raw: Mapping[str, object]) -> str:
    rest = {key: value for key, value in raw.items() if key != "seal"}
    return "sha256:" + hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def file_faults(of: Imported, hash_of: Callable[[Path], str] = sha256_of) -> dict[str, str]:
    """File name → what is wrong with it, "" if nothing is; for the files of meta.json and all others in the folder.

    Hidden files, which desktops leave in folders, are ignored. The files of an import without hashes are compared with
    its revision by `content_fault` alone.
    """
    existing = [path.relative_to(of.folder) for path in sorted(of.folder.rglob("*")) if path.is_file()]
    existing = [path for path in existing if not path.name.startswith(".") and str(path) != META]
    faults = dict.fromkeys(of.files, "missing") | {
        str(path): "not part of the import" if of.files else "" for path in existing
    }
    for name, expected in of.files.items():
        path = of.folder / name
        if not path.is_file():
            continue
        try:
            faults[name] = "" if hash_of(path) == expected else "changed after the import"
        except OSError as error:
            faults[name] = f"can't be read ({error.strerror or error})"
    return faults


def check_files(of: Imported, hash_of: Callable[[Path], str] = sha256_of) -> None:
    """DataError with each file of `file_faults` that is missing, changed, or not part of the import."""
    faults = [f"{of.folder / name}: {fault}" for name, fault in file_faults(of, hash_of).items() if fault]
    if faults:
        hint = f"{AGAIN} A file that is not part of the import can be moved away instead."
        raise DataError(f"{of.name}: the imported files are damaged\n  " + "\n  ".join(faults), hint)


def content_fault(of: Imported) -> str:
    """What is wrong with the content of an import whose meta.json has no hashes of files; "" if nothing is."""
    try:
        found = content_hash(of.parse(of.view())).removeprefix("sha256:")
    except DataError as error:
        return str(error)
    same = found.startswith(of.revision)
    return "" if same else f"{of.folder}: revision {found[:12]}, but {of.revision} was imported\n  {AGAIN}"


def remove_imported(name: str) -> None:
    """Remove an import, even a damaged one, and its parsed views, unless a process uses it.

    Raises
    ------
    UsageError : there is no import of that name.
    DataError : it is in use, the folder can't be removed, or the file system has no locks.
    """
    if not is_imported(name):
        raise unknown("imported data set", name, imported_names())
    with unused(name), changing(name, must=True):
        if version(name) is None:
            raise DataError(f"{name} was removed by another process meanwhile")
        if (
            parsed := home() / "parsed" / name
        ).is_dir():  # first, since after a kill only an import can be removed again
            remove_folder(parsed)
        remove_folder(imported() / name)
