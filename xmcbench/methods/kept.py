"""A sparse matrix that outlives a killed fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import Checkpoints


def kept_matrix(checkpoints: Checkpoints, name: str, width: int, make: Callable[[], sp.csr_matrix]) -> sp.csr_matrix:
    """The CSR matrix of `width` columns kept as `name`, or what `make` gives, kept from now on."""
    import scipy.sparse as sp

    found = checkpoints.load(name)
    if found is not None:
        parts = (found[0]["data"], found[0]["indices"], found[0]["indptr"])
        return sp.csr_matrix(parts, shape=(len(parts[2]) - 1, width))
    made = make()
    checkpoints.save(name, {"data": made.data, "indices": made.indices, "indptr": made.indptr})
    return made
