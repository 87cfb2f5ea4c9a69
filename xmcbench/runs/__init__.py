"""A run from the method as typed to predictions and costs: plan, registry, tuning, stages and machine."""
