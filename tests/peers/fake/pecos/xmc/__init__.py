"""PIFA as it is, and clustering that passes it on. FAKE_PECOS says what goes wrong in training."""

import os
import signal
import time


class LabelEmbeddingFactory:
    @staticmethod
    def create(Y, X, method, threads):
        os.write(1, b"chatter of a C++ library on standard output\n")
        print("chatter of Python")
        assert method == "pifa"
        assert threads >= 1
        return Y.T.tocsr() @ X


class Indexer:
    @staticmethod
    def gen(features, indexer_type, seed, threads, nr_splits, max_leaf_size):
        fault = os.environ.get("FAKE_PECOS")
        if fault == "raise":
            raise ValueError("no clusters today")
        if fault == "die":
            os.write(2, b"a last word\n")
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "sleep":
            time.sleep(600)
        return features
