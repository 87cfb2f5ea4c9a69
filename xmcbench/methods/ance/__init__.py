"""ANCE-style dense retrieval: one encoder for documents and labels, trained on self-mined hard negatives."""

from xmcbench.methods.ance.method import Ance

__all__ = ["Ance"]
