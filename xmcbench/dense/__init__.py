"""Search for the labels of largest inner product with a row: exact on CPU and GPU, approximate by a graph."""

from pathlib import Path

from xmcbench.sparse.numba_cache import stamp_whole_package

stamp_whole_package(Path(__file__).parent)
