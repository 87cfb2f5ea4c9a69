"""Training of the network (losses, optimisers, schedules, stages) and of the dual encoder that initialises it."""
