"""Tables with row-sparse gradients: embeddings of features, weights of labels."""

from pathlib import Path

from xmcbench.sparse.numba_cache import stamp_whole_packages

stamp_whole_packages(Path(__file__).parent)
