"""What `--tune` tries: every combination of the values that parameters offer, those nearest to the defaults first."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmcbench.method import MethodInfo
    from xmcbench.runs.plan import RunSpec

BY = "nDCG@5"  # on validation rows; part of a tuned run's identity

Grid = tuple[tuple[str, tuple[Any, ...]], ...]  # (parameter, values to try) in the order of the dataclass


def grid_of(info: MethodInfo, given: Collection[str]) -> Grid:
    """The method's tunable parameters, without those that are given."""
    return tuple((name, values) for name, values in info.tunable_parameters().items() if name not in given)


def combinations(spec: RunSpec) -> list[dict[str, Any]]:
    """Every combination of the run's grid as parameter → value; the default one is first.

    They are ordered by how many steps along the values offered they are from the defaults, all parameters together,
    and then as a product: of two that score the same, the earlier one is the more usual.
    """
    names = [name for name, _ in spec.grid or ()]
    usual = {f.name: f.default for f in dataclasses.fields(spec.params)}

    def steps(combination: Mapping[str, Any]) -> int:
        return sum(abs(values.index(combination[name]) - values.index(usual[name])) for name, values in spec.grid or ())

    product = itertools.product(*(values for _, values in spec.grid or ()))
    return sorted((dict(zip(names, values, strict=True)) for values in product), key=steps)


def fits(spec: RunSpec) -> list[list[dict[str, Any]]]:
    """The combinations in groups that share a fit: those of a group differ in query parameters alone."""
    query = spec.info.query_parameters()
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for combination in combinations(spec) if spec.grid else ():
        fitted = tuple(value for name, value in combination.items() if name not in query)
        groups.setdefault(fitted, []).append(combination)
    return list(groups.values())
