"""Shared by methods: errors, samples of rows, prediction in blocks of rows, checkpoints of arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, UsageError
from xmcbench.method import Inputs
from xmcbench.reasons import Reason
from xmcbench.topk import PAD, TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.checkpoints import Checkpoints
    from xmcbench.context import RunContext
    from xmcbench.sparse.csr import Csr

Best = tuple[NDArray[np.int32], NDArray[np.float32]]
Arrays = dict[str, NDArray[Any]]


def not_fitted(name: str, verb: str) -> UsageError:
    """The error for `predict` or `save` of a method that has no model yet."""
    return UsageError(f"{name}: {verb} before fit or load")


def not_a_model(name: str, path: Path, error: object) -> DataError:
    """The error for a model file with a missing or wrong field."""
    article = "an" if name[0] in "aeiou" else "a"
    return DataError(f"{path}: not {article} {name} model ({error})", "Fit again.")


def spread(n: int, most: int) -> NDArray[np.int64]:
    """Positions of at most `most` of n rows, ascending and evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def features_of(name: str, inputs: Inputs, width: int) -> sp.csr_matrix:
    """The (n, width) features of rows to predict for; DataError if their width is not that of the training rows."""
    assert inputs.features is not None
    if inputs.features.shape[1] != width:
        raise DataError(f"{name}: rows have {inputs.features.shape[1]} features, the model was trained on {width}")
    return inputs.features


def predict_in_parts(features: sp.csr_matrix, k: int, size: int, best: Callable[[Csr], Best], ctx: RunContext) -> TopK:
    """Call `best` for `size` rows at a time; Ctrl-C and the deadline are checked between calls.

    Parameters
    ----------
    features : (n, d) CSR with sorted indices.
    best : maps m rows of L2 norm one to (m, k) label ids and scores in the order of `TopK`.
    """
    from xmcbench.sparse.csr import Csr, of_unit_length

    n = features.shape[0]
    ids, scores = np.full((n, k), PAD, np.int32), np.full((n, k), -np.inf, np.float32)
    for start in range(0, n, size):
        block = slice(start, start + size)
        rows = features[block] if n > size else features  # slicing in scipy takes a tenth of the time of a query
        ids[block], scores[block] = best(of_unit_length(Csr.of(rows)))
        ctx.progress(min(start + size, n), n)
    return TopK(ids, scores)


def feature_reasons(columns: NDArray[np.int32], values: NDArray[np.float32], bias: float) -> list[Reason]:
    """The parts of w·x + bias: `values` are weight × feature of `columns`."""
    parts = [Reason("feature", column, value) for column, value in zip(columns.tolist(), values.tolist(), strict=True)]
    return [*parts, Reason("constant", -1, float(bias))]


def checkpointed(checkpoints: Checkpoints, name: str, make: Callable[[], Arrays]) -> Arrays:
    """Load arrays from a checkpoint, or call `make` and save its arrays there."""
    checkpoint = checkpoints.load(name)
    if checkpoint is not None:
        return checkpoint[0]
    arrays = make()
    checkpoints.save(name, arrays)
    return arrays


def checkpointed_csr(
    checkpoints: Checkpoints, name: str, width: int, make: Callable[[], sp.csr_matrix]
) -> sp.csr_matrix:
    """`checkpointed` for a CSR matrix of `width` columns."""
    import scipy.sparse as sp

    def arrays() -> Arrays:
        matrix = make()
        return {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}

    csr = checkpointed(checkpoints, name, arrays)
    return sp.csr_matrix((csr["data"], csr["indices"], csr["indptr"]), shape=(len(csr["indptr"]) - 1, width))
