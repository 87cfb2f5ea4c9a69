"""A plan as it is executed: data sets loaded, runs one after the other, their progress in terminals and logs."""
