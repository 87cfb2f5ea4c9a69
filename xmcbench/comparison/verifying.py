"""Checks a record against its files, against scores computed again, and against a second run.

A check holds, fails, or could not be made, with a reason; a check that could not be made never counts as holding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.comparison.compare import EXACT, FAIL, OK, OKISH, UNKNOWN, Scores, Verdict, compare, judged
from xmcbench.comparison.rescoring import OtherContent, dataset_of, rescored
from xmcbench.errors import DataError, UsageError
from xmcbench.metrics.uncertainty import NEAR
from xmcbench.records.execution import metrics_of
from xmcbench.records.record import SEALED, Record
from xmcbench.records.row_values import ROUNDING, NotGiven, some, values_given

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.records.store import Kind, Store

HOLDS, FAILED, UNCHECKED = "ok", "FAILED", "not checked"
SLIM = "missing: a slim copy"


@dataclass(frozen=True)
class Check:
    """One check: HOLDS, FAILED or UNCHECKED. `score` is true if a score is wrong, false if a file is."""

    what: str
    state: str
    why: str = ""
    score: bool = False

    @property
    def failed(self) -> bool:
        return self.state == FAILED


def check_record(record: Record) -> Check:
    """The check of seal and identities; reading a record has already refused it if they don't hold."""
    if record.schema < SEALED:
        return Check("record", HOLDS, f"identities hold; schema {record.schema} has no seal")
    return Check("record", HOLDS, "seal and identities hold")


def check_files(record: Record, store: Store) -> tuple[list[Check], dict[Kind, Any]]:
    """Checks whether the record's files match their hashes and give its values; and contents of the files that do.

    A slim copy has neither predictions nor rows, which are then not checked; the check of a missing board file fails.
    If only some files of a full record are missing, their checks fail.
    """
    readers: dict[Kind, Callable[[Record], Any]]
    readers = {"predictions": store.predictions, "rows": store.rows, "board": store.board}
    full = _exists(record, store, "predictions") or _exists(record, store, "rows")
    slim = record.board is not None and not full
    checks: list[Check] = []
    contents: dict[Kind, Any] = {}
    for kind, read in readers.items():
        if getattr(record, kind) is None:
            checks.append(Check(kind, UNCHECKED, "the record has none"))
            continue
        try:
            if slim and kind != "board" and not store.place(record, kind).is_file():
                checks.append(Check(kind, UNCHECKED, SLIM))
                continue
            content = read(record)
            why = "as written"
            if kind != "predictions":
                why += f"; they give {values_given(record, content)} of the {len(record.metrics)} values on record"
            contents[kind] = content
            checks.append(Check(kind, HOLDS, why))
        except NotGiven as error:  # the file matches its hash, but its values are wrong
            checks.append(Check(kind, FAILED, str(error), score=True))
        except DataError as error:
            checks.append(Check(kind, FAILED, str(error)))
    return checks, contents


def _exists(record: Record, store: Store, kind: Kind) -> bool:
    try:
        return store.place(record, kind).is_file()
    except DataError:
        return False


def find_data(record: Record, *, offline: bool, progress: Reporter | None) -> tuple[Check, Dataset | None]:
    """The record's data set, all its cached files hashed, or None with the reason in the check."""
    try:
        dataset = dataset_of(record, offline=offline, progress=progress, verify=True)
    except OtherContent as error:
        return Check("data set", FAILED, str(error)), None
    except (DataError, UsageError) as error:
        return Check("data set", UNCHECKED, str(error)), None
    return Check("data set", HOLDS, f"{dataset.name} ({dataset.view}), same content"), dataset


def check_scores(record: Record, contents: Mapping[Kind, Any], dataset: Dataset | None) -> Check:
    """Whether scoring the stored predictions again gives the values on record and the stored per-row numbers.

    The predictions are fixed, so the tolerance is that of a deterministic method, 1e-9.

    `contents`: the record's files by kind, from `check_files`.
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
        why, processes = f"worse in {some(worse)}", record.notes.get("processes")
        if isinstance(processes, dict):
            why += f"; the record is of {processes.get('count')} processes, and one rounds sums in another order"
        return Check("re-run", FAILED, why, score=True), verdicts
    if all(v.verdict == UNKNOWN for v in verdicts):
        return Check("re-run", UNCHECKED, _reasons(verdicts)), verdicts
    counts = Counter(v.verdict for v in verdicts)
    return Check("re-run", HOLDS, ", ".join(f"{count} {word}" for word, count in counts.items())), verdicts


def _differing_rows(contents: Mapping[Kind, Any], rows: Mapping[str, NDArray[Any]]) -> list[str]:
    """Names of stored per-row arrays, including near-duplicate groups, that differ from recomputed ones in `rows`."""
    stored = [*contents.get("rows", {}).items(), *contents.get("board", {}).items()]
    differing = [
        name
        for name, array in stored
        if name in rows and not np.allclose(array, rows[name], rtol=0 if name == NEAR else ROUNDING, atol=0)
    ]
    return list(dict.fromkeys(differing))


def _reasons(verdicts: Iterable[Verdict]) -> str:
    return some([f"{v.metric} ({v.why})" for v in verdicts if v.verdict == UNKNOWN])
