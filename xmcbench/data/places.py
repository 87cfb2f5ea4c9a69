"""Search for existing copies of a file: in the download folder, a user's mirror, or an installed package."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from xmcbench.data import ledger
from xmcbench.data.catalogue import Entry, File, Form, catalogue
from xmcbench.data.drive import browser_url
from xmcbench.data.home import folder_in, home
from xmcbench.errors import UsageError


@dataclass(frozen=True)
class Place:
    """An existing file and the kind of place it is in: "downloads", "mirror" or "package"."""

    path: Path
    kind: str


def folder(entry: Entry) -> Path:
    """The download folder of this entry, in which users may also put their own copies."""
    return home() / "downloads" / entry.name


def mirror() -> Path | None:
    """The folder in XMCBENCH_MIRROR, which is never written to, or None; UsageError if it is no folder."""
    path = folder_in("XMCBENCH_MIRROR")
    if path is not None and not path.is_dir():
        raise UsageError(f"XMCBENCH_MIRROR={path}: no such folder", "Name a folder of downloaded files, or unset it.")
    return path


def places(entry: Entry, file: File) -> list[Place]:
    """Existing, unchecked copies of a file in order of preference."""
    candidates = [Place(folder(entry) / file.name, "downloads")]
    root = mirror()
    if root is not None:
        candidates.append(Place(root / entry.name / file.name, "mirror"))
        if file.hash_known or file.is_archive:  # another name such as train.txt could belong to any data set
            candidates.append(Place(root / file.name, "mirror"))
    for location in file.locations:
        kind, _, rest = location.partition(":")
        if kind == "path":
            candidates.append(Place(Path(rest), "package"))
        elif kind == "pip" and (path := _in_package(rest)) is not None:
            candidates.append(Place(path, "package"))
    return [place for place in candidates if place.path.is_file()]


def _in_package(spec: str) -> Path | None:
    """ "DISTRIBUTION==VERSION:PATH" → the file, if exactly that version is installed. Nothing is imported."""
    package, _, path = spec.partition(":")
    name, _, version = package.partition("==")
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return Path(str(distribution.locate_file(path))) if distribution.version == version else None


def remote(file: File) -> list[str]:
    """The locations that need network access."""
    return [location for location in file.locations if location.startswith(("https://", "http://", "gdrive:"))]


def without_download() -> list[str]:
    """Names of the data sets that are generated, or come with an installed package."""
    with_package = [
        name
        for name, entry in catalogue().items()
        if any(all(_with_package(entry, file) for file in form.files if not file.optional) for form in entry.forms)
    ]
    return [*with_package, "synthetic"]


def _with_package(entry: Entry, file: File) -> bool:
    return any(place.kind == "package" for place in places(entry, file))


def instructions(entry: Entry, view: str | None = None) -> str:
    """Instructions for placing the files by hand: sources, target folder, expected hashes, and the next command."""
    alternatives = dict.fromkeys(text for form in entry.forms_for(view) for text in _alternatives(entry, form))
    several = len(alternatives) > 1
    lines = [f"Put {'one of these sets of files' if several else 'this'} into {folder(entry)}:"]
    lines += [f"  {number}. {text}" if several else f"  {text}" for number, text in enumerate(alternatives, start=1)]
    root = mirror()
    if root is None:
        lines.append(f"Or set XMCBENCH_MIRROR=DIR to a folder that holds them as DIR/{entry.name}/NAME.")
    else:
        lines.append(f"{root / entry.name} (XMCBENCH_MIRROR) is searched as well.")
    lines.append(f"Then run `xmcbench data fetch {entry.name}`, or your command again.")
    lines.append(f"Data sets that need no download: {', '.join(without_download())}.")
    return "\n  ".join(lines)


def _alternatives(entry: Entry, form: Form) -> list[str]:
    required = [file for file in form.files if not file.optional]
    note = f"({form.note})\n       " if form.note else ""
    file_lines = note + "\n       ".join(_file_instructions(entry, file) for file in required)
    if form.archive is None:
        return [file_lines]
    return [_file_instructions(entry, form.archive), f"or unpacked from {form.archive.name}:\n       {file_lines}"]


def _file_instructions(entry: Entry, file: File) -> str:
    size = f", {file.size:,} bytes" if file.size else ""
    lines = [f"{file.name}{size}, {known_hash(entry, file)}"]
    lines += [f"  {'from' if i == 0 else 'or  '} {_source_text(loc)}" for i, loc in enumerate(file.locations)]
    return "\n       ".join(lines)


def known_hash(entry: Entry, file: File) -> str:
    """The expected hash of a file, in words."""
    if file.sha256:
        return f"sha256 {file.sha256}"
    if file.git_blob:
        return f"git blob {file.git_blob}"
    first_record = ledger.recorded(f"{entry.name}/{file.name}")
    if first_record:
        return f"sha256 {first_record.sha256}, recorded at first download on {first_record.date}"
    return "hash not known: " + ("recorded hashes may be lost" if ledger.damage() else "recorded at first download")


def _source_text(location: str) -> str:
    scheme, _, rest = location.partition(":")
    if scheme == "gdrive":
        return browser_url(rest)
    if scheme == "pip":
        package, _, path = rest.partition(":")
        return f"`pip install {package}`, which holds {path}"
    return rest if scheme == "path" else location
