"""Data sets: a catalogue of facts, fetching with checks, readers, and a memory-mapped cache."""
