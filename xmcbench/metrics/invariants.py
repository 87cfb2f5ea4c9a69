"""Identities that hold for every ranking: a record that breaks one was computed wrongly and is refused.

Such errors occur: mteb's stored results once had MRR@1 ≠ P@1, and the XC repository's tables have nDCG@1 ≠ P@1 in
some 17 rows.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from xmcbench.metrics.names import Name, parse

TOLERANCE = 1e-9  # sums of the same float64 numbers in another order

_EQUAL_AT_1 = (("P", "nDCG", "RR", "Success"), ("PSP", "PSnDCG"))
_GROWING = ("R", "Success", "RR", "Coverage", "MacroR")


class Scored(Protocol):
    """A metric's canonical name with its value and its best reachable value, as fractions; None where undefined."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float | None: ...
    @property
    def best(self) -> float | None: ...


def faults(metrics: Sequence[Scored]) -> list[str]:
    """One message for each name that occurs twice or is not canonical, then the messages of `broken`.

    Raises UsageError: a name of no metric.
    """
    names = [one.name for one in metrics]
    messages = [f"metric {name!r} occurs twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    messages += [f"metric {name!r} must be written {str(parse(name))!r}" for name in names if str(parse(name)) != name]
    return messages + broken({one.name: one.value for one in metrics}, {one.name: one.best for one in metrics})


def broken(values: Mapping[str, float | None], best: Mapping[str, float | None] | None = None) -> list[str]:
    """One message for each identity that fails; empty if all hold.

    Parameters
    ----------
    values : canonical name → fraction; None (undefined) is left out.
    best : canonical name → best reachable fraction, where defined.
    """
    defined = {parse(text): value for text, value in values.items() if value is not None}
    messages = _out_of_range(defined)
    for text, reachable in (best or {}).items():
        value = values.get(text)
        if value is not None and reachable is not None and value > reachable + TOLERANCE:
            messages.append(f"{text} = {value!r} is above the best reachable {reachable!r}")
    for family in _EQUAL_AT_1:
        messages += _unequal(defined, family)
    messages += _falling(defined)
    return messages


def _out_of_range(defined: Mapping[Name, float]) -> list[str]:
    messages = []
    for name, value in defined.items():
        high = name.definition.high
        if not math.isfinite(value) or value < 0 or (high is not None and value > high + TOLERANCE):
            messages.append(f"{name} = {value!r} is outside 0 to {high if high is not None else 'any finite number'}")
    return messages


def _unequal(defined: Mapping[Name, float], family: tuple[str, ...]) -> list[str]:
    """P@1 = nDCG@1 = RR@1 = Success@1, in every slice; PSP@1 = PSnDCG@1 where both are ratios of sums."""
    groups: dict[tuple[bool, str | None], list[Name]] = defaultdict(list)
    for name in defined:
        comparable = name.definition.variant == "" or name.definition.kind == "ratio of sums"
        if name.metric in family and name.k == 1 and comparable:
            groups[name.skips_empty, name.slice].append(name)
    messages = []
    for names in groups.values():
        for other in names[1:]:
            if abs(defined[other] - defined[names[0]]) > TOLERANCE:
                messages.append(
                    f"{names[0]} = {defined[names[0]]!r} but {other} = {defined[other]!r}; they must be equal"
                )
    return messages


def _falling(defined: Mapping[Name, float]) -> list[str]:
    """R, Success, RR, Coverage, MacroR never fall with k; k · P@k never falls and grows by at most 1 per rank."""
    curves: dict[tuple[str, tuple[str, ...], str | None], list[tuple[int, Name]]] = defaultdict(list)
    for name in defined:
        if name.k is not None and name.metric in (*_GROWING, "P") and "like=napkinxc" not in name.params:
            curves[name.metric, name.params, name.slice].append((name.k, name))
    messages = []
    for curve in curves.values():
        curve.sort(key=lambda point: point[0])
        for (j, first), (k, second) in itertools.pairwise(curve):
            low, high = defined[first], defined[second]
            if first.metric == "P":
                low, high = j * low, k * high
            if high < low - k * TOLERANCE:
                messages.append(f"{second} = {defined[second]!r} is too low for {first} = {defined[first]!r}")
            elif first.metric == "P" and high > low + (k - j) + k * TOLERANCE:
                messages.append(f"{second} = {defined[second]!r} is too high for {first} = {defined[first]!r}")
    return messages
