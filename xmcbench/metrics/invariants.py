"""Identities that hold for every ranking: a record that breaks one was computed wrongly and is refused.

mteb's stored results once showed MRR@1 ≠ P@1, and the XC repository's tables show nDCG@1 ≠ P@1 in some 17 rows.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping

from xmcbench.metrics.names import Name, parse

TOLERANCE = 1e-9  # sums of the same float64 numbers in another order

_EQUAL_AT_1 = (("P", "nDCG", "RR", "Success"), ("PSP", "PSnDCG"))
_GROWING = ("R", "Success", "RR", "Coverage", "MacroR")


def broken(values: Mapping[str, float | None], best: Mapping[str, float | None] | None = None) -> list[str]:
    """Sentences, one for each identity that fails; empty where all hold.

    Parameters
    ----------
    values : canonical name → fraction; None (undefined) is left out.
    best : canonical name → best reachable fraction, as far as known.
    """
    known = {parse(text): value for text, value in values.items() if value is not None}
    said = _out_of_range(known)
    for text, most in (best or {}).items():
        value = values.get(text)
        if value is not None and most is not None and value > most + TOLERANCE:
            said.append(f"{text} = {value!r} is above the best reachable {most!r}")
    for family in _EQUAL_AT_1:
        said += _unequal(known, family)
    said += _falling(known)
    return said


def _out_of_range(known: Mapping[Name, float]) -> list[str]:
    said = []
    for name, value in known.items():
        high = name.definition.high
        if not math.isfinite(value) or value < 0 or (high is not None and value > high + TOLERANCE):
            said.append(f"{name} = {value!r} is outside 0 to {high if high is not None else 'any finite number'}")
    return said


def _unequal(known: Mapping[Name, float], family: tuple[str, ...]) -> list[str]:
    """P@1 = nDCG@1 = RR@1 = Success@1, in every slice; PSP@1 = PSnDCG@1 where both are ratios of sums."""
    groups: dict[tuple[bool, str | None], list[Name]] = defaultdict(list)
    for name in known:
        normal = name.definition.variant == "" or name.definition.kind == "ratio of sums"
        if name.metric in family and name.k == 1 and normal:
            groups[name.skips_empty, name.slice].append(name)
    said = []
    for names in groups.values():
        for other in names[1:]:
            if abs(known[other] - known[names[0]]) > TOLERANCE:
                said.append(f"{names[0]} = {known[names[0]]!r} but {other} = {known[other]!r}; they must be equal")
    return said


def _falling(known: Mapping[Name, float]) -> list[str]:
    """R, Success, RR, Coverage, MacroR never fall with k; k · P@k never falls and grows by at most 1 a rank."""
    curves: dict[tuple[str, tuple[str, ...], str | None], list[tuple[int, Name]]] = defaultdict(list)
    for name in known:
        if name.k is not None and name.metric in (*_GROWING, "P") and "like=napkinxc" not in name.params:
            curves[name.metric, name.params, name.slice].append((name.k, name))
    said = []
    for curve in curves.values():
        curve.sort(key=lambda point: point[0])
        for (j, first), (k, second) in itertools.pairwise(curve):
            low, high = known[first], known[second]
            if first.metric == "P":
                low, high = j * low, k * high
            if high < low - k * TOLERANCE:
                said.append(f"{second} = {known[second]!r} is too low beside {first} = {known[first]!r}")
            elif first.metric == "P" and high > low + (k - j) + k * TOLERANCE:
                said.append(f"{second} = {known[second]!r} is too high beside {first} = {known[first]!r}")
    return said
