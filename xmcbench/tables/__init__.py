"""Tables with row-sparse gradients: embeddings of features, weights of labels."""

from pathlib import Path

from xmcbench.sparse.numba_cache import stamp_whole_package

stamp_whole_package(Path(__file__).parent)
