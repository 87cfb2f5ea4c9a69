"""Records of predictions that were computed elsewhere: most authors have a predictions file, not a plugin.

Costs and environment are unknown and stay null. The record marks the author's statement about the selection of epochs
and parameters as a claim.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from xmcbench.errors import UsageError
from xmcbench.metrics.uncertainty import NEAR
from xmcbench.records import record_file
from xmcbench.records.execution import dataset_part, metrics_of
from xmcbench.records.record import Code, Costs, Environment, Intervals, Limits, MethodPart
from xmcbench.runs.selection import Selection

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.metrics import Evaluation
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store
    from xmcbench.topk import TopK

SELECTION_SPLITS = ("validation", "test", "none", "unknown")
NOT_KNOWN = {
    "costs": Costs(),
    "intervals": Intervals(),
    "limits": Limits(),
    "environment": Environment(),
    "code": Code(),
}


def check_claims(name: str, selection: str) -> None:
    """Check what the author says of external predictions.

    Raises UsageError: an invalid name or an unknown selection split.
    """
    if not re.fullmatch(r"[\w.+() -]{1,80}", name):
        raise UsageError(f"--as {name!r} is no valid name", "Use 1 to 80 letters, digits, spaces and . + - _ ( ).")
    if selection not in SELECTION_SPLITS:
        raise UsageError(f"--selection {selection!r} names no rows", f"Valid: {', '.join(SELECTION_SPLITS)}.")


def record_external(
    store: Store,
    dataset: Dataset,
    name: str,
    topk: TopK,
    evaluation: Evaluation,
    *,
    file_sha256: str,
    selection: str = "unknown",
) -> Record:
    """The record of method family `external`, which is written.

    Parameters
    ----------
    name : the author's name of the method.
    topk : the predictions of the file, before filter pairs are removed.
    evaluation : scores of the predictions on the data set's test rows.
    file_sha256 : hash of the predictions file; a second record of the same file supersedes the first, unless
        it would say the same: then the first is returned.
    selection : the split on which, according to the author, epochs and parameters were chosen; of `SELECTION_SPLITS`.

    Raises
    ------
    UsageError : an invalid name or an unknown selection split.
    DataError : the scores break an identity.
    """
    check_claims(name, selection)
    identity = f"external/{name}/{file_sha256}/{dataset.content_hash}"
    spec_hash = hashlib.sha256(identity.encode()).hexdigest()
    old = store.done(spec_hash)
    metrics, selected = metrics_of(evaluation), Selection(split=selection, by="claimed by the author")
    if old is not None and (old.metrics, old.selection, old.k) == (metrics, selected, topk.k):
        return old  # such as that of a process that was killed after it wrote the record
    started = datetime.now(UTC)
    method = MethodPart(
        name=name,
        label=name,
        version=file_sha256[:12],
        family="external",
        origin="predictions file",
        parameters={},
        deterministic=True,
    )
    record = record_file.new(
        started,
        run_id=store.new_id(name, dataset.name, started),
        spec_hash=spec_hash,
        status="ok",
        reason=None,
        method=method,
        dataset=dataset_part(dataset),
        k=topk.k,
        seed=None,
        metrics=metrics,
        **NOT_KNOWN,
        selection=selected,
        notes={"predictions_sha256": file_sha256},
        supersedes=old.run_id if old else None,
    )
    return store.add(record, topk, {**evaluation.rows, NEAR: dataset.near_groups})
