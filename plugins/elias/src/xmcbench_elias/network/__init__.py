"""The network (encoder, clusters, adjacency, labels) and batches of rows as tensors."""
