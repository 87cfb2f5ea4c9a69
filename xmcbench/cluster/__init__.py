"""Runs of a plan as tasks on several machines, by Ray or Slurm."""
