"""Beam search over the index: numba kernels on the CPU, torch elsewhere."""
