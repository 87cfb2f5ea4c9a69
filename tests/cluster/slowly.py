"""A method in a throw-away distribution: every node of a test cluster finds it by its metadata."""

CODE = '''
"""Counts labels in steps of a tenth of a second, with a checkpoint after each."""

import time
from dataclasses import dataclass

import numpy as np
from xmcbench import MethodInfo, TopK, param


@dataclass(frozen=True)
class Steps:
    steps: int = param(20, "number of steps", "ours: a test")
    first: int = param(0, "the label put first", "ours: a test", query=(0, 1))


class Slowly:
    info = MethodInfo("slowly", "for tests", "floor", "1", parameters=Steps)

    def __init__(self, params):
        self.params = params

    @classmethod
    def skip(cls, data, machine):
        return None

    def fit(self, train, ctx):
        found = ctx.checkpoints.load("step")
        first = found[1]["step"] if found else 0
        ctx.note("first", first)
        with ctx.phase("count"):
            for step in range(first, self.params.steps):
                time.sleep(0.1)
                ctx.checkpoints.save("step", {}, {"step": step + 1})
                ctx.progress(step, self.params.steps)
        self.counts = np.asarray(train.labels.sum(axis=0)).ravel()

    def predict(self, inputs, k, ctx):
        scores = self.counts.astype(np.float32)
        scores[ctx.query["first"]] = 1e6
        ids = np.tile(np.arange(inputs.n_labels), (inputs.n_rows, 1))
        return TopK.from_arrays(ids, np.tile(scores, (inputs.n_rows, 1)), k)

    def save(self, folder):
        np.savez(folder / "model.npz", counts=self.counts)

    def load(self, folder):
        self.counts = np.load(folder / "model.npz")["counts"]
'''
