"""Numba kernels on sparse matrices that methods share."""

from pathlib import Path

from xmcbench.stale import stamp_whole_packages

stamp_whole_packages(Path(__file__).parent)
