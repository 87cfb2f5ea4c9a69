"""One run from a typed method to predictions and costs: plan, registry, tuning, stages, and the machine they see."""
