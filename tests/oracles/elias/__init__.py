"""ELIAS held against runs of the method made elsewhere; the files are in `tests/oracles/data`."""
