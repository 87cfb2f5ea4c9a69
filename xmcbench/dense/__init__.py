"""Dual encoders, and search among their labels: exact on CPU and GPU, approximate by a graph."""

from pathlib import Path

from xmcbench.stale import stamp_whole_packages

stamp_whole_packages(Path(__file__).parent)
