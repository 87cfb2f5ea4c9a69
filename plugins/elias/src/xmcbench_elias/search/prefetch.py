"""Memory prefetch of a table row, an instruction that numba does not offer.

Rows of label weights are spread over some hundred megabytes, so a search mostly waits for memory. Prefetching makes it
several times as fast (see tests/benchmarks/elias_search.py).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

LINE = 64  # bytes of a cache line


def _prefetch(typing_context: Any, table: Any, row: Any, column: Any) -> Any:
    """llvm.prefetch of &table[row, column] for reading, into all cache levels; it never faults."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        width = builder.extract_value(array.shape, 1)
        place = builder.add(builder.mul(arguments[1], width), arguments[2])
        address = builder.bitcast(builder.gep(array.data, [place]), ir.IntType(8).as_pointer())
        int32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, int32, int32, int32])
        call = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(call, [address, int32(0), int32(3), int32(1)])
        return context.get_dummy_value()

    return types.void(table, types.intp, types.intp), generate


prefetch: Any = intrinsic(_prefetch)


@njit(cache=True, nogil=True)
def prefetch_row(table: Any, row: int) -> None:
    """Prefetch table[row], a row of a C-contiguous (N, D) array."""
    for column in range(0, table.shape[1], LINE // table.itemsize):
        prefetch(table, row, column)
