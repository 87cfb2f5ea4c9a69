"""Get the checked files of a catalogue entry: existing copies, then local archives, then downloads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from xmcbench.context import Reporter
from xmcbench.data import archive
from xmcbench.data.catalogue import Entry, File, Form
from xmcbench.data.download import DownloadProgress, Failed, download, keep
from xmcbench.data.drive import page_in
from xmcbench.data.hashes import CHUNK, Hashes, check
from xmcbench.data.home import sweep_home, using
from xmcbench.data.ledger import LedgerError
from xmcbench.data.places import folder, instructions, places, remote
from xmcbench.errors import DataError, cannot_write
from xmcbench.inputs import open_file
from xmcbench.locks import locked


@dataclass
class _Search:
    """A search for the files of an entry, and the reasons why places and locations were of no use."""

    entry: Entry
    trust: bool  # see `hashes.check`
    problems: list[str] = field(default_factory=list)
    alone: bool = False  # this process has the lock of the download folder, and moves wrong files away
    wrong: bool = False  # a file is to be moved away
    moved: list[str] = field(default_factory=list)  # the problems of files that were moved away


def fetch_files(
    entry: Entry,
    view: str | None = None,
    *,
    offline: bool = False,
    progress: Reporter | None = None,
    trust: bool = False,
) -> dict[str, Path]:
    """The checked files of one form of a data set, by role; {} for a data set without files.

    The files are searched in the download folder, in XMCBENCH_MIRROR and in installed packages; then unpacked from an
    archive found in one of those places; then, unless `offline`, downloaded, which `progress` follows as phase "fetch".
    All files come from one form, which provides `view` (None: the default). Only the download folder is written to. Two
    processes at once download once.

    `trust` : accept files whose hash at the first download is lost or differs; the catalogue's hashes still count.

    Raises
    ------
    UsageError : unknown view.
    LedgerError : a file is there, but its hash at the first download is lost, and not `trust`.
    DataError : the files are unavailable; the message lists the failed attempts and how to place the files by hand.
    """
    forms = entry.forms_for(view)
    search, reporter = _Search(entry, trust), progress or Reporter()
    if not forms:
        return {}
    with using(entry.name):
        for form in forms:
            if (files := _loose_files(search, form)) is not None and not search.wrong:
                return files
        waiting = partial(reporter.phase, "waiting for another process that fetches the same files")
        with locked(folder(entry) / ".lock", waiting=waiting):
            search.alone = True
            sweep_home()
            if (files := _fetched_files(search, forms, offline, reporter)) is not None:
                for problem in search.moved:
                    warnings.warn(problem, stacklevel=2)
                return files
    reason = "and --offline forbids downloading them" if offline else "and can't be downloaded"
    details = "".join(f"\n  - {problem}" for problem in dict.fromkeys(search.problems))
    raise DataError(f"{entry.name}: its files are not here {reason}{details}", instructions(entry, view))


def _fetched_files(
    search: _Search, forms: tuple[Form, ...], offline: bool, reporter: Reporter
) -> dict[str, Path] | None:
    for form in forms:  # check again: another process may have fetched the files while this one waited
        if (files := _loose_files(search, form) or _unpacked_files(search, form)) is not None:
            return files
    if offline:
        return None
    reporter.phase("fetch")

    def report(name: str, done: int, total: int | None) -> None:
        reporter.progress(done, total or 0, f"{name}, {done / 1e6:,.1f} MB")

    for form in forms:
        if (files := _downloaded_files(search, form, report)) is not None:
            return files
    return None


def _loose_files(search: _Search, form: Form) -> dict[str, Path] | None:
    """The form's files by role from existing copies, or None if a required file is missing."""
    paths: dict[str, Path] = {}
    for file in form.files:
        path = _checked_path(search, file)
        if path is not None:
            paths[file.role] = path
        elif not file.optional:
            return None
    return paths


def _checked_path(search: _Search, file: File) -> Path | None:
    """The first copy of a file that passes its check.

    A wrong copy in the download folder is renamed to NAME.bad. A web page, which a browser saves where a site refuses a
    download, stays: the user put it there, and the message says what it is.
    """
    for place in places(search.entry, file):
        if page := _page_at(place.path):
            problem = f"{page} instead of the file: remove it, and download {file.name} again"
            search.problems.append(f"{place.path}: {problem}")
            continue
        try:
            check(search.entry, file, place.path, record=not file.is_archive, trust=search.trust)
            return place.path
        except DataError as error:
            if isinstance(error, LedgerError) or isinstance(error.__cause__, OSError):
                raise
            if place.kind != "downloads":
                search.problems.append(error.message)
            elif search.alone:
                _put_aside(search, place.path, error.message)
            else:
                search.wrong = True
    return None


def _page_at(path: Path) -> str | None:
    """What web page the file is, in words; None if the file is none, or can't be read."""
    try:
        with open_file(path) as file:
            return page_in(file.read(CHUNK))
    except (OSError, DataError):
        return None


def _put_aside(search: _Search, path: Path, problem: str) -> None:
    bad = path.with_name(path.name + ".bad")
    try:
        path.replace(bad)
    except OSError as error:
        raise cannot_write(bad, error) from error
    search.moved.append(f"{problem}\n    renamed to {bad.name}")
    search.problems.append(search.moved[-1])


def _unpacked_files(search: _Search, form: Form) -> dict[str, Path] | None:
    """The form's files by role, unpacked from an archive that is already on this machine."""
    if form.archive is None or (archive_path := _checked_path(search, form.archive)) is None:
        return None
    wanted = {file.name: file.members or (file.name,) for file in form.files if not _checked_path(search, file)}
    try:
        unpacked = archive.extract(archive_path, wanted, folder(search.entry))
    except DataError as error:
        if not error.message.startswith(f"{archive_path}:"):  # a failure of the local disk, not of the archive
            raise
        if archive_path.parent == folder(search.entry):
            _put_aside(search, archive_path, error.message)
        else:
            search.problems.append(error.message)
        return None
    missing = [f.name for f in form.files if f.name in wanted and f.name not in unpacked and not f.optional]
    if missing:
        search.problems.append(f"{archive_path}: holds no {' and no '.join(missing)}")
        return None
    files = _loose_files(search, form)
    if files is not None:  # extraction has read the whole archive, so its hash may be recorded
        check(search.entry, form.archive, archive_path, trust=search.trust)
    return files


def _downloaded_files(search: _Search, form: Form, progress: DownloadProgress) -> dict[str, Path] | None:
    if form.archive is not None:
        archive_path = folder(search.entry) / form.archive.name
        if _page_at(archive_path) is not None:
            return None
        if not archive_path.exists() and not _download_from_any(search, form.archive, progress):
            return None
        return _unpacked_files(search, form)
    missing = [file for file in form.files if not file.optional and not _checked_path(search, file)]
    without_url = [file.name for file in missing if not remote(file)]
    if without_url:
        search.problems.append(f"{' and '.join(without_url)}: no download location known")
        return None
    if not all(_download_from_any(search, file, progress) for file in missing):
        return None
    return _loose_files(search, form)


def _download_from_any(search: _Search, file: File, progress: DownloadProgress) -> bool:
    """Download one file from the first location that provides the right content; return whether one did."""
    target = folder(search.entry) / file.name
    if target.exists():  # a web page, which the problems name already
        return False
    part = target.with_name(target.name + ".part")

    def accept(hashes: Hashes) -> None:
        if not file.hash_known and archive.is_archive(file.name):
            archive.probe(part)
        check(search.entry, file, part, hashes, record=not file.is_archive, trust=search.trust)

    for location in remote(file):
        try:
            download(location, target, file.size, accept, progress)
            return True
        except Failed as error:
            search.problems.append(f"{file.name} from {location}: {error}")
        except LedgerError:
            keep(target)  # until the user confirms it with --trust
            raise
        except DataError as error:
            if isinstance(error.__cause__, OSError):
                raise
            search.problems.append(f"{file.name} from {location}: {error.message}")
    return False
