"""The battery every method has to pass; plugin authors run it against theirs.

From a test file, one case a check:

    import pytest
    from xmcbench.testing.contract import contract_cases

    @pytest.mark.parametrize("case", contract_cases("mymethod"))
    def test_contract(case):
        case()

From a terminal: `xmcbench check method mymethod`. The checks themselves are in `xmcbench.testing.checks`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xmcbench import registry
from xmcbench.errors import XmcError
from xmcbench.method import Method
from xmcbench.testing.checks import CHECKS, Broken, Check
from xmcbench.testing.subject import Subject, captured


@dataclass(frozen=True)
class Finding:
    """What was checked, whether it holds, and why not (or a remark)."""

    check: str
    ok: bool
    message: str


class Case:
    """One check of one method; calling it raises where the check fails and returns a remark or ""."""

    def __init__(self, battery: _Battery, title: str, check: Check) -> None:
        self.title = title
        self.__name__ = title  # pytest shows it
        self._battery = battery
        self._check = check

    def __call__(self) -> str:
        return self._check(self._battery.subject) or ""


class _Battery:
    """Finds and builds the method when the first case runs, so that collecting tests imports nothing of it."""

    def __init__(self, method: str | type[Method], params: Any) -> None:
        self._method = method
        self._params = params

    @cached_property
    def subject(self) -> Subject:
        method = self._method
        if not isinstance(method, str):
            return Subject(registry.checked(method, method.__name__), self._params)
        found = registry.get(method)
        if method in registry.sources() and found.info.name != method:
            raise XmcError(
                f"registered as {method!r}, but its info.name is {found.info.name!r}", "Both have to be the same."
            )
        return Subject(found, self._params)

    def cases(self) -> list[Case]:
        return [Case(self, title, check) for title, check in CHECKS.items()]


def contract_cases(method: str | type[Method], *, params: Any = None) -> list[Case]:
    """One callable a check, for `pytest.mark.parametrize`; they share one fit where they can.

    Parameters
    ----------
    method : a registered name, "file.py:Class", or the class.
    params : instance of its parameters dataclass; None takes the defaults. Give quicker ones to a slow method.
    """
    return _Battery(method, params).cases()


def findings(method: str | type[Method], *, params: Any = None) -> Iterator[Finding]:
    """Run every check and report on each as it ends; nothing is raised for a check that fails.

    Raises
    ------
    XmcError : the method can't be found or imported, is no method class, or has another name than its entry point.
    """
    battery = _Battery(method, params)
    subject = battery.subject
    for case in battery.cases():
        with captured(subject.new_folder()):  # what a method prints must not get between the findings
            found = _finding(case)
        yield found


def check_method(method: str | type[Method], *, params: Any = None) -> list[Finding]:
    """All `findings` of a method."""
    return list(findings(method, params=params))


def assert_contract(method: str | type[Method], *, params: Any = None) -> None:
    """Raise AssertionError that lists every check that fails."""
    failed = [f"{f.check}: {f.message}" for f in findings(method, params=params) if not f.ok]
    if failed:
        raise AssertionError("\n".join(failed))


def _finding(case: Case) -> Finding:
    try:
        return Finding(case.title, True, case())
    except Broken as broken:
        return Finding(case.title, False, str(broken))
    except XmcError as error:
        return Finding(case.title, False, f"{type(error).__name__}: {error}")
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return Finding(case.title, False, f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})")
