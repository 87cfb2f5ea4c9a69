"""Scores are inner products with label centroids, so that there is something to learn and to save."""

import os

import numpy as np
import scipy.sparse as sp


class XLinearModel:
    def __init__(self, centroids):
        self.centroids = centroids

    @classmethod
    def train(cls, X, Y, C, threads, Cp, Cn, threshold):
        dense = C.toarray()
        length = np.linalg.norm(dense, axis=1, keepdims=True)
        return cls((dense / np.maximum(length, 1e-9)).astype(np.float32))

    def save(self, folder):
        os.makedirs(folder)
        np.savez(os.path.join(folder, "centroids.npz"), centroids=self.centroids)

    @classmethod
    def load(cls, folder, is_predict_only, weight_matrix_type):
        assert is_predict_only
        with np.load(os.path.join(folder, "centroids.npz")) as file:
            return cls(file["centroids"])

    def predict(self, X, only_topk, beam_size, threads):
        os.write(1, b"more chatter\n")
        scores = X @ self.centroids.T
        k = min(only_topk, scores.shape[1])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        data = np.take_along_axis(scores, best, axis=1).ravel()
        return sp.csr_matrix((data, best.ravel(), np.arange(0, data.size + 1, k)), shape=scores.shape)
