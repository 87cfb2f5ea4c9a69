"""The contract battery: checks that every method must pass. Plugin authors run it against their methods.

In a test file, with one case per check:

    import pytest
    from xmcbench.testing.contract import contract_cases

    @pytest.mark.parametrize("case", contract_cases("mymethod"))
    def test_contract(case):
        case()

In a terminal: `xmcbench check method mymethod`. The checks themselves are in `xmcbench.testing.checks`.
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
    """Result of one check: its title, whether it holds (None: not checked), and the reason or a remark."""

    check: str
    ok: bool | None
    message: str


class Case:
    """One check of one method; calling it raises if the check fails, else returns a remark or "".

    It raises `Unchecked`, which pytest shows as skipped, if the basic fit failed in an earlier check, or if there is no
    GPU for a method that needs one.
    """

    def __init__(self, battery: _Battery, title: str, check: Check) -> None:
        self.title = title
        self.__name__ = title  # shown by pytest
        self._battery = battery
        self._check = check

    def __call__(self) -> str:
        subject = self._battery.subject
        if subject.unchecked:
            raise Unchecked(subject.unchecked)
        return self._check(subject) or ""

    def finding(self) -> Finding:
        """Run the check and return the result as a finding; nothing is raised."""
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
    """Imports the method when the first case runs, so that collecting tests does not import it."""

    def __init__(self, method: str | type[Method], params: Any, device: str | None) -> None:
        self._method = method
        self._params = params
        self._device = device

    @cached_property
    def subject(self) -> Subject:
        method = self._method
        cls = registry.get(method) if isinstance(method, str) else registry.checked(method, method.__name__)
        subject = Subject(cls, self._params, _device(cls.info, self._device))
        if subject.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                subject.unchecked = f"{cls.info.name} is to be checked on a GPU, and torch sees none"
        return subject

    def cases(self) -> list[Case]:
        return [Case(self, title, check) for title, check in CHECKS.items()]


def contract_cases(method: str | type[Method], *, params: Any = None, device: str | None = None) -> list[Case]:
    """One callable per check, for `pytest.mark.parametrize`; checks share one fit where possible.

    Parameters
    ----------
    method : a registered name, "file.py:Class", or the class.
    params : instance of the parameters dataclass; None for the defaults. Pass faster parameters for a slow method.
    device : "cpu" or "cuda"; None for the CPU, or for the GPU if the method only runs there.
    """
    return _Battery(method, params, device).cases()


def findings(method: str | type[Method], *, params: Any = None, device: str | None = None) -> Iterator[Finding]:
    """Run every check and yield its finding; a failed check raises nothing.

    Raises
    ------
    UsageError : the method doesn't run on the device, or torch sees no GPU.
    XmcError : the method can't be found or imported, isn't a method class, or its name differs from its entry point.
    """
    battery = _Battery(method, params, device)
    subject = battery.subject
    if subject.unchecked:
        raise UsageError(subject.unchecked, "Check it on a machine with a GPU and a torch with CUDA.")
    for case in battery.cases():
        with captured(subject.new_folder()):  # output of the method must not mix with the findings
            finding = case.finding()
        yield finding


def check_method(method: str | type[Method], *, params: Any = None, device: str | None = None) -> list[Finding]:
    """The `findings` of a method as a list."""
    return list(findings(method, params=params, device=device))


def assert_contract(method: str | type[Method], *, params: Any = None, device: str | None = None) -> None:
    """Raise an AssertionError that lists all failed checks."""
    results = findings(method, params=params, device=device)
    failed = [f"{f.check}: {f.message}" for f in results if f.ok is False]
    if failed:
        raise AssertionError("\n".join(failed))


def _device(info: MethodInfo, requested: str | None) -> str:
    """The device for the checks: the requested one, else the CPU if the method runs there."""
    device = requested or ("cuda" if set(info.devices) == {"cuda"} else "cpu")
    if requested is not None and requested not in info.devices:
        raise UsageError(f"{info.name} doesn't run on {requested!r}", f"Its devices: {', '.join(info.devices)}.")
    return device
