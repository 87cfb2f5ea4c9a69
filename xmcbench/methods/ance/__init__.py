"""ANCE-style dense retrieval: one encoder for documents and labels, trained on hard negatives it mines itself."""

from xmcbench.methods.ance.method import Ance

__all__ = ["Ance"]
