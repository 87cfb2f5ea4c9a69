"""The two sides of a comparison: which runs a side is, and what a reader may not expect of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xmcbench.comparison.compare import same_but_seed

if TYPE_CHECKING:
    from xmcbench.records.record import Record


def seeds_of(first: Record, among: Sequence[Record]) -> list[Record]:
    """The runs in `among` that differ from `first` in the seed alone, by rising seed; of each seed, the newest.

    `among`: oldest first.
    """

    def key(record: Record) -> tuple[Any, ...]:
        return (*same_but_seed(record), record.method.family, record.k, record.code.method.sha256)

    by_seed = {record.seed: record for record in among if key(record) == key(first)}
    by_seed[first.seed] = first
    return sorted(by_seed.values(), key=lambda record: -1 if record.seed is None else record.seed)


def with_common_seeds(
    runs_a: Sequence[Record], runs_b: Sequence[Record], first: Record, second: Record
) -> tuple[list[Record], list[Record]]:
    """The runs to compare: those of all seeds that both sides have, else `first` and `second` alone.

    The one run of a deterministic method, or predictions from outside, stand for every seed.
    """
    if first.method.deterministic or second.method.deterministic:
        return (
            [first] if first.method.deterministic else list(runs_a),
            [second] if second.method.deterministic else list(runs_b),
        )
    common = {run.seed for run in runs_a} & {run.seed for run in runs_b}
    if not common:
        return [first], [second]
    return [run for run in runs_a if run.seed in common], [run for run in runs_b if run.seed in common]


def notes(
    runs_a: Sequence[Record], runs_b: Sequence[Record], all_a: Sequence[Record], all_b: Sequence[Record]
) -> list[str]:
    """What a reader may not expect of the runs that are compared, `runs_a` and `runs_b`, of all that were found."""
    ids = [[run.run_id for run in runs] for runs in (runs_a, runs_b)]
    if ids[0] == ids[1]:
        return ["A and B are the same run" if len(ids[0]) == 1 else "A and B are the same runs"]
    found = []
    if runs_a[0].seed != runs_b[0].seed and not any(run.method.deterministic for run in (runs_a[0], runs_b[0])):
        found.append(f"different seeds: {runs_a[0].seed} of A, {runs_b[0].seed} of B; A and B share no seed")
    if runs_a[0].k != runs_b[0].k:
        found.append(f"A predicts {runs_a[0].k} labels per row, B {runs_b[0].k}: labels beyond that count as misses")
    for side, used, of_side in (("A", runs_a, all_a), ("B", runs_b, all_b)):
        if unused := [str(run.seed) for run in of_side if run not in used]:
            found.append(f"{side} also has {'seed' if len(unused) == 1 else 'seeds'} {', '.join(unused)}, not used")
    return found
