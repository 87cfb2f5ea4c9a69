"""PECOS's precision and recall, computed by PECOS in its own environment, are P and R (`tox -e peers`)."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.oracles import napkinxc as oracle
from xmcbench.metrics import evaluate
from xmcbench.peers import environment, packages

CUTS = 8
# a separate process: PECOS needs another numpy; the first label of a row of n has score n, the last one 1
COMPUTE = f"""
import json, sys
import numpy as np
import scipy.sparse as sp
from pecos.utils.smat_util import Metrics
n_labels, *sides = json.load(sys.stdin)
def matrix(rows):
    indptr = np.cumsum([0, *map(len, rows)])
    scores = [float(len(row) - i) for row in rows for i in range(len(row))]
    return sp.csr_matrix((np.array(scores), np.array(sum(rows, []), int), indptr), shape=(len(rows), n_labels))
found = Metrics.generate(*map(matrix, sides), topk={CUTS})
print(json.dumps([list(map(float, found.prec)), list(map(float, found.recall))]))
"""


@pytest.mark.parametrize("case", oracle.cases())
def test_equal_to_pecos(case: str) -> None:
    if reason := packages.missing("pecos"):
        pytest.skip(f"PECOS: {reason}")
    stored = oracle.cases()[case]
    request = json.dumps([stored["n_labels"], stored["truth"], stored["ranked"]])
    command = [str(environment.python()), "-c", COMPUTE]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=True)
    names = [f"{metric}@{k}" for metric in "PR" for k in range(1, CUTS + 1)]
    ours = evaluate(oracle.topk_of(stored), oracle.truth_of(stored), names, samples=0).fractions()
    theirs = [value for column in json.loads(done.stdout) for value in column]
    assert list(ours.values()) == pytest.approx(theirs, abs=1e-12)
