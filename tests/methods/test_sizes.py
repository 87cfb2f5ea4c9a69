"""Expected sizes: centroids of labels in memory and in files, and weights of classifiers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xmcbench.growing import IN_MEMORY
from xmcbench.method import Facts, Machine
from xmcbench.methods import sizes
from xmcbench.methods.sizes import (
    centroid_bytes,
    clustering_bytes,
    distinct_features,
    linear_weights,
    rows_per_label,
)
from xmcbench.methods.tree import Bonsai, XrLinear
from xmcbench.peers.omikuji import Omikuji, OmikujiParams
from xmcbench.peers.pecos import Pecos, PecosParams

# each row has 40 features and one label, and a label has one row, so that its centroid has 40 numbers
SMALL = Facts("d", "bow", 1000, 100, 5000, 1000, frozenset({"features"}), entries=40_000, test_entries=1, pairs=1000)
LARGE = replace(SMALL, n_train=1_000_000, n_labels=1_000_000, entries=40_000_000, pairs=1_000_000)
MACHINE = Machine(2, "cpu")


def test_small_centroids_are_in_memory_and_large_ones_in_files() -> None:
    assert distinct_features(SMALL, 1) == 40
    assert centroid_bytes(SMALL) == (8 * 40_000, 0)
    assert centroid_bytes(LARGE) == (0, 8 * 40_000_000)


def test_copies_while_labels_are_clustered_are_bounded() -> None:
    assert clustering_bytes(SMALL, copied=True) - clustering_bytes(SMALL, copied=False) == 8 * 40_000
    larger = replace(LARGE, n_labels=100_000_000)
    assert clustering_bytes(LARGE, copied=True) == clustering_bytes(larger, copied=True)
    assert 2 * IN_MEMORY < clustering_bytes(LARGE, copied=False) - 24 * LARGE.pairs < 3 * IN_MEMORY


def test_files_of_centroids_count_as_disk_of_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in (XrLinear, Bonsai):
        with_files = method(method.info.parameters()).footprint(LARGE, MACHINE)
        monkeypatch.setattr(sizes, "IN_MEMORY", 1 << 40)
        without = method(method.info.parameters()).footprint(LARGE, MACHINE)
        monkeypatch.undo()
        assert with_files.disk - without.disk == 320_000_000
        assert without.memory - with_files.memory >= 320_000_000


def test_each_tree_of_a_peer_needs_memory_by_the_features_of_centroids() -> None:
    """40,000,000 features of centroids: each takes 45 bytes for a tree of omikuji, and 70 for a loaded one of PECOS."""

    def memory(method: Omikuji | Pecos) -> int:
        return method.footprint(LARGE, MACHINE).memory

    two, three = (memory(Omikuji(OmikujiParams(n_trees=n_trees))) for n_trees in (2, 3))
    assert three - two == 45 * 40_000_000
    one, two, three = (memory(Pecos(PecosParams(trees=trees))) for trees in (1, 2, 3))
    assert (two - one, three - two) == (60 * 40_000_000, 70 * 40_000_000), "training takes 80, once"


def test_labels_without_rows_have_no_weights() -> None:
    half = replace(SMALL, seen=500)
    assert rows_per_label(SMALL) == 1
    assert rows_per_label(half) == 2
    assert centroid_bytes(half)[0] == 8 * int(500 * distinct_features(SMALL, 2))


def test_weights_grow_with_the_features_that_carry_a_row_and_not_beyond_those_that_occur() -> None:
    few, many = replace(SMALL, spread=2.0), replace(SMALL, spread=4.0)
    assert linear_weights(many, 4, 400, 0.1) == pytest.approx(2 * linear_weights(few, 4, 400, 0.1))
    assert linear_weights(few, 1, 100, 0.2) == pytest.approx(2 * 5.5 * 0.5**0.8)
    assert linear_weights(replace(SMALL, spread=1e9), 4, 400, 0.1) == distinct_features(SMALL, 404)
    assert linear_weights(few, 4, 400, 0.0) == distinct_features(SMALL, 404)
