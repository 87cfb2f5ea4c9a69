"""Arrays of a CSR matrix as kernels take them: read-only views, or the stored arrays."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.sparse.csr import Csr, of_unit_length, unit_rows


def example() -> sp.csr_matrix:
    return sp.csr_matrix(np.array([[0, 2, 0], [1, 0, 3], [0, 0, 0]], np.float32))


def test_views_may_not_be_written_and_leave_the_matrix_writable() -> None:
    matrix = example()
    views = Csr.of(matrix)
    for array in views:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert np.shares_memory(views.data, matrix.data)
    matrix.data[0] = 5
    assert views.data.tolist() == [5, 1, 3]


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_arrays_have_the_types_of_kernels_whatever_the_matrix_has(index: type) -> None:
    matrix = example().astype(np.float64)
    matrix.indptr, matrix.indices = matrix.indptr.astype(index), matrix.indices.astype(index)
    for arrays in (Csr.of(matrix), Csr.stored(matrix)):
        assert [array.dtype for array in arrays] == [np.int64, np.int32, np.float32]
        assert [array.tolist() for array in arrays] == [[0, 1, 3, 3], [1, 0, 2], [2, 1, 3]]
    assert all(array.flags.writeable for array in Csr.stored(matrix))


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_unit_rows_are_the_same_with_and_without_scipy(index: type) -> None:
    matrix = example()
    matrix.indptr = matrix.indptr.astype(index)
    expected, rows = Csr.of(unit_rows(matrix)), of_unit_length(Csr.of(matrix))
    assert all(np.array_equal(a, b) for a, b in zip(rows, expected, strict=True))
    assert matrix.data.tolist() == [2, 1, 3]
    assert not any(array.flags.writeable for array in rows)
