"""Figures of runs, one module for each kind, with the values and intervals of the leaderboards. Needs matplotlib."""
