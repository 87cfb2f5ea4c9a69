"""Matrices and texts that grow while they are read or made, without a second copy of what is there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.texts import Texts
from xmcbench.growing import Growing

Array = NDArray[Any]


class GrowingMatrix:
    """A CSR matrix that grows by rows; its ids are int32."""

    def __init__(self, dtype: type = np.float32) -> None:
        self.lengths, self.ids, self.values = Growing(np.int32), Growing(np.int32), Growing(dtype)

    def append(self, lengths: Array, ids: Array, values: Array) -> None:
        """Add rows of `lengths` entries each, with ascending ids."""
        self.lengths.append(lengths)
        self.ids.append(ids)
        self.values.append(values)

    def csr(self, width: int, n_rows: int | None = None) -> sp.csr_matrix:
        """The matrix over the arrays themselves; with `n_rows`, without rows after them, which must be empty."""
        lengths = self.lengths.array[:n_rows]
        index_type = np.int64 if max(len(self.ids.array), width) >= 2**31 else np.int32
        starts = np.zeros(len(lengths) + 1, index_type)
        np.cumsum(lengths, out=starts[1:])
        matrix = sp.csr_matrix((self.values.array, self.ids.array, starts), (len(lengths), width))
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        return matrix


class GrowingTexts:
    """Texts that are packed while they are made."""

    def __init__(self) -> None:
        self.blob, self.lengths = Growing(np.uint8), Growing(np.int64)

    def append(self, texts: Iterable[str]) -> None:
        packed = Texts.pack(texts)
        self.blob.append(packed.blob)
        self.lengths.append(np.diff(packed.offsets))

    def texts(self) -> Texts:
        return Texts(self.blob.array, np.concatenate([[0], np.cumsum(self.lengths.array)]))
