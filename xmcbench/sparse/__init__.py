"""Numba kernels on sparse matrices that methods share."""

from pathlib import Path

from xmcbench.stale import forget_stale

forget_stale(Path(__file__).parent)
