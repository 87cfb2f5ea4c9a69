"""ELIAS: end-to-end learning to index and search in large output spaces, as an xmcbench method."""

from xmcbench_elias.method import Elias

__all__ = ["Elias"]
__version__ = "0.1.0"
