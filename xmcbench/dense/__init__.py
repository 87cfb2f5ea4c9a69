"""Dual encoders and what they are searched with: exact on CPU and GPU, approximate by a graph. `dual.py` is the model."""

from pathlib import Path

from xmcbench.stale import stamp_whole_packages

stamp_whole_packages(Path(__file__).parent)
