"""How a run selected epochs and parameters: part of its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

LARGEST = 2**63 - 1  # limit of counts, times and scores, so that their sums and multiples stay finite
Int = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, le=LARGEST)]
Number = Int | Annotated[float, Meta(gt=-(2.0**63), lt=2.0**63)]


class Trial(Struct, frozen=True, kw_only=True):
    """One combination of parameters that tuning tried; `reason` says why there is no score."""

    parameters: dict[str, object]
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
    """Merge the selection before the final fit with what the method selected in it (`RunContext.selection`)."""
    if not of_method or tuned.tuning is None:
        return replace(tuned, **of_method)
    texts = {key: f"{getattr(tuned, key)}; {of_method[key]}" for key in ("what", "by")}
    return replace(tuned, **texts, tried=(tuned.tried or 0) + of_method["tried"])
