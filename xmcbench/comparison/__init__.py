"""Comparison of records with each other, with expected scores, and with recomputed scores."""
