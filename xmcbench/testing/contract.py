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

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from xmcbench.errors import UsageError, XmcError
from xmcbench.method import Method
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

    def __init__(self, subject: Callable[[], Subject], title: str, check: Check) -> None:
        self.title = self.__name__ = title  # the latter is shown by pytest
        self._subject, self._check = subject, check

    def __call__(self) -> str:
        subject = self._subject()
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
            return Finding(self.title, False, crash(error, self._subject().method))


def _lazy(method: str | type[Method], params: Any, device: str | None) -> Callable[[], Subject]:
    """Imports the method when the first case runs, so that collecting tests does not import it."""

    @cache
    def subject() -> Subject:
        cls = registry.typed(method) if isinstance(method, str) else registry.checked(method, method.__name__)
        info = cls.info
        if device is not None and device not in info.devices:
            raise UsageError(f"{info.name} doesn't run on {device!r}", f"Its devices: {', '.join(info.devices)}.")
        made = Subject(cls, params, device or ("cuda" if set(info.devices) == {"cuda"} else "cpu"))
        if made.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                made.unchecked = f"{info.name} is to be checked on a GPU, and torch sees none"
        return made

    return subject


def contract_cases(method: str | type[Method], *, params: Any = None, device: str | None = None) -> list[Case]:
    """One callable per check, for `pytest.mark.parametrize`; checks share one fit where possible.

    Parameters
    ----------
    method : a registered name, "file.py:Class", or the class.
    params : instance of the parameters dataclass; None for the defaults. Pass faster parameters for a slow method.
    device : "cpu" or "cuda"; None for the CPU, or for the GPU if the method only runs there.
    """
    subject = _lazy(method, params, device)
    return [Case(subject, title, check) for title, check in CHECKS.items()]


def findings(method: str | type[Method], *, params: Any = None, device: str | None = None) -> Iterator[Finding]:
    """Run every check and yield its finding; a failed check raises nothing.

    Raises
    ------
    UsageError : the method doesn't run on the device, or torch sees no GPU.
    XmcError : the method can't be found or imported, isn't a method class, or its name differs from its entry point.
    """
    lazy = _lazy(method, params, device)
    subject = lazy()
    if subject.unchecked:
        raise UsageError(subject.unchecked, "Check it on a machine with a GPU and a torch with CUDA.")
    for title, check in CHECKS.items():
        case = Case(lazy, title, check)
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
