"""The grid of `--tune`: all combinations of the tunable values, ordered by distance from the defaults."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmcbench.method import MethodInfo
    from xmcbench.runs.plan import RunSpec

BY = "nDCG@5"  # selection metric on validation rows; part of a tuned run's identity

Combination = dict[str, object]  # parameter → value
Grid = tuple[tuple[str, tuple[Any, ...]], ...]  # (parameter, values to try) in the order of the dataclass


def grid_of(info: MethodInfo, fixed: Collection[str]) -> Grid:
    """The method's tunable parameters, without those in `fixed`."""
    return tuple((name, values) for name, values in info.tunable_parameters().items() if name not in fixed)


def combinations(spec: RunSpec) -> list[Combination]:
    """Every combination of the run's grid as parameter → value; the default one is first.

    Combinations are ordered by their distance from the defaults, in steps along the values of each parameter, summed
    over parameters. Of two combinations with the same score, tuning prefers the first.
    """
    names = [name for name, _ in spec.grid or ()]
    defaults = {f.name: f.default for f in dataclasses.fields(spec.params)}

    def steps(combination: Combination) -> int:
        return sum(
            abs(values.index(combination[name]) - values.index(defaults[name])) for name, values in spec.grid or ()
        )

    product = itertools.product(*(values for _, values in spec.grid or ()))
    return sorted((dict(zip(names, values, strict=True)) for values in product), key=steps)


def fits(spec: RunSpec) -> list[list[Combination]]:
    """The combinations in groups that share a fit, since they only differ in query parameters."""
    query = spec.info.query_parameters()
    groups: dict[tuple[Any, ...], list[Combination]] = {}
    for combination in combinations(spec) if spec.grid else ():
        fit_values = tuple(value for name, value in combination.items() if name not in query)
        groups.setdefault(fit_values, []).append(combination)
    return list(groups.values())
