"""Errors with a hint for the user: one base class, one exit code per kind.

Exit codes of the command line: 0 ok, 1 a run failed or was stopped, 2 usage, 3 regression, 4 data. Other commands that
are stopped: 130 by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from pathlib import Path

from xmcbench.escaping import kind_of, plain_text


class Terminated(KeyboardInterrupt):
    """The signal SIGTERM: the system or another program asks this process to end. Handled like Ctrl-C."""


class TerminalClosed(Terminated):
    """The signal SIGHUP: the terminal or the connection of this process was closed."""


class ProcessLost(KeyboardInterrupt):
    """One of several processes of a run ended or no longer answers. Like Ctrl-C, it ends the command in order."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}"


class XmcError(Exception):
    """An error that a user can act on: `message` says what failed and where, `hint` says what to do next."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(XmcError):
    """Unknown name, bad option, parameter of the wrong type."""

    exit_code = 2


class Stopped(XmcError):
    """Ctrl-C or a signal ended a command that a cluster executes; the same command continues."""


class RegressionError(XmcError):
    """A score fell by more than its tolerance."""

    exit_code = 3


class DataError(XmcError):
    """A file is missing, damaged or inconsistent."""

    exit_code = 4


DISK_FULL = "the disk is full"
FOLDER_HINT = "XMCBENCH_HOME moves the cache, an option such as --results the rest."


class WriteError(DataError):
    """A folder is read-only, full or missing; the user has to fix it, the code that wrote is not at fault."""


def cannot_write(path: Path, error: OSError) -> WriteError:
    """The error for a folder that is read-only, full or missing; the message names the path."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WriteError(f"{path}: {DISK_FULL}", f"Free some space, or choose another folder: {FOLDER_HINT}")
    reason = error.strerror or str(error)
    return WriteError(f"{path}: can't write ({reason})", f"Choose a folder you may write to: {FOLDER_HINT}")


def cannot_read(path: Path, error: OSError) -> DataError:
    """The error for a file that is missing or not readable."""
    return DataError(f"{path}: can't read ({error.strerror or error})", "Give the path of an existing file.")


class TimeLimit(XmcError):
    """The run's deadline has passed; the runner records status `timeout`."""


class MemoryLimit(XmcError):
    """The run holds more memory than it may; the runner records status `out_of_memory`."""


class Diverged(XmcError):
    """Training produced a value that is not finite; the runner records status `diverged`."""


RESUME = "run the same command again: it resumes from here"


def explain(error: BaseException) -> tuple[str, str]:
    """The (status, reason) that a record holds for `error`; the reason is valid Unicode, whatever `error` does."""
    kind = type(error)  # isinstance would also ask the error for its `__class__`, which a plugin may have made a trap
    if issubclass(kind, TerminalClosed):
        return "interrupted", f"stopped by SIGHUP, since its terminal was closed; {RESUME}"
    if issubclass(kind, Terminated):
        return "interrupted", f"stopped by SIGTERM, which the system or another program sent; {RESUME}"
    if issubclass(kind, ProcessLost):
        return "interrupted", plain_text(error)
    if issubclass(kind, KeyboardInterrupt):
        return "interrupted", f"stopped by Ctrl-C; {RESUME}"
    if issubclass(kind, TimeLimit):
        return "timeout", plain_text(error)
    if issubclass(kind, (Diverged, FloatingPointError)):
        return "diverged", plain_text(error)
    reason = plain_text(error) if issubclass(kind, XmcError) else f"{kind_of(error)}: {plain_text(error)}"
    out_of_memory = issubclass(kind, (MemoryError, MemoryLimit)) or kind_of(error) == "OutOfMemoryError"
    return "out_of_memory" if out_of_memory else "error", reason


def where(error: BaseException) -> str:
    """The last frames of a traceback for a bug report; file names have no folders, so no private path is shown."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-6:]
    lines = [f"{Path(f.filename).name}:{f.lineno} in {f.name}: {f.line}" for f in frames]
    return "\n".join(plain_text(line, 500) for line in lines)


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an s unless the number is 1: "1 run", "2,000 runs"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


FEW = 20  # a message lists all valid names only up to this number


def install_extra(extra: str) -> str:
    """How to install an extra of this package, which is on no index: from its checkout."""
    return f"in a checkout of xmcbench: pip install -e '.[{extra}]'"


def no_frames(module: str) -> UsageError:
    """The error where `module`, such as pandas, is not installed."""
    return UsageError(f"{module} is not installed", f"Install the extra `frames`: {install_extra('frames')}")


def unknown(kind: str, name: str, valid: Iterable[str], listed_by: str = "") -> UsageError:
    """The error for an unknown name. Its hint offers the nearest valid name, then all names or where to list them.

    `listed_by`: the command that lists all names, if that doesn't follow from the kind.
    """
    names = sorted(valid)
    by_folded = {n.casefold(): n for n in reversed(names)}
    similar = [by_folded[f] for f in difflib.get_close_matches(name.casefold(), list(by_folded), n=5, cutoff=0.6)]
    hints = [f"Did you mean {similar[0]!r}?"] if similar else []
    if len(names) <= FEW:
        hints.append(f"Known: {', '.join(names) or 'none'}")
    else:
        hints += [f"Also near: {', '.join(similar[1:])}."] if similar[1:] else []
        command = listed_by or _listed_by(kind)
        sample = f"Known: {', '.join(names[:FEW])}, … ({len(names)} in all)"
        hints.append(f"`{command}` lists all of them." if command else sample)
    return UsageError(f"unknown {kind} {name!r}", " ".join(hints))


def _listed_by(kind: str) -> str:
    """The command that lists all names of a kind, or "" if there is none."""
    if kind.startswith("parameter of "):
        return f"xmcbench info {kind.removeprefix('parameter of ')}"
    if " or " in kind:  # of several kinds
        return "xmcbench ls"
    commands = {"method": "methods", "data set": "datasets", "metric": "metrics"}
    return next((f"xmcbench ls {what}" for start, what in commands.items() if kind.startswith(start)), "")
