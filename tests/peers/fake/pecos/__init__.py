"""A stand-in for libpecos with the few calls our worker makes: centroids instead of rankers, and faults on demand."""
