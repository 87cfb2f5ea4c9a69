"""Build one label tree, from clustering to classifiers, with a checkpoint after every step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.methods.helpers import Arrays, checkpointed, checkpointed_csr
from xmcbench.sparse.beam import SearchTree, descend
from xmcbench.sparse.chunked import Chunks
from xmcbench.sparse.clustering import balanced_clusters, cluster_count
from xmcbench.sparse.csr import Csr
from xmcbench.sparse.dual import SolverOptions
from xmcbench.sparse.kmeans import kmeans_clusters
from xmcbench.sparse.labeltree import LabelTree
from xmcbench.sparse.linear import Problems, train_groups

BLOCK_WORK = 10_000_000_000  # stored features per pass over the problems of one checkpoint: about a minute on two cores
ROWS = 2048  # rows per search call: Ctrl-C and the deadline are checked between calls


@dataclass(frozen=True)
class Growth:
    """Tree `number` of a method with parameters `params`; steps that a killed run finished come from checkpoints."""

    params: Any
    number: int
    ctx: RunContext

    def cluster(self, centroids: Csr, width: int, seen: NDArray[np.int32]) -> LabelTree:
        """The tree over the labels `seen`, (m,), clustered by their centroids: m rows of `width` columns."""

        def levels() -> Arrays:
            with self.ctx.phase("cluster"):
                clusters = self._clusters(centroids, width)
            return {"clusters": np.stack(clusters) if clusters else np.empty((0, len(seen)), np.int64)}

        arrays = checkpointed(self.ctx.checkpoints, f"tree-{self.number}-clusters", levels)
        return LabelTree.build(seen, list(arrays["clusters"]))

    def _clusters(self, centroids: Csr, width: int) -> list[NDArray[Any]]:
        p, seed = self.params, self.ctx.seed(f"tree/cluster {self.number}")
        if p.clusters == "kmeans":
            depth = None if p.depth is None else p.depth - 1
            sizes = {"arity": p.arity, "max_leaf": p.max_leaf, "depth": depth}
            return kmeans_clusters(centroids, width, **sizes, seed=seed, progress=self.ctx.progress)
        count = cluster_count(len(centroids.indptr) - 1, p.max_leaf)
        clusters = balanced_clusters(centroids, width, n_clusters=count, seed=seed, progress=self.ctx.progress)
        # From the last level up, nodes have `arity` children; the root takes the remainder.
        shifts = range(0, count.bit_length() - 1, p.arity.bit_length() - 1)
        return [clusters >> shift for shift in reversed(shifts)]

    def train(self, features: sp.csr_matrix, labels: sp.csr_matrix, tree: LabelTree) -> SearchTree:
        """Train the classifiers level by level; matcher-aware negatives need the beam of the levels above."""
        links, below = tree.child_ptr(), tree.rows_below(labels)
        weights = [sp.csr_matrix((1, features.shape[1] + 1), dtype=np.float32)]  # of the root: empty
        for level in range(tree.depth):
            matched = None
            if self.params.negatives == "matcher" and level > 0:
                with self.ctx.phase("match"):
                    matched = self._beam_nodes(features, tree, level, links, sp.vstack(weights, format="csr"))
            with self.ctx.phase("train"):
                weights += self._train_level(features, tree.problems(below, level, matched), level, tree.depth)
        stacked = sp.vstack(weights, format="csr")
        weights.clear()  # frees memory: `stacked` is a copy of these weights
        return SearchTree(Chunks.of(links, stacked), tree.labels, tree.depth)

    def _train_level(self, features: sp.csr_matrix, problems: Problems, level: int, depth: int) -> list[sp.csr_matrix]:
        """The (problems, d + 1) weights of a level, one matrix per block."""
        p, ctx, weights, total, finished = self.params, self.ctx, [], int(problems.work(features).sum()), 0
        for first, block in blocks(problems, features):

            def train(first: int = first, block: Problems = block, finished: int = finished) -> sp.csr_matrix:
                seed = ctx.seed(f"tree/level {level} of {self.number}") + first
                options = SolverOptions(p.cost, p.tolerance, p.max_iter, threshold=p.threshold, seed=seed)

                def report(done: float, _: float) -> None:
                    self._report(level, depth, (finished + done) / max(total, 1))

                return train_groups(features, block, options, report)

            name = f"tree-{self.number}-weights-{level}-{first}"
            weights.append(checkpointed_csr(ctx.checkpoints, name, features.shape[1] + 1, train))
            finished += int(block.work(features).sum())
        return weights

    def _beam_nodes(
        self, features: sp.csr_matrix, tree: LabelTree, level: int, links: NDArray[np.int64], weights: sp.csr_matrix
    ) -> sp.csr_matrix:
        """(n, nodes of the level) CSR pattern of the nodes in the beam of each training row."""
        sizes = [1, *tree.sizes()]
        n_above = sum(sizes[:level])  # nodes of the levels above
        chunks, n = Chunks.of(links[: n_above + 1], weights), features.shape[0]
        patterns = []
        for start in range(0, n, ROWS):
            rows = Csr.of(features[start : start + ROWS])
            beam = descend(chunks, rows, level, self.params.beam, self.params.power)
            pattern = (np.ones(len(beam.nodes), np.bool_), beam.nodes - n_above, beam.ptr)
            patterns.append(sp.csr_matrix(pattern, shape=(len(beam.ptr) - 1, sizes[level])))
            self._report(level, tree.depth, 0.0)
        return sp.vstack(patterns, format="csr")

    def _report(self, level: int, depth: int, share: float) -> None:
        """Report the levels done of all trees, whose depths are about the same, with a share of this level."""
        note = f"tree {self.number + 1}, level {level + 1} of {depth}"
        self.ctx.progress(self.number * depth + level + share, self.params.trees * depth, note)


def blocks(problems: Problems, features: sp.csr_matrix) -> Iterator[tuple[int, Problems]]:
    """Split the problems of a level into blocks of about `BLOCK_WORK`; yield (first problem, problems) per block.

    Blocks end where groups end: how a group is solved depends on the number of its problems.
    """
    block = np.cumsum(problems.work(features)) // BLOCK_WORK
    next_blocks = np.flatnonzero(np.diff(block)) + 1
    starts = np.unique(np.searchsorted(problems.group, problems.group[next_blocks]))
    borders = [0, *starts[starts > 0].tolist(), problems.n_problems]
    for first, last in pairwise(borders):
        yield first, problems.part(first, last)
