"""ELIAS: end-to-end learning to index and search in large output spaces, as an xmcbench method."""

__version__ = "0.1.0"
