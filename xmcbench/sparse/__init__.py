"""Numba kernels on sparse matrices that methods share.

Kernels take NamedTuples whole, but a parallel one only as its own parameters and without tuples inside: numba can't
pass others into its loops. Parallel kernels are given the number of workers: numba does not cache one that asks for it.
"""

from pathlib import Path

from xmcbench.sparse.numba_cache import stamp_whole_package

stamp_whole_package(Path(__file__).parent)
