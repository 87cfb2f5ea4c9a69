"""Which runs were measured on a busy machine: their times are too high, and count only where there are no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmcbench.records.record import Record

BUSY = 0.1  # share of the machine used by others, or of its times used by compilation, above which a run counts as busy


def is_busy(run: Record) -> bool:
    """Whether other processes, or the first compilation of kernels, took much of the run; unknown counts as no."""
    costs = run.costs
    seconds = sum(part or 0.0 for part in (costs.fit_seconds, costs.predict_seconds, costs.warm_up_seconds))
    compiling = 0.0 if costs.compile_excluded else costs.compile_seconds or 0.0
    return (costs.others_cpu or 0.0) > BUSY or compiling > BUSY * seconds > 0


def measured(runs: Sequence[Record]) -> tuple[Sequence[Record], bool]:
    """The runs whose costs count, and whether the machine was busy in all of them."""
    quiet = [run for run in runs if not is_busy(run)]
    return quiet or runs, bool(runs) and not quiet
