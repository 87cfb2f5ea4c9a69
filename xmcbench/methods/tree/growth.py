"""One label tree from clustering to classifiers, with a checkpoint after every piece of work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.methods.kept import kept_matrix

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.sparse.beam import SearchTree
    from xmcbench.sparse.labeltree import LabelTree
    from xmcbench.sparse.linear import Problems

BLOCK_WORK = 10_000_000_000  # stored features a pass over the problems of one checkpoint: a minute or so on two cores
ROWS = 2048  # rows a search call, so that Ctrl-C and deadlines come through


@dataclass(frozen=True)
class Growth:
    """Tree `number` of a method with parameters `params`; what a killed run has finished comes from its checkpoints."""

    params: Any
    number: int
    ctx: RunContext

    def cluster(self, centroids: sp.csr_matrix, seen: NDArray[np.int32]) -> LabelTree:
        """The tree over labels `seen`, (m,), from their (m, d) centroids."""
        from xmcbench.sparse.labeltree import LabelTree

        kept = self.ctx.checkpoints.load(f"tree-{self.number}-clusters")
        if kept is not None:
            return LabelTree.build(seen, list(kept[0]["clusters"]))
        with self.ctx.phase("cluster"):
            levels = self._clusters(centroids)
        together = np.stack(levels) if levels else np.empty((0, len(seen)), np.int64)
        self.ctx.checkpoints.save(f"tree-{self.number}-clusters", {"clusters": together})
        return LabelTree.build(seen, levels)

    def _clusters(self, centroids: sp.csr_matrix) -> list[NDArray[Any]]:
        from xmcbench.sparse.clustering import balanced_clusters, cluster_count
        from xmcbench.sparse.kmeans import kmeans_clusters

        p, seed = self.params, self.ctx.seed(f"tree/cluster {self.number}")
        if p.clusters == "kmeans":
            depth = None if p.depth is None else p.depth - 1
            return kmeans_clusters(
                centroids, arity=p.arity, max_leaf=p.max_leaf, depth=depth, seed=seed, progress=self.ctx.progress
            )
        count = cluster_count(centroids.shape[0], p.max_leaf)
        clusters = balanced_clusters(centroids, n_clusters=count, seed=seed, progress=self.ctx.progress)
        # counted from the clusters up, nodes have `arity` children; the root gets the rest
        shifts = range(0, count.bit_length() - 1, p.arity.bit_length() - 1)
        return [clusters >> shift for shift in reversed(shifts)]

    def train(self, features: sp.csr_matrix, labels: sp.csr_matrix, tree: LabelTree) -> SearchTree:
        """Classifiers level by level; with matcher-aware negatives a level waits for the beam of those above."""
        import scipy.sparse as sp

        from xmcbench.sparse.beam import SearchTree
        from xmcbench.sparse.chunked import Chunks

        links, below = tree.child_ptr(), tree.rows_below(labels)
        weights = [sp.csr_matrix((1, features.shape[1] + 1), dtype=np.float32)]  # the root's, empty
        for level in range(tree.depth):
            matched = None
            if self.params.negatives == "matcher" and level > 0:
                with self.ctx.phase("match"):
                    matched = self._matched(features, tree, level, links, sp.vstack(weights, format="csr"))
            with self.ctx.phase("train"):
                weights += self._train_level(features, tree.problems(below, level, matched), level, tree.depth)
        together = sp.vstack(weights, format="csr")
        weights.clear()  # the same again, and the largest thing there is by now
        return SearchTree(Chunks.of(links, together), tree.labels, tree.depth)

    def _train_level(self, features: sp.csr_matrix, problems: Problems, level: int, depth: int) -> list[sp.csr_matrix]:
        """(problems, d + 1) weights of a level, in blocks."""
        found, work, done = [], int(problems.work(features).sum()), 0
        for first, block in blocks(problems, features):
            report = Report(self.ctx, done, work, f"tree {self.number + 1}, level {level + 1} of {depth}")
            found.append(self._train_block(features, block, level, first, report))
            done += int(block.work(features).sum())
        return found

    def _train_block(
        self, features: sp.csr_matrix, block: Problems, level: int, first: int, report: Report
    ) -> sp.csr_matrix:
        """Weights of a level's problems from number `first` on, from a checkpoint where there is one."""
        from xmcbench.sparse.grouped import train_groups

        p, ctx = self.params, self.ctx

        def train() -> sp.csr_matrix:
            return train_groups(
                features,
                block,
                cost=p.cost,
                tolerance=p.tolerance,
                max_iter=p.max_iter,
                threshold=p.threshold,
                seed=ctx.seed(f"tree/level {level} of {self.number}") + first,
                progress=report,
            )

        name = f"tree-{self.number}-weights-{level}-{first}"
        return kept_matrix(ctx.checkpoints, name, features.shape[1] + 1, train)

    def _matched(
        self, features: sp.csr_matrix, tree: LabelTree, level: int, links: NDArray[np.int64], weights: sp.csr_matrix
    ) -> sp.csr_matrix:
        """(n, nodes of a level) CSR pattern: the nodes that the beam of each training row keeps there."""
        import scipy.sparse as sp

        from xmcbench.sparse.beam import descend
        from xmcbench.sparse.chunked import Chunks
        from xmcbench.sparse.csr import parts

        sizes = [1, *tree.sizes()]
        inner, before = sum(sizes[:level]), sum(sizes[:level])
        chunks, n = Chunks.of(links[: inner + 1], weights), features.shape[0]
        found = []
        for start in range(0, n, ROWS):
            rows = parts(features[start : start + ROWS])
            beam = descend(chunks, rows, level, self.params.beam, self.params.power)
            pattern = (np.ones(len(beam.nodes), np.bool_), beam.nodes - before, beam.ptr)
            found.append(sp.csr_matrix(pattern, shape=(len(beam.ptr) - 1, sizes[level])))
            self.ctx.progress(min(start + ROWS, n), n, f"tree {self.number + 1}, level {level + 1} of {tree.depth}")
        return sp.vstack(found, format="csr")


@dataclass(frozen=True)
class Report:
    """Progress of one block as progress of its level."""

    ctx: RunContext
    before: int
    total: int
    note: str

    def __call__(self, done: float, _: float) -> None:
        self.ctx.progress(self.before + done, self.total, self.note)


def blocks(problems: Problems, features: sp.csr_matrix) -> Iterator[tuple[int, Problems]]:
    """Cut a level where its work passes `BLOCK_WORK`: (first problem, problems) of each checkpoint."""
    block = np.cumsum(problems.work(features)) // BLOCK_WORK
    borders = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), problems.n_problems]
    for first, last in pairwise(borders):
        yield first, problems.part(first, last)
