"""What went wrong, where, what is valid, what to do next: one base error, one exit code a kind.

Exit codes of the command line: 0 ok, 1 a run failed, 2 usage, 3 regression, 4 data.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


def unknown(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """The error for a name nobody knows: the nearest one is offered, then all of them."""
    names = sorted(valid)
    folded = {n.casefold(): n for n in reversed(names)}
    near = [folded[f] for f in difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)]
    offer = f"Did you mean {near[0]!r}? " if near else ""
    shown = ", ".join(names[:40]) + (f", … ({len(names)} in all)" if len(names) > 40 else "")
    return UsageError(f"unknown {kind} {name!r}", f"{offer}Known: {shown or 'none'}")
