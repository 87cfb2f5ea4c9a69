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

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xmcbench.errors import UsageError, XmcError
from xmcbench.method import Method, MethodInfo
from xmcbench.runs import registry
from xmcbench.testing.checks import CHECKS, Broken, Check
from xmcbench.testing.subject import Subject, Unchecked, crash
from xmcbench.testing.surroundings import captured


@dataclass(frozen=True)
class Finding:
    """What was checked, whether it holds (None: it wasn't checked), and why not (or a remark)."""

    check: str
    ok: bool | None
    message: str


class Case:
    """One check of one method; calling it raises where the check fails and returns a remark or "".

    It raises `Unchecked`, which pytest shows as skipped, once the basic fit has failed (one cause, one failure), and
    where there is no GPU for a method that needs one.
    """

    def __init__(self, battery: _Battery, title: str, check: Check) -> None:
        self.title = title
        self.__name__ = title  # pytest shows it
        self._battery = battery
        self._check = check

    def __call__(self) -> str:
        subject = self._battery.subject
        if subject.unchecked:
            raise Unchecked(subject.unchecked)
        return self._check(subject) or ""

    def finding(self) -> Finding:
        """The same as a finding; nothing is raised."""
        try:
            return Finding(self.title, True, self())
        except Unchecked as reason:
            return Finding(self.title, None, str(reason))
        except Broken as broken:
            return Finding(self.title, False, str(broken))
        except XmcError as error:
            return Finding(self.title, False, f"{type(error).__name__}: {error}")
        except (Exception, SystemExit) as error:
            return Finding(self.title, False, crash(error, self._battery.subject.method))


class _Battery:
    """Finds and builds the method when the first case runs, so that collecting tests imports nothing of it."""

    def __init__(self, method: str | type[Method], params: Any, device: str | None) -> None:
        self._method = method
        self._params = params
        self._device = device

    @cached_property
    def subject(self) -> Subject:
        method = self._method
        found = registry.get(method) if isinstance(method, str) else registry.checked(method, method.__name__)
        subject = Subject(found, self._params, _device(found.info, self._device))
        if subject.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                subject.unchecked = f"{found.info.name} is to be checked on a GPU, and torch sees none"
        return subject

    def cases(self) -> list[Case]:
        return [Case(self, title, check) for title, check in CHECKS.items()]


def contract_cases(method: str | type[Method], *, params: Any = None, device: str | None = None) -> list[Case]:
    """One callable a check, for `pytest.mark.parametrize`; they share one fit where they can.

    Parameters
    ----------
    method : a registered name, "file.py:Class", or the class.
    params : instance of its parameters dataclass; None takes the defaults. Give quicker ones to a slow method.
    device : "cpu" or "cuda"; None is the CPU, or the GPU for a method that runs on nothing else.
    """
    return _Battery(method, params, device).cases()


def findings(method: str | type[Method], *, params: Any = None, device: str | None = None) -> Iterator[Finding]:
    """Run every check and report on each as it ends; nothing is raised for a check that fails.

    Raises
    ------
    UsageError : the method doesn't run on the device, or torch sees no GPU.
    XmcError : the method can't be found or imported, is no method class, or has another name than its entry point.
    """
    battery = _Battery(method, params, device)
    subject = battery.subject
    if subject.unchecked:
        raise UsageError(subject.unchecked, "Check it on a machine with one, with a torch that has CUDA.")
    for case in battery.cases():
        with captured(subject.new_folder()):  # what a method prints must not get between the findings
            found = case.finding()
        yield found


def check_method(method: str | type[Method], *, params: Any = None, device: str | None = None) -> list[Finding]:
    """All `findings` of a method."""
    return list(findings(method, params=params, device=device))


def assert_contract(method: str | type[Method], *, params: Any = None, device: str | None = None) -> None:
    """Raise AssertionError that lists every check that fails."""
    found = findings(method, params=params, device=device)
    failed = [f"{f.check}: {f.message}" for f in found if f.ok is False]
    if failed:
        raise AssertionError("\n".join(failed))


def _device(info: MethodInfo, asked: str | None) -> str:
    """Where to check: as asked, else on the CPU wherever the method runs there."""
    device = asked or ("cuda" if set(info.devices) == {"cuda"} else "cpu")
    if asked is not None and asked not in info.devices:
        raise UsageError(f"{info.name} doesn't run on {asked!r}", f"Its devices: {', '.join(info.devices)}.")
    return device
