"""Numba kernels on sparse matrices that methods share."""

from pathlib import Path

from xmcbench.sparse.numba_cache import stamp_whole_packages

stamp_whole_packages(Path(__file__).parent)
