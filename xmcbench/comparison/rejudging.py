"""Checks the scores of a record against recomputed scores and against a second run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xmcbench.comparison.compare import EXACT, FAIL, OK, OKISH, UNKNOWN, Scores, Verdict, compare, judged
from xmcbench.comparison.rescoring import OtherContent, dataset_of, rescored
from xmcbench.comparison.verifying import FAILED, HOLDS, UNCHECKED, Check
from xmcbench.errors import DataError, UsageError
from xmcbench.metrics.uncertainty import NEAR
from xmcbench.results.execution import metrics_of
from xmcbench.results.row_values import ROUNDING, some

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.results.record import Record


def find_data(record: Record, *, offline: bool, progress: Reporter | None) -> tuple[Check, Dataset | None]:
    """The record's data set, or None with the reason in the check."""
    try:
        dataset = dataset_of(record, offline=offline, progress=progress)
    except OtherContent as error:
        return Check("data set", FAILED, str(error)), None
    except (DataError, UsageError) as error:
        return Check("data set", UNCHECKED, str(error)), None
    return Check("data set", HOLDS, f"{dataset.name} ({dataset.view}), same content"), dataset


def check_scores(record: Record, contents: Mapping[str, Any], dataset: Dataset | None) -> Check:
    """Whether scoring the stored predictions again gives the values on record and the stored per-row numbers.

    The predictions are fixed, so the tolerance is that of a deterministic method, 1e-9.

    Parameters
    ----------
    contents : the record's files by kind, from `verifying.check_files`.
    """
    if "predictions" not in contents or dataset is None:
        return Check("scores", UNCHECKED, "no predictions" if "predictions" not in contents else "no data set")
    try:
        scored = rescored(record, contents["predictions"], dataset)
    except UsageError as error:
        return Check("scores", UNCHECKED, str(error))
    except DataError as error:
        return Check("scores", FAILED, str(error))
    metrics = {metric.name: metric for metric in metrics_of(scored.evaluation)}
    on_record, now = (replace(Scores.of(record), device=None), Scores(record.dataset.content_hash, None, metrics))
    verdicts = judged(on_record, now, dict.fromkeys(on_record.metrics, EXACT))
    if mismatches := [v for v in verdicts if v.verdict not in (OK, OKISH, UNKNOWN)]:
        messages = [f"{v.metric} is {v.got}, on record {v.expected}" for v in mismatches]
        return Check("scores", FAILED, some(messages), score=True)
    if names := _differing_rows(contents, scored.rows):
        return Check("scores", FAILED, f"stored rows are not those of the predictions: {some(names)}")
    if all(v.verdict == UNKNOWN for v in verdicts):
        return Check("scores", UNCHECKED, _reasons(verdicts))
    count = sum(v.verdict != UNKNOWN for v in verdicts)
    rest = f"; not checked: {_reasons(verdicts)}" if count < len(verdicts) else ""
    return Check("scores", HOLDS, f"{count} of {len(verdicts)} values are as on record when scored again{rest}")


def check_rerun(record: Record, new: Record, like: Iterable[Record]) -> tuple[Check, list[Verdict]]:
    """Judge a second run by the comparison rule; `like`: records that give the spread over seeds."""
    if new.status != "ok":
        state = UNCHECKED if new.status == "skipped" else FAILED
        return Check("re-run", state, f"status {new.status}: {new.reason}", score=True), []
    verdicts = compare(record, new, like)
    if worse := [v.metric for v in verdicts if v.verdict == FAIL]:
        return Check("re-run", FAILED, f"worse in {some(worse)}", score=True), verdicts
    if all(v.verdict == UNKNOWN for v in verdicts):
        return Check("re-run", UNCHECKED, _reasons(verdicts)), verdicts
    counts = {word: sum(v.verdict == word for v in verdicts) for word in dict.fromkeys(v.verdict for v in verdicts)}
    return Check("re-run", HOLDS, ", ".join(f"{count} {word}" for word, count in counts.items())), verdicts


def _differing_rows(contents: Mapping[str, Any], rows: Mapping[str, Any]) -> list[str]:
    """Names of stored per-row arrays, including near-duplicate groups, that differ from recomputed ones in `rows`."""
    import numpy as np

    differing = []
    for kind in ("rows", "board"):
        for name, array in contents.get(kind, {}).items():
            exact = name == NEAR
            if name in rows and not np.allclose(array, rows[name], rtol=0 if exact else ROUNDING, atol=0):
                differing.append(name)
    return list(dict.fromkeys(differing))


def _reasons(verdicts: Iterable[Verdict]) -> str:
    return some([f"{v.metric} ({v.why})" for v in verdicts if v.verdict == UNKNOWN])
