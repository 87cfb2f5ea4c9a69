"""From a catalogue entry to checked files on disk: found, unpacked, or downloaded, in that order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xmcbench.context import Reporter
from xmcbench.data import archive
from xmcbench.data.catalogue import Entry, File, Form
from xmcbench.data.download import Failed, Progress, download
from xmcbench.data.hashes import Hashes, check, remember
from xmcbench.data.places import folder, instructions, places, remote
from xmcbench.errors import DataError
from xmcbench.files import TEMPORARY, cannot_write


def fetch_files(
    entry: Entry, view: str | None = None, *, offline: bool = False, progress: Reporter | None = None
) -> dict[str, Path]:
    """The checked files of one form of a data set, by role; {} for one without files.

    Looked for in the download folder, in XMCBENCH_MIRROR, where other packages put them; then unpacked from an archive
    found in those places; then, unless `offline`, downloaded. All files come from one form. Nothing outside the
    download folder is written to.

    Parameters
    ----------
    view : which view the files are for; None: the entry's default.
    progress : told the phase "fetch" and the bytes of each download.

    Raises
    ------
    UsageError : unknown view.
    DataError : they can't be had; all that was tried, and what to put where by hand.
    """
    forms = entry.forms_for(view)
    tried: list[str] = []
    if not forms:
        return {}
    for form in forms:
        if (found := _loose(entry, form, tried)) is not None:
            return found
    with _locked(entry):
        for form in forms:  # again: another process may have brought them while this one waited
            if (found := _loose(entry, form, tried) or _unpacked(entry, form, tried)) is not None:
                return found
        if not offline:
            told = _teller(progress or Reporter())
            for form in forms:
                if (found := _downloaded(entry, form, tried, told)) is not None:
                    return found
    raise _not_there(entry, view, offline, tried)


def _teller(reporter: Reporter) -> Progress:
    reporter.phase("fetch")

    def tell(name: str, done: int, total: int | None) -> None:
        reporter.progress(done, total or done, f"{name}, {done / 1e6:,.1f} MB")

    return tell


def _not_there(entry: Entry, view: str | None, offline: bool, tried: list[str]) -> DataError:
    why = "and --offline forbids to download them" if offline else "and can't be downloaded"
    listed = "".join(f"\n  - {line}" for line in dict.fromkeys(tried))
    return DataError(f"{entry.name}: its files are not here {why}{listed}", instructions(entry, view))


def _loose(entry: Entry, form: Form, tried: list[str]) -> dict[str, Path] | None:
    """The form's files as they lie about, or None if a needed one is missing."""
    found: dict[str, Path] = {}
    for file in form.files:
        path = _good(entry, file, tried)
        if path is not None:
            found[file.role] = path
        elif not file.optional:
            return None
    return found


def _good(entry: Entry, file: File, tried: list[str]) -> Path | None:
    """The first copy that passes its check. A wrong one in our own folder is put aside as NAME.bad."""
    for place in places(entry, file):
        try:
            check(entry, file, place.path, record=not _holds_others(file))
            return place.path
        except DataError as error:
            if isinstance(error.__cause__, OSError):
                raise
            tried.append(error.message)
            if place.kind == "downloads":
                _put_aside(place.path)
    return None


def _put_aside(path: Path) -> None:
    bad = path.with_name(path.name + ".bad")
    try:
        path.replace(bad)
    except OSError as error:
        raise cannot_write(bad, error) from error


def _unpacked(entry: Entry, form: Form, tried: list[str]) -> dict[str, Path] | None:
    """The form's files out of an archive that is already here."""
    if form.archive is None or (packed := _good(entry, form.archive, tried)) is None:
        return None
    wanted = {file.name: file.members or (file.name,) for file in form.files if not _good(entry, file, tried)}
    try:
        unpacked = archive.extract(packed, wanted, folder(entry))
    except DataError as error:
        if not error.message.startswith(f"{packed}:"):  # our disk, not their archive
            raise
        tried.append(error.message)
        if packed.parent == folder(entry):
            _put_aside(packed)
        return None
    missing = [f.name for f in form.files if f.name in wanted and f.name not in unpacked and not f.optional]
    if missing:
        tried.append(f"{packed}: holds no {' and no '.join(missing)}")
        return None
    found = _loose(entry, form, tried)
    if found is not None:
        check(entry, form.archive, packed)  # it has been read through, so its hash may be recorded
    return found


def _downloaded(entry: Entry, form: Form, tried: list[str], progress: Progress) -> dict[str, Path] | None:
    if form.archive is not None:
        ours = folder(entry) / form.archive.name
        if not ours.exists() and not _get(entry, form.archive, tried, progress):
            return None
        return _unpacked(entry, form, tried)
    missing = [file for file in form.files if not file.optional and not _good(entry, file, tried)]
    nowhere = [file.name for file in missing if not remote(file)]
    if nowhere:
        tried.append(f"{' and '.join(nowhere)}: nowhere to download it from")
        return None
    if not all(_get(entry, file, tried, progress) for file in missing):
        return None
    return _loose(entry, form, tried)


def _get(entry: Entry, file: File, tried: list[str], progress: Progress) -> bool:
    """Download one file from the first location that gives the right one."""
    target = folder(entry) / file.name
    part = target.with_name(target.name + ".part")
    seen: list[Hashes] = []

    def accept(hashes: Hashes) -> None:
        if not file.hash_known and archive.is_archive(file.name):
            archive.probe(part)
        check(entry, file, part, hashes, record=not _holds_others(file))
        seen.append(hashes)

    for location in remote(file):
        try:
            download(location, target, file.size, accept, progress)
            remember(target, seen[-1])
            return True
        except Failed as error:
            tried.append(f"{file.name} from {location}: {error}")
        except DataError as error:
            if isinstance(error.__cause__, OSError):
                raise
            tried.append(f"{file.name} from {location}: {error.message}")
    return False


def _holds_others(file: File) -> bool:
    return file.role == "archive"


@contextmanager
def _locked(entry: Entry) -> Iterator[None]:
    """One process at a time fetches a data set; what killed ones left of unpacking is removed."""
    from filelock import FileLock

    here = folder(entry)
    try:
        here.mkdir(parents=True, exist_ok=True)
        lock = FileLock(here / ".lock")
        lock.acquire()
    except OSError as error:
        raise cannot_write(here, error) from error
    try:
        for left_over in here.glob(TEMPORARY + "*"):
            left_over.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
