"""The least that is a record: for tests of what is done with records, whatever ran."""

from __future__ import annotations

from typing import Any

from xmcbench.records import record_file
from xmcbench.records.record import SCHEMA, Record


def minimal(run_id: str = "r", method: str = "m", dataset: str = "d", /, **changes: Any) -> Record:
    """A run of three test rows that ended ok with P@1 = 0.5; a label other than the method's name goes as `label`."""
    return record_file.of(minimal_raw(run_id, method, dataset, **changes))


def minimal_raw(run_id: str = "r", method: str = "m", dataset: str = "d", /, **changes: Any) -> dict[str, Any]:
    """The same as the JSON object that it is in its file, whole or not."""
    label = changes.pop("label", method)
    costs = ("fit_seconds", "warm_up_seconds", "predict_seconds", "model_bytes")
    return {
        **{name: {} for name in ("intervals", "limits", "environment", "code", "selection", "notes")},
        **dict.fromkeys(("reason", "seed", "predictions", "rows", "supersedes")),
        "schema": SCHEMA,
        "run_id": run_id,
        "spec_hash": f"{label}/{dataset}",
        "status": "ok",
        "method": {
            "name": method,
            "label": label,
            "version": "1",
            "family": "tree",
            "parameters": {},
            "deterministic": True,
        },
        "dataset": {
            "name": dataset,
            "view": "bow",
            "content_hash": f"hash of {dataset}",
            "n_train": 9,
            "n_test": 3,
            "n_labels": 5,
        },
        "k": 100,
        "metrics": [{"name": "P@1", "value": 0.5, "version": 1}],
        "costs": dict.fromkeys(costs),
        "command": "xmcbench run",
        "started_utc": "2026-11-26T04:26:17+00:00",
        **changes,
    }
