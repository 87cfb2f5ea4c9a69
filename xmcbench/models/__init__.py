"""Fitted methods as folders that need nothing else: written after a run, loaded to label new texts."""
