"""Get the checked files of a catalogue entry: existing copies, then local archives, then downloads."""

from __future__ import annotations

from pathlib import Path

from xmcbench.context import Reporter
from xmcbench.data import archive
from xmcbench.data.catalogue import Entry, File, Form
from xmcbench.data.download import DownloadProgress, Failed, download
from xmcbench.data.drive import page_in
from xmcbench.data.hashes import CHUNK, Hashes, LedgerError, check, remember
from xmcbench.data.home import sweep_home
from xmcbench.data.places import folder, instructions, places, remote
from xmcbench.errors import DataError, cannot_write
from xmcbench.locks import locked


def fetch_files(
    entry: Entry, view: str | None = None, *, offline: bool = False, progress: Reporter | None = None
) -> dict[str, Path]:
    """The checked files of one form of a data set, by role; {} for a data set without files.

    The files are searched in the download folder, in XMCBENCH_MIRROR and in installed packages; then unpacked from an
    archive found in one of those places; then, unless `offline`, downloaded, which `progress` follows as phase "fetch".
    All files come from one form, which provides `view` (None: the default). Only the download folder is written to.

    Raises
    ------
    UsageError : unknown view.
    DataError : the files are unavailable; the message lists the failed attempts and how to place the files by hand.
    """
    forms = entry.forms_for(view)
    problems: list[str] = []
    if not forms:
        return {}
    for form in forms:
        if (files := _loose_files(entry, form, problems)) is not None:
            return files
    with locked(folder(entry) / ".lock"):
        sweep_home()
        for form in forms:  # check again: another process may have fetched the files while this one waited
            if (files := _loose_files(entry, form, problems) or _unpacked_files(entry, form, problems)) is not None:
                return files
        if not offline:
            reporter = progress or Reporter()
            reporter.phase("fetch")

            def report(name: str, done: int, total: int | None) -> None:
                reporter.progress(done, total or 0, f"{name}, {done / 1e6:,.1f} MB")

            for form in forms:
                if (files := _downloaded_files(entry, form, problems, report)) is not None:
                    return files
    reason = "and --offline forbids downloading them" if offline else "and can't be downloaded"
    details = "".join(f"\n  - {problem}" for problem in dict.fromkeys(problems))
    raise DataError(f"{entry.name}: its files are not here {reason}{details}", instructions(entry, view))


def _loose_files(entry: Entry, form: Form, problems: list[str]) -> dict[str, Path] | None:
    """The form's files by role from existing copies, or None if a required file is missing."""
    paths: dict[str, Path] = {}
    for file in form.files:
        path = _checked_path(entry, file, problems)
        if path is not None:
            paths[file.role] = path
        elif not file.optional:
            return None
    return paths


def _checked_path(entry: Entry, file: File, problems: list[str]) -> Path | None:
    """The first copy of a file that passes its check.

    A wrong copy in the download folder is renamed to NAME.bad. A web page, which a browser saves where a site refuses a
    download, stays: the user put it there, and the message says what it is.
    """
    for place in places(entry, file):
        if page := _page_at(place.path):
            problems.append(f"{place.path}: {page} instead of the file: remove it, and download {file.name} again")
            continue
        try:
            check(entry, file, place.path, record=not file.is_archive)
            return place.path
        except DataError as error:
            if isinstance(error, LedgerError) or isinstance(error.__cause__, OSError):
                raise
            problems.append(error.message)
            if place.kind == "downloads":
                _put_aside(place.path)
    return None


def _page_at(path: Path) -> str | None:
    """What web page the file is, in words; None if the file is none, or can't be read."""
    try:
        with open(path, "rb") as file:
            return page_in(file.read(CHUNK))
    except OSError:
        return None


def _put_aside(path: Path) -> None:
    bad = path.with_name(path.name + ".bad")
    try:
        path.replace(bad)
    except OSError as error:
        raise cannot_write(bad, error) from error


def _unpacked_files(entry: Entry, form: Form, problems: list[str]) -> dict[str, Path] | None:
    """The form's files by role, unpacked from an archive that is already on this machine."""
    if form.archive is None or (archive_path := _checked_path(entry, form.archive, problems)) is None:
        return None
    wanted = {
        file.name: file.members or (file.name,) for file in form.files if not _checked_path(entry, file, problems)
    }
    try:
        unpacked = archive.extract(archive_path, wanted, folder(entry))
    except DataError as error:
        if not error.message.startswith(f"{archive_path}:"):  # a failure of the local disk, not of the archive
            raise
        problems.append(error.message)
        if archive_path.parent == folder(entry):
            _put_aside(archive_path)
        return None
    missing = [f.name for f in form.files if f.name in wanted and f.name not in unpacked and not f.optional]
    if missing:
        problems.append(f"{archive_path}: holds no {' and no '.join(missing)}")
        return None
    files = _loose_files(entry, form, problems)
    if files is not None:
        check(entry, form.archive, archive_path)  # extraction has read the whole archive, so its hash may be recorded
    return files


def _downloaded_files(
    entry: Entry, form: Form, problems: list[str], progress: DownloadProgress
) -> dict[str, Path] | None:
    if form.archive is not None:
        archive_path = folder(entry) / form.archive.name
        if _page_at(archive_path) is not None:
            return None
        if not archive_path.exists() and not _download_from_any(entry, form.archive, problems, progress):
            return None
        return _unpacked_files(entry, form, problems)
    missing = [file for file in form.files if not file.optional and not _checked_path(entry, file, problems)]
    without_url = [file.name for file in missing if not remote(file)]
    if without_url:
        problems.append(f"{' and '.join(without_url)}: no download location known")
        return None
    if not all(_download_from_any(entry, file, problems, progress) for file in missing):
        return None
    return _loose_files(entry, form, problems)


def _download_from_any(entry: Entry, file: File, problems: list[str], progress: DownloadProgress) -> bool:
    """Download one file from the first location that provides the right content; return whether one did."""
    target = folder(entry) / file.name
    if target.exists():  # a web page, which the problems name already
        return False
    part = target.with_name(target.name + ".part")

    def accept(hashes: Hashes) -> None:
        if not file.hash_known and archive.is_archive(file.name):
            archive.probe(part)
        check(entry, file, part, hashes, record=not file.is_archive)

    for location in remote(file):
        try:
            remember(target, download(location, target, file.size, accept, progress))
            return True
        except Failed as error:
            problems.append(f"{file.name} from {location}: {error}")
        except DataError as error:
            if isinstance(error, LedgerError) or isinstance(error.__cause__, OSError):
                raise
            problems.append(f"{file.name} from {location}: {error.message}")
    return False
