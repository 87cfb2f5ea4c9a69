"""What a record says, held against its scores computed again, and against a second run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from xmcbench.comparison.compare import FAIL, OK, OKISH, UNKNOWN, Verdict, compare
from xmcbench.comparison.rescoring import OtherContent, dataset_of, rescored
from xmcbench.comparison.verifying import FAILED, HOLDS, UNCHECKED, Check
from xmcbench.errors import DataError, UsageError
from xmcbench.results import board_files as board
from xmcbench.results.row_values import ROUNDING, some

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset


def find_data(record: Mapping[str, Any], *, offline: bool, progress: Reporter | None) -> tuple[Check, Dataset | None]:
    """The record's data set, where it can be had."""
    try:
        dataset = dataset_of(record, offline=offline, progress=progress)
    except OtherContent as error:
        return Check("data set", FAILED, str(error)), None
    except (DataError, UsageError) as error:
        return Check("data set", UNCHECKED, str(error)), None
    return Check("data set", HOLDS, f"{dataset.name} ({dataset.view}), same content"), dataset


def check_scores(record: Mapping[str, Any], kept: Mapping[str, Any], dataset: Dataset | None) -> Check:
    """Whether the stored predictions, scored again, have the values on record, and the rows kept with them.

    Fixed predictions have one score: the comparison rule's tolerance is that of a deterministic method, 1e-9.
    """
    if "predictions" not in kept or dataset is None:
        return Check("scores", UNCHECKED, "no predictions" if "predictions" not in kept else "no data set")
    try:
        again, rows = rescored(record, kept["predictions"], dataset)
    except UsageError as error:
        return Check("scores", UNCHECKED, str(error))
    except DataError as error:
        return Check("scores", FAILED, str(error))
    fixed = {"method": {**record["method"], "deterministic": True}, "environment": {}}
    verdicts = compare({**record, **fixed}, {**again, **fixed})
    if wrong := [v for v in verdicts if v.verdict not in (OK, OKISH, UNKNOWN)]:
        told = [f"{v.metric} is {v.got}, on record {v.expected}" for v in wrong]
        return Check("scores", FAILED, some(told), score=True)
    if other := _other_rows(kept, rows):
        return Check("scores", FAILED, f"kept rows are not those of the predictions: {some(other)}")
    if all(v.verdict == UNKNOWN for v in verdicts):
        return Check("scores", UNCHECKED, _reasons(verdicts))
    judged = sum(v.verdict != UNKNOWN for v in verdicts)
    rest = f"; not checked: {_reasons(verdicts)}" if judged < len(verdicts) else ""
    return Check("scores", HOLDS, f"{judged} of {len(verdicts)} values as on record, scored again{rest}")


def check_rerun(
    record: Mapping[str, Any], new: Mapping[str, Any], like: Iterable[Mapping[str, Any]]
) -> tuple[Check, list[Verdict]]:
    """A second run judged by the comparison rule; `like`: records that give the spread over seeds."""
    if new["status"] != "ok":
        state = UNCHECKED if new["status"] == "skipped" else FAILED
        return Check("re-run", state, f"status {new['status']}: {new['reason']}", score=True), []
    verdicts = compare(record, new, like)
    if worse := [v.metric for v in verdicts if v.verdict == FAIL]:
        return Check("re-run", FAILED, f"worse in {some(worse)}", score=True), verdicts
    if all(v.verdict == UNKNOWN for v in verdicts):
        return Check("re-run", UNCHECKED, _reasons(verdicts)), verdicts
    counts = {word: sum(v.verdict == word for v in verdicts) for word in dict.fromkeys(v.verdict for v in verdicts)}
    return Check("re-run", HOLDS, ", ".join(f"{count} {word}" for word, count in counts.items())), verdicts


def _other_rows(kept: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """Names of per-row arrays that are not what scoring gives now; groups of near-duplicates among them."""
    import numpy as np

    other = []
    for kind in ("rows", "board"):
        for name, array in kept.get(kind, {}).items():
            exact = name == board.NEAR
            if name in again and not np.allclose(array, again[name], rtol=0 if exact else ROUNDING, atol=0):
                other.append(name)
    return list(dict.fromkeys(other))


def _reasons(verdicts: Iterable[Verdict]) -> str:
    return some([f"{v.metric} ({v.why})" for v in verdicts if v.verdict == UNKNOWN])
