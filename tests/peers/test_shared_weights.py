"""Our tree search against PECOS's, with the same weights: the same labels and the same scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.data.spec import Dataset
from xmcbench.peers import packages
from xmcbench.peers.pecos import Pecos, PecosParams
from xmcbench.sparse.beam import SearchTree, search
from xmcbench.sparse.chunked import Chunks
from xmcbench.sparse.csr import unit_rows

ROUNDING = 1e-5  # of scores in [0, 1]: PECOS adds up features in another order


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared weights")


def as_search_tree(model: Path, labels: NDArray[np.int32]) -> SearchTree:
    """A model of PECOS's as ours: on each level W (d + 1, nodes) with the bias last, and C (nodes, nodes above)."""
    order, counts = np.zeros(1, np.int64), []
    weights: list[sp.csr_matrix] = []
    levels = sorted((model / "ranker").glob("*.model"), key=lambda path: int(path.stem))
    for level in levels:
        links, columns = sp.load_npz(level / "C.npz").tocsc(), sp.load_npz(level / "W.npz").tocsc()
        children = [links.indices[links.indptr[node] : links.indptr[node + 1]] for node in order]
        counts += [len(below) for below in children]
        order = np.concatenate(children)
        weights.append(columns[:, order].T.tocsr())
    weights.insert(0, sp.csr_matrix((1, weights[0].shape[1]), dtype=np.float32))
    assert min(counts) > 1, "an only child has its parent's score here, and one of its own in PECOS"
    child_ptr = np.concatenate([[1], 1 + np.cumsum(counts)])
    return SearchTree(Chunks.of(child_ptr, sp.vstack(weights, format="csr")), labels[order], len(levels))


@pytest.fixture
def both(world: Dataset, folder: Path) -> tuple[Pecos, SearchTree]:
    """PECOS after training, weights below 0.3 dropped and bias weights with them, and its weights as our tree."""
    if (reason := packages.missing("pecos")) is not None:
        pytest.skip(reason)
    pecos = Pecos(PecosParams(nr_splits=3, max_leaf_size=6, threshold=0.3))
    pecos.fit(world.train_data(), RunContext(folder))
    assert pecos.folder is not None
    return pecos, as_search_tree(pecos.folder / "0", pecos.seen)


def test_same_labels_and_scores(both: tuple[Pecos, SearchTree], world: Dataset, folder: Path) -> None:
    pecos, tree = both
    assert tree.depth == 3
    assert (tree.chunks.bias[1:] == 0).any(), "every node kept its bias weight: raise the threshold"
    rows = world.test_inputs()
    for beam in (1, 2, 5, 100):
        for which in (slice(None), slice(7, 8)):  # PECOS holds a single row's weights in another form
            some = rows.rows(which)
            found = pecos.predict(some, 5, RunContext(folder, query={"beam": beam}))
            features = unit_rows(some.features)
            ids, scores = search([tree], features, some.n_labels, beam=beam, power=3)
            shown = found.ids >= 0
            assert shown.any(axis=1).all()
            np.testing.assert_allclose(scores[:, :5][shown], found.scores[shown], rtol=0, atol=ROUNDING)
            table = np.full((some.n_rows, some.n_labels), np.nan)
            row, column = np.nonzero(ids >= 0)
            table[row, ids[row, column]] = scores[row, column]
            row, column = np.nonzero(shown)
            np.testing.assert_allclose(table[row, found.ids[shown]], found.scores[shown], rtol=0, atol=ROUNDING)
