"""A record from somebody's predictions: most authors bring a file, not a plugin.

Costs and environment stay null: nobody here saw them. What the author claims about the selection of epochs and
parameters is kept as a claim.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from xmcbench.errors import UsageError
from xmcbench.results import board_files as board
from xmcbench.results import record as records
from xmcbench.results.blank import COSTS, describe

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.metrics import Evaluation
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store
    from xmcbench.topk import TopK

SELECTION_SPLITS = ("validation", "test", "none", "unknown")


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
    """Write a record of method family `external`.

    Parameters
    ----------
    name : of the method, as its author calls it.
    topk : the predictions as brought, before filter pairs are removed.
    evaluation : their scores on the data set's test rows.
    file_sha256 : of the file they came in; part of the run's identity, so the same file is recorded once.
    selection : the split on which the author says epochs and parameters were chosen, of `SELECTION_SPLITS`.

    Raises
    ------
    UsageError : a name that is no name, or an unknown selection split.
    DataError : the scores break an identity.
    """
    if not re.fullmatch(r"[\w.+() -]{1,80}", name):
        raise UsageError(f"--as {name!r} is no name", "Use 1 to 80 letters, digits, spaces and . + - _ ( ).")
    if selection not in SELECTION_SPLITS:
        raise UsageError(f"--selection {selection!r}", f"Valid: {', '.join(SELECTION_SPLITS)}.")
    identity = f"external/{name}/{file_sha256}/{dataset.content_hash}"
    spec_hash = hashlib.sha256(identity.encode()).hexdigest()
    old = store.done(spec_hash)
    started = datetime.now(UTC)
    record: dict[str, Any] = {
        "schema": records.SCHEMA,
        "run_id": store.new_id(name, dataset.name, started),
        "spec_hash": spec_hash,
        "status": "ok",
        "reason": None,
        "method": {
            "name": name,
            "label": name,
            "version": file_sha256[:12],
            "family": "external",
            "origin": "predictions file",
            "parameters": {},
            "deterministic": True,
        },
        "dataset": describe(dataset),
        "k": topk.k,
        "seed": None,
        "metrics": [asdict(value) for value in evaluation.values],
        "costs": dict.fromkeys(COSTS),
        "intervals": {},
        "limits": {},
        "environment": {},
        "code": {},
        "command": shlex.join(["xmcbench", *sys.argv[1:]]),
        "started_utc": started.isoformat(timespec="seconds"),
        "predictions": None,
        "rows": None,
        "board": None,
        "selection": {
            "split": selection,
            "rows": None,
            "rows_fitted": None,
            "what": None,
            "by": "claimed by the author",
            "tried": None,
        },
        "notes": {"predictions_sha256": file_sha256},
        "supersedes": old["run_id"] if old else None,
    }
    return store.add(record, topk, {**evaluation.rows, **board.beside(dataset)})
