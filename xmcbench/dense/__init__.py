"""Search among dense label vectors by inner product: exact on CPU and GPU, and approximate by a graph."""

from pathlib import Path

from xmcbench.stale import stamp_whole_packages

stamp_whole_packages(Path(__file__).parent)
