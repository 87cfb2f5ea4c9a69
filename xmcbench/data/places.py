"""Where a file of a data set may already lie: the download folder, a user's mirror, another package."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from xmcbench.data.catalogue import Entry, File, Form
from xmcbench.data.drive import browser_url
from xmcbench.data.hashes import recorded
from xmcbench.data.home import home
from xmcbench.errors import UsageError


@dataclass(frozen=True)
class Place:
    """A file that exists, and in words what kind of place it lies in: "downloads", "mirror", "package"."""

    path: Path
    kind: str


def folder(entry: Entry) -> Path:
    """Where downloads of this entry lie, and where a user puts own copies."""
    return home() / "downloads" / entry.name


def mirror() -> Path | None:
    """The folder named by XMCBENCH_MIRROR; it is only ever read.

    Raises
    ------
    UsageError : it names no folder.
    """
    said = os.environ.get("XMCBENCH_MIRROR")
    if not said:
        return None
    path = Path(said).expanduser().absolute()
    if not path.is_dir():
        raise UsageError(f"XMCBENCH_MIRROR={said}: no such folder", "Name a folder of downloaded files, or unset it.")
    return path


def places(entry: Entry, file: File) -> list[Place]:
    """Existing copies of a file, in the order in which they are tried; unchecked."""
    candidates = [Place(folder(entry) / file.name, "downloads")]
    root = mirror()
    if root is not None:
        candidates.append(Place(root / entry.name / file.name, "mirror"))
        if file.hash_known or file.role == "archive":  # any data set may have a train.txt
            candidates.append(Place(root / file.name, "mirror"))
    for location in file.locations:
        kind, _, rest = location.partition(":")
        if kind == "path":
            candidates.append(Place(Path(rest), "package"))
        elif kind == "pip" and (path := _in_package(rest)) is not None:
            candidates.append(Place(path, "package"))
    return [place for place in candidates if place.path.is_file()]


def _in_package(spec: str) -> Path | None:
    """ "DISTRIBUTION==VERSION:PATH" → the file, if that very version is installed. Nothing is imported."""
    package, _, path = spec.partition(":")
    name, _, version = package.partition("==")
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return Path(str(found.locate_file(path))) if found.version == version else None


def remote(file: File) -> list[str]:
    """The locations that need a network."""
    return [location for location in file.locations if location.startswith(("https://", "http://", "gdrive:"))]


def instructions(entry: Entry, view: str | None = None) -> str:
    """What a person does by hand: which file, from where, into which folder, checked against what, and then."""
    ways = list(dict.fromkeys(way for form in entry.forms_for(view) for way in _ways(entry, form)))
    lines = [f"Put {'one of these sets of files' if len(ways) > 1 else 'this'} into {folder(entry)}:"]
    for number, way in enumerate(ways, start=1):
        lines += [f"  {number}. {way}" if len(ways) > 1 else f"  {way}"]
    root = mirror()
    if root is None:
        lines.append(f"A folder of such files may be named instead: XMCBENCH_MIRROR=DIR, with DIR/{entry.name}/NAME.")
    else:
        lines.append(f"{root / entry.name} (XMCBENCH_MIRROR) does as well.")
    lines.append(f"Then run `xmcbench data fetch {entry.name}`, or your command again.")
    return "\n  ".join(lines)


def _ways(entry: Entry, form: Form) -> list[str]:
    needed = [file for file in form.files if not file.optional]
    note = f"({form.note})\n       " if form.note else ""
    loose = note + "\n       ".join(_one(entry, file) for file in needed)
    if form.archive is None:
        return [loose]
    return [_one(entry, form.archive), f"or unpacked from {form.archive.name}:\n       {loose}"]


def _one(entry: Entry, file: File) -> str:
    size = f", {file.size:,} bytes" if file.size else ""
    lines = [f"{file.name}{size}, {known_hash(entry, file)}"]
    lines += [f"  {'from' if i == 0 else 'or  '} {_by_hand(loc)}" for i, loc in enumerate(file.locations)]
    return "\n       ".join(lines)


def known_hash(entry: Entry, file: File) -> str:
    """The hash a file must have, in words."""
    if file.sha256:
        return f"sha256 {file.sha256}"
    if file.git_blob:
        return f"git blob {file.git_blob}"
    first = recorded(entry, file)
    if first:
        return f"sha256 {first['sha256']}, recorded at first download on {first['date']}"
    return "hash not known: recorded at first download"


def _by_hand(location: str) -> str:
    kind, _, rest = location.partition(":")
    if kind == "gdrive":
        return browser_url(rest)
    if kind == "pip":
        package, _, path = rest.partition(":")
        return f"`pip install {package}`, which holds {path}"
    return rest if kind == "path" else location
