"""What went wrong, where, what is valid, what to do next: one base error, one exit code a kind.

Exit codes of the command line: 0 ok, 1 a run failed, 2 usage, 3 regression, 4 data, 130 interrupted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class XmcError(Exception):
    """An error a user can act on: `message` says what and where, `hint` says what to do next."""

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


class RegressionError(XmcError):
    """A score fell by more than its tolerance."""

    exit_code = 3


class DataError(XmcError):
    """A file that is missing, damaged or means something impossible."""

    exit_code = 4


class TimeLimit(XmcError):
    """The run's deadline has passed; the runner records status `timeout`."""


class Diverged(XmcError):
    """Training left the finite numbers; the runner records status `diverged`."""


def explain(error: BaseException) -> tuple[str, str]:
    """(status, reason) of what went wrong."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "stopped by the user; the next run goes on from here"
    if isinstance(error, TimeLimit):
        return "timeout", str(error)
    if isinstance(error, Diverged | FloatingPointError):
        return "diverged", str(error)
    reason = str(error) if isinstance(error, XmcError) else f"{type(error).__name__}: {error}"
    out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return "out_of_memory" if out_of_memory else "error", reason


def where(error: BaseException) -> str:
    """The last frames of a traceback, file names without folders: enough for a bug report, no private paths."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return "\n".join(f"{Path(f.filename).name}:{f.lineno} in {f.name}: {f.line}" for f in frames)


FEW = 20  # names; more than these are not all listed in a message


def unknown(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """The error for a name nobody knows: the nearest is offered, then all of them, or if many, where to find them."""
    names = sorted(valid)
    folded = {n.casefold(): n for n in reversed(names)}
    near = [folded[f] for f in difflib.get_close_matches(name.casefold(), list(folded), n=5, cutoff=0.5)]
    offer = [f"Did you mean {near[0]!r}?"] if near else []
    if len(names) <= FEW:
        offer.append(f"Known: {', '.join(names) or 'none'}")
    else:
        offer += [f"Also near: {', '.join(near[1:])}."] if near[1:] else []
        command = _listed_by(kind)
        some = f"Known: {', '.join(names[:FEW])}, … ({len(names)} in all)"
        offer.append(f"`{command}` lists what there is." if command else some)
    return UsageError(f"unknown {kind} {name!r}", " ".join(offer))


def _listed_by(kind: str) -> str:
    """The command that lists all names of a kind, or ""."""
    if kind.startswith("parameter of "):
        return f"xmcbench info {kind.removeprefix('parameter of ')}"
    if kind.startswith("run in "):
        return f"xmcbench ls runs --results {kind.removeprefix('run in ')}"
    if " or " in kind:  # of several kinds
        return "xmcbench ls"
    commands = {"method": "methods", "data set": "datasets", "metric": "metrics"}
    return next((f"xmcbench ls {what}" for start, what in commands.items() if kind.startswith(start)), "")
