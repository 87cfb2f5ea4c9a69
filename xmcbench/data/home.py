"""Folders for downloads, parsed data sets and imports."""

from __future__ import annotations

import os
from pathlib import Path

from xmcbench.errors import WriteError
from xmcbench.escaping import clean
from xmcbench.files import LONGEST, sweep


def home() -> Path:
    """`XMCBENCH_HOME`, or else the platform's cache folder for xmcbench; the folder is not created.

    Raises
    ------
    WriteError : there can be no such folder; the message names the variable to set.
    """
    override, hint = os.environ.get("XMCBENCH_HOME"), "Set XMCBENCH_HOME to a folder you may write to."
    name = "XMCBENCH_HOME is " if override else ""
    try:
        path = Path(override or _cache_folder()).expanduser()
    except RuntimeError as error:  # of pathlib and platformdirs
        reason = f"{name}{clean(override)}" if override else "HOME is not set"
        raise WriteError(f"{reason}: this user's home folder is not known", hint) from error
    try:
        path = path.absolute()
    except FileNotFoundError as error:
        raise WriteError(f"{name}{path}: the current folder was removed", "Change to another folder.") from error
    try:
        os.stat(path / ("x" * LONGEST))
    except (FileNotFoundError, NotADirectoryError):
        pass  # files in a mirror or package may be all that is needed; what writes here reports the fault
    except OSError as error:
        raise WriteError(f"{name}{clean(path)[:200]}: {error.strerror or error}", hint) from error
    return path


def _cache_folder() -> str:
    import platformdirs

    return str(platformdirs.user_cache_dir("xmcbench", appauthor=False))


def imported() -> Path:
    """The folder of `xmcbench data import`, with one subfolder per data set."""
    return home() / "imported"


def folders() -> list[Path]:
    """The existing folders in which downloads, parsed data sets, imports and what methods cache are written."""
    parents = [home() / name for name in ("downloads", "parsed")]
    listed = [path for parent in parents if parent.is_dir() for path in sorted(parent.iterdir())]
    written = [home(), *(home() / name for name in ("imported", "tokens", "embeddings", "peers")), *listed]
    return [path for path in written if path.is_dir()]


def sweep_home() -> None:
    """Remove unfinished files of killed processes."""
    for folder in folders():
        sweep(folder)
