"""Errors that no command handles: a message of one line for the user, and a log file with the traceback."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from xmcbench.errors import XmcError
from xmcbench.escaping import one_line

KEPT = 20  # log files
LONGEST = 300  # characters of the error's own text


def as_error(error: BaseException) -> XmcError:
    """The message for an error that is no XmcError; its hint names the log file, which is written here."""
    file = write_log(error)
    details = f"The details are in {file}" if file else "Its details could not be written to a file"
    if isinstance(error, MemoryError):
        return XmcError("out of memory", f"End other programs, or use less data or a smaller model. {details}")
    text = one_line(error)[:LONGEST]
    if isinstance(error, OSError) and error.strerror:
        if error.filename is None and (gone := _current_folder_gone()):
            return XmcError(gone, "Change to a folder that exists, and repeat the command.")
        about = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
        hint = "Check the path, its permissions, and the space on its disk."
        return XmcError(f"{about[:LONGEST]}{error.strerror[0].lower()}{error.strerror[1:]}", f"{hint} {details}")
    if isinstance(error, ImportError):
        return XmcError(f"a part of the installation can't be loaded ({text})", f"Install xmcbench again. {details}")
    name = type(error).__name__
    hint = f"This is a fault of xmcbench or of a plug-in; please report it. {details}"
    return XmcError(f"unexpected {name}: {text}" if text else f"unexpected {name}", hint)


def _current_folder_gone() -> str:
    try:
        os.getcwd()
    except OSError as error:
        return f"the current folder can't be used ({error.strerror})"
    return ""


def write_log(error: BaseException) -> Path | None:
    """Write the traceback to `logs` in the home folder, or else to the temporary folder; the file, or None if neither
    can be written. The newest `KEPT` log files are kept."""
    import traceback

    from xmcbench import __version__
    from xmcbench.data.home import home
    from xmcbench.files import atomic

    head = f"xmcbench {__version__}, Python {sys.version}\n{sys.argv}\n\n"
    text = head + "".join(traceback.format_exception(error))
    name = f"xmcbench-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.log"
    folders: list[Callable[[], Path]] = [lambda: home() / "logs", lambda: Path(tempfile.gettempdir())]
    for folder in folders:
        with suppress(Exception):  # the home folder is unknown or read-only, or its disk full
            path = folder() / name
            with atomic(path) as file:
                file.write(text.encode(errors="backslashreplace"))
            for old in sorted(path.parent.glob("xmcbench-*T*-*.log"))[:-KEPT]:
                old.unlink(missing_ok=True)
            return path
    return None
