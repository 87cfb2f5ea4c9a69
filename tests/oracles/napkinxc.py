"""`python -m tests.oracles.napkinxc` writes data/napkinxc.json: what napkinXC computes for stored rankings and labels.

Each case has `n_labels`, `truth` and `train` (lists of label ids per row), `ranked` (label ids per row, best first) and
`values`: by metric of xmcbench, napkinXC's values for k = 1, 2, …
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from tests.metrics.conftest import make_world
from xmcbench.metrics import Truth
from xmcbench.topk import TopK

FILE = Path(__file__).parent / "data" / "napkinxc.json"
CUTS = 8
Lists = list[list[int]]


def edges() -> dict[str, Any]:
    """Rows without a true label, without or with few predictions; labels without training rows; 8 ranks, 6 labels."""
    truth = [[0, 1, 5], [], [2], [3, 5], [0], [0, 1, 2, 3]]
    ranked = [[1, 3, 0], [0, 2], [4], [5, 3, 2, 0, 1, 4], [], [1, 2]]
    train = [[0, 1], [0, 2], [0, 1, 3], [0], [], [2, 0], [1], [0, 3]]
    return {"n_labels": 6, "truth": truth, "ranked": ranked, "train": train}


def random(seed: int) -> dict[str, Any]:
    """The world of the metric tests: a fifth of its rows has no label, a third fewer predictions than ranks."""
    topk, truth = make_world(seed)
    ranked = [row[row >= 0].tolist() for row in topk.ids]
    train = make_world(seed + 100)[1].labels
    return {"n_labels": 30, "truth": lists_of(truth.labels), "ranked": ranked, "train": lists_of(train)}


def lists_of(matrix: sp.csr_matrix) -> Lists:
    return [row.indices.tolist() for row in matrix]


def matrix_of(rows: Lists, n_labels: int) -> sp.csr_matrix:
    """(n, L) float64 ones: from a float32 matrix, napkinXC makes float32 weights."""
    pairs = [(row, label) for row, labels in enumerate(rows) for label in labels]
    row_ids, label_ids = np.array(pairs).T
    return sp.csr_matrix((np.ones(len(pairs)), (row_ids, label_ids)), shape=(len(rows), n_labels))


def truth_of(case: dict[str, Any]) -> Truth:
    train = matrix_of(case["train"], case["n_labels"])
    return Truth.build(matrix_of(case["truth"], case["n_labels"]), train)


def topk_of(case: dict[str, Any]) -> TopK:
    width = max(map(len, case["ranked"]))
    ids = np.array([row + [-1] * (width - len(row)) for row in case["ranked"]])
    return TopK.from_arrays(ids, np.tile(np.arange(width, 0, -1.0), (len(ids), 1)))


def values(case: dict[str, Any]) -> dict[str, list[float]]:
    """By metric of xmcbench, napkinXC's values for k = 1 … 8; its macro metrics stop at 5."""
    from napkinxc import metrics

    weights = metrics.Jain_et_al_inverse_propensity(matrix_of(case["train"], case["n_labels"]))
    sides = case["truth"], case["ranked"]
    found = {
        "P": metrics.precision_at_k(*sides, k=CUTS),
        "R": metrics.recall_at_k(*sides, k=CUTS),
        "nDCG": metrics.ndcg_at_k(*sides, k=CUTS),
        "Success": metrics.abandonment_at_k(*sides, k=CUTS),
        "Coverage": metrics.coverage_at_k(*sides, k=CUTS),
        "PSP": metrics.psprecision_at_k(*sides, weights, k=CUTS),
        "PSP(norm=none)": metrics.psprecision_at_k(*sides, weights, k=CUTS, normalize=False),
        "PSR": metrics.psrecall_at_k(*sides, weights, k=CUTS),
        "PSR(norm=none)": metrics.psrecall_at_k(*sides, weights, k=CUTS, normalize=False),
        "PSnDCG": metrics.psndcg_at_k(*sides, weights, k=CUTS),
        "PSnDCG(norm=none)": metrics.psndcg_at_k(*sides, weights, k=CUTS, normalize=False),
        "MacroP(like=napkinxc)": metrics.macro_precision_at_k(*sides),
        "MacroR(like=napkinxc)": metrics.macro_recall_at_k(*sides),
        "MacroF1(like=napkinxc)": metrics.macro_f1_measure_at_k(*sides),
    }
    return {name: np.asarray(column).tolist() for name, column in found.items()}


def cases() -> dict[str, dict[str, Any]]:
    """The stored cases by name."""
    stored: dict[str, dict[str, Any]] = json.loads(FILE.read_text())["cases"]
    return stored


if __name__ == "__main__":
    made = {name: {**case, "values": values(case)} for name, case in (("edges", edges()), ("random", random(0)))}
    made_by = f"napkinxc {importlib.metadata.version('napkinxc')}, python -m tests.oracles.napkinxc"
    FILE.write_text(json.dumps({"made_by": made_by, "cases": made}) + "\n")
