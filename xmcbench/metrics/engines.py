"""The same metrics computed by pyxclib, to check this package against an independent implementation.

PyPI has no pyxclib: the extra `pyxclib` refers to its public repository (distribution and import name `xclib`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xmcbench.errors import UsageError, XmcError
from xmcbench.metrics.names import Name
from xmcbench.metrics.truth import Truth

if TYPE_CHECKING:
    import scipy.sparse as sp

ENGINES = ("xmcbench", "pyxclib")
COMPUTES = ("P", "nDCG", "PSP", "PSnDCG")  # in the order in which `xc_metrics.Metrics.eval` returns them
DEFAULT_PYXCLIB = tuple(f"{metric}@{k}" for metric in COMPUTES for k in (1, 3, 5))
TOLERANCE = 1e-6  # pyxclib sums nDCG and PSnDCG into float32
INSTALL = (
    "Install it from its repository: pip install --upgrade setuptools wheel cython numpy six, then "
    "pip install --no-build-isolation --no-deps 'xclib @ git+https://github.com/kunaldahiya/pyxclib@5d13086'"
)


def with_pyxclib(scores: sp.csr_matrix, truth: Truth, names: Sequence[Name]) -> dict[str, float | None]:
    """Fractions by name from `xclib.evaluation.xc_metrics.Metrics`; None where pyxclib returns NaN.

    `scores` : (n, L) scores at the precision in which they were given, filter pairs removed. pyxclib ranks them itself,
    so that it checks our ranking too; its order of labels with equal scores is undefined.

    Raises
    ------
    UsageError : a metric or variant that pyxclib does not compute.
    XmcError : pyxclib can't be imported.
    """
    for name in names:
        if name.metric not in COMPUTES or name.params not in ((), ("like=pyxclib",)) or name.slice:
            raise UsageError(
                f"pyxclib does not compute {name}",
                f"It computes {', '.join(COMPUTES)}, each with a cut-off, as in P@5.",
            )
    if not names:
        return {}
    weighted = any(name.definition.weighted for name in names)
    if weighted and truth.n_train == 0:
        raise UsageError("PSP and PSnDCG need the training labels", "Give --train-labels.")
    try:
        xc: Any = importlib.import_module("xclib.evaluation.xc_metrics")
    except ImportError as error:
        raise XmcError(f"--engine pyxclib: xclib can't be imported ({error})", INSTALL) from error
    k = max(name.k or 1 for name in names)
    labels = truth.labels.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        curves = xc.Metrics(labels, truth.inv_propensity if weighted else None).eval(scores, k)
    fractions: dict[str, float | None] = {}
    for name in names:
        value = float(np.ravel(curves[COMPUTES.index(name.metric)])[(name.k or 1) - 1])
        fractions[str(name)] = value if np.isfinite(value) else None
    return fractions


def disagreements(theirs: Mapping[str, float | None], ours: Mapping[str, float | None]) -> list[str]:
    """One message for each metric on which pyxclib and xmcbench differ by more than `TOLERANCE`."""
    messages = []
    for name, their_value in theirs.items():
        our_value = ours[name]
        if their_value is None or our_value is None:
            if their_value is not our_value:
                messages.append(f"{name}: pyxclib {their_value}, xmcbench {our_value} (undefined)")
        elif abs(their_value - our_value) > TOLERANCE:
            difference = f"difference {their_value - our_value:+.2e}"
            messages.append(f"{name}: pyxclib {their_value:.9f}, xmcbench {our_value:.9f}, {difference}")
    return messages
