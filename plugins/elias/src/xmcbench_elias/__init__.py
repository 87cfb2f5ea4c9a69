"""ELIAS: end-to-end learning to index and search in large output spaces, as an xmcbench method."""

from pathlib import Path

from xmcbench.stale import forget_stale

forget_stale(Path(__file__).parent)  # before any module with kernels is imported

from xmcbench_elias.method import Elias  # noqa: E402

__all__ = ["Elias"]
__version__ = "0.1.0"
