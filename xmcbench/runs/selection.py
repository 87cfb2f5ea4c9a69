"""Selection of epochs and parameters: the grid of `--tune`, and what a run's record says about its selection."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from xmcbench.errors import XmcError
from xmcbench.escaping import plain_text

if TYPE_CHECKING:
    from xmcbench.method import MethodInfo
    from xmcbench.runs.spec import RunSpec

BY = "nDCG@5"  # selection metric on validation rows; part of a tuned run's identity

Combination = dict[str, object]  # parameter → value
Grid = tuple[tuple[str, tuple[Any, ...]], ...]  # (parameter, values to try) in the order of the dataclass
LARGEST = 2**63 - 1  # limit of counts, times and scores, so that their sums and multiples stay finite
Int = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Number = Int | Annotated[float, Meta(gt=-(2.0**63), lt=2.0**63)]


class Trial(Struct, frozen=True, kw_only=True):
    """One combination of parameters that tuning tried; `reason` says why there is no score."""

    parameters: Combination
    score: Number | None
    reason: str | None
    status: str | None = None
    traceback: str | None = None


class TuningPart(Struct, frozen=True, kw_only=True):
    """The values tried for each parameter, and the outcome of each combination."""

    grid: dict[str, object]
    trials: tuple[Trial, ...]
    rows_fitted: Count | None = None
    rows_of_own_validation: Count | None = None


class Selection(Struct, frozen=True, kw_only=True):
    """How epochs and parameters were chosen: split, rows, score, and number of configurations tried."""

    split: str | None = None
    rows: Count | None = None
    rows_fitted: Count | None = None
    what: str | None = None
    by: str | None = None
    tried: Count | None = None
    tuning: TuningPart | None = None


def joined(tuned: Selection, of_method: Mapping[str, Any]) -> Selection:
    """Merge the selection before the final fit with what the method selected in it (`RunContext.selection`).

    Raises XmcError: the method wrote something else into it.
    """
    if of_method.keys() - {"what", "by", "tried"}:
        raise XmcError(f"ctx.selection has {', '.join(map(plain_text, of_method))}", "Set it by ctx.selected.")
    if not of_method or tuned.tuning is None:
        return replace(tuned, **of_method)
    texts = {key: f"{getattr(tuned, key)}; {of_method[key]}" for key in ("what", "by")}
    return replace(tuned, **texts, tried=(tuned.tried or 0) + (of_method["tried"] or 0))


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
