"""The record of a run that has not happened yet: identity and counts filled in, all else null."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from xmcbench.results import record as records
from xmcbench.runs.registry import identity

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store
    from xmcbench.runs.plan import RunSpec

COSTS = (
    *(
        "tune_seconds",
        "fit_seconds",
        "warm_up_seconds",
        "predict_seconds",
        "query_p50_ms",
        "query_p99_ms",
        "queries_per_second",
    ),
    *("peak_rss_bytes", "peak_gpu_bytes", "model_bytes", "attempts", "others_cpu", "compile_seconds"),
)


def blank(spec: RunSpec, dataset: Dataset, store: Store, spec_hash: str) -> Record:
    started = datetime.now(UTC)
    info = spec.info
    split = "none"
    if info.wants_validation or spec.grid:
        split = "carved" if dataset.validation is None else "official"
    return {
        "schema": records.SCHEMA,
        "run_id": store.new_id(info.name, dataset.name, started),
        "spec_hash": spec_hash,
        "status": "error",
        "reason": None,
        "method": {
            "name": info.name,
            "label": spec.label,
            "version": info.version,
            "family": info.family,
            "origin": identity(spec.source).get("origin", spec.source),
            "parameters": {**spec.parameters, **{name: None for name, _ in spec.grid or ()}},  # till they are chosen
            "deterministic": info.deterministic,
        },
        "dataset": describe(dataset),
        "k": spec.k,
        "seed": spec.seed,
        "metrics": [],
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
        "selection": {"split": split, "rows": 0, "rows_fitted": None, "what": None, "by": None, "tried": 1},
        "notes": {},
        "supersedes": None,
    }


def describe(dataset: Dataset) -> dict[str, object]:
    """A data set's identity and counts, as a record holds them."""
    facts = dataset.facts()
    return {
        "name": dataset.name,
        "view": dataset.view,
        "revision": dataset.revision,
        "content_hash": dataset.content_hash,
        "n_train": facts.n_train,
        "n_validation": None if dataset.validation is None else int(dataset.validation.labels.shape[0]),
        "n_test": facts.n_test,
        "n_features": facts.n_features,
        "n_labels": facts.n_labels,
        "filter_pairs": len(dataset.test_filter),
        "propensity": list(dataset.propensity),
        "extra": dict(dataset.extra),
    }
