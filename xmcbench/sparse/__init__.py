"""Numba kernels on sparse matrices that methods share."""

from pathlib import Path

from xmcbench.sparse.numba_cache import stamp_whole_package

stamp_whole_package(Path(__file__).parent)
