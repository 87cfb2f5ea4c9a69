"""Encoders: embeddings of texts or bags of words, for any method. Read `encoder.py`, the contract, first."""
