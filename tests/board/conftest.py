"""A results folder filled by hand: runs whose hits are chosen, so that what a board must say is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.board.browser import committed_page, newcomer, reader, sample_page  # noqa: F401
from tests.minimal import minimal_raw
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Store

DOCUMENTS = 200
NewRun = Callable[..., Record]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "leaderboards"


@pytest.fixture
def new_run(folder: Path) -> NewRun:
    """add("label", hits=…, seed=…): a run that ended ok, with P@1 of given hits and PSP@5 of half their weight."""
    count = 0

    def add(label: str, hits: Any = None, seed: int | None = 0, **changes: Any) -> Record:
        nonlocal count
        count += 1
        hits = np.zeros(DOCUMENTS, np.float32) if hits is None else np.asarray(hits, np.float32)
        den = np.linspace(1, 3, len(hits), dtype=np.float32)
        rows = {"P@1": hits, "PSP@5": hits * den / 2, "PSP@5/den": den, "near": np.arange(len(hits), dtype=np.int32)}
        rows |= changes.pop("rows", {})
        psp = float(rows["PSP@5"].sum(dtype=np.float64) / rows["PSP@5/den"].sum(dtype=np.float64))
        values = {"P@1": float(rows["P@1"].mean(dtype=np.float64)), "PSP@5": psp, "P@1:tail": 0.25}
        entry = {"best": 1.0, "low": 0.0, "high": 1.0, "rows": len(hits), "rows_without_labels": 0, "version": 1}
        method = {
            "name": label.partition("[")[0],
            "label": label,
            "version": "1",
            "family": "tree",
            "origin": "xmcbench",
            "parameters": {},
            "deterministic": False,
            **changes.pop("method", {}),
        }
        dataset = {
            "name": "toy",
            "view": "bow",
            "revision": "1",
            "content_hash": "sha256:a",
            "n_train": 900,
            "n_test": len(hits),
            "n_features": 50,
            "n_labels": 30,
            "propensity": [0.55, 1.5],
            **changes.pop("dataset", {}),
        }
        costs = {
            "warm_up_seconds": None,
            "model_bytes": None,
            "fit_seconds": 2.0,
            "predict_seconds": 0.5,
            "query_p50_ms": 1.5,
            "others_cpu": 0.0,
        }
        machine = {"scores": "cpu", "costs": "A CPU, 2 cores, 8 GiB"}
        record = {
            **minimal_raw(f"{count:04}-{method['name']}"),
            "spec_hash": f"{label}/{seed}",
            "method": method,
            "dataset": dataset,
            "seed": seed,
            "metrics": [{"name": name, "value": value, **entry} for name, value in values.items()],
            "costs": {**costs, **changes.pop("costs", {})},
            "environment": {"device": "cpu", "machine_class": machine, "threads": {"given": 2}},
            "code": {"commit": "c0ffee", "dirty": False, "method": {"target": "m:M", "origin": "xmcbench"}},
            "command": f"xmcbench run {label}",
            "started_utc": f"2026-01-01T00:{count // 60:02}:{count % 60:02}+00:00",
            "selection": {"split": "none", "rows": 0, "tried": 1, "what": None, "by": None},
            **changes,
        }
        if record["status"] != "ok":
            return Store(folder).add(record_file.of({**record, "metrics": []}))
        return Store(folder).add(record_file.of(record), None, rows)

    return add
