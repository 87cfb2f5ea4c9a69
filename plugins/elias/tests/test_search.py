"""Beam, teacher forcing, best paths: against brute force, and in both forms."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from torch import Tensor
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.search.search import Shortlist, beam_search, by_sorting, forced_beam, shortlist


def rows_of(true: list[list[int]]) -> Batch:
    """A batch that has true labels only."""
    indptr = torch.from_numpy(np.cumsum([0, *map(len, true)]))
    labels = torch.tensor([label for row in true for label in row], dtype=torch.int64)
    return Batch(None, indptr, labels)


def brute(clusters: Tensor, scores: Tensor, entries: Tensor, values: Tensor, size: int, n_labels: int) -> list[dict]:
    """label → best path score of each row's best labels, ties to the lower id."""
    found = []
    for row, row_scores in zip(clusters.tolist(), scores, strict=True):
        best: dict[int, float] = {}
        for cluster, score in zip(row, row_scores, strict=True):
            for label, value in zip(entries[cluster].tolist(), values[cluster], strict=True):
                if label < n_labels:
                    best[label] = max(best.get(label, -np.inf), (score + value).item())
        kept = sorted(best, key=lambda label: (-best[label], label))[:size]
        found.append({label: best[label] for label in kept})
    return found


def world(seed: int, ties: bool) -> tuple[Tensor, Tensor, Tensor, Tensor, Batch]:
    """Five rows, six clusters of four slots, nine labels."""
    rng = np.random.default_rng(seed)
    clusters = torch.from_numpy(np.stack([rng.permutation(6)[:3] for _ in range(5)]))
    entries = torch.from_numpy(np.stack([rng.permutation(12)[:4] for _ in range(6)])).clamp(max=9)
    values = [rng.integers(-2, 1, shape) if ties else rng.normal(size=shape) for shape in ((5, 3), (6, 4))]
    scores, adjacency = (torch.from_numpy(value.astype(np.float32)) for value in values)
    batch = rows_of([sorted(rng.choice(9, 2, replace=False).tolist()) for _ in range(5)])
    return clusters, scores, entries, adjacency, batch


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), ties=st.booleans(), size=st.integers(1, 9), sorting=st.booleans())
def test_shortlist_is_the_brute_force_one(seed: int, ties: bool, size: int, sorting: bool) -> None:
    clusters, scores, entries, values, batch = world(seed, ties)
    form = by_sorting if sorting else shortlist
    found = form(clusters, scores, entries, values, size, 9, batch)
    known = brute(clusters, scores, entries, values, size, 9)
    all_paths = brute(clusters, scores, entries, values, 9, 9)
    for row in range(5):
        shown = found.labels[row][found.labels[row] < 9].tolist()
        assert sorted(shown) == sorted(known[row])
        check_paths(found, row, shown, known[row], clusters, scores, entries, values)
        assert found.scores[row].tolist() == [known[row].get(label, -np.inf) for label in found.labels[row].tolist()]
        true = batch.true_labels[batch.true_indptr[row] : batch.true_indptr[row + 1]]
        assert found.targets[row].tolist() == [label in true.tolist() for label in found.labels[row].tolist()]
        paths = found.true_paths[batch.true_indptr[row] : batch.true_indptr[row + 1]].tolist()
        for label, path in zip(true.tolist(), paths, strict=True):
            assert (path >= 0) == (label in all_paths[row])
            if path >= 0:
                assert score_of(path, row, clusters, scores, entries, values) == (label, all_paths[row][label])


def score_of(path: int, row: int, clusters: Tensor, scores: Tensor, entries: Tensor, values: Tensor) -> tuple:
    place, column = divmod(path, entries.shape[1])
    cluster = clusters[row, place]
    return entries[cluster, column].item(), (scores[row, place] + values[cluster, column]).item()


def check_paths(found: Shortlist, row: int, shown: list[int], known: dict[int, float], *given: Tensor) -> None:
    for label, path in zip(shown, found.paths[row].tolist(), strict=False):
        assert score_of(path, row, *given) == (label, known[label])


def test_all_clusters_in_the_beam_reach_every_label() -> None:
    clusters, scores, entries, values, batch = world(3, False)
    clusters = torch.arange(6).expand(5, 6)
    scores = torch.zeros(5, 6)
    found = shortlist(clusters, scores, entries, values, 9, 9, batch)
    reachable = sorted(set(entries.flatten().tolist()) - {9})
    assert all(sorted(set(row.tolist()) - {9}) == reachable for row in found.labels)


def test_ties_at_the_cut_go_to_lower_labels() -> None:
    entries = torch.tensor([[4, 2, 0, 3]])
    for form in (shortlist, by_sorting):
        found = form(torch.tensor([[0]]), torch.zeros(1, 1), entries, torch.zeros(1, 4), 2, 5, rows_of([[]]))
        assert sorted(found.labels[0].tolist()) == [0, 2]


def test_beam_keeps_the_largest() -> None:
    logits = torch.tensor([[0.1, 3.0, -1.0, 2.0]])
    assert beam_search(logits, 2).tolist() == [[1, 3]]
    assert beam_search(logits, 9).shape == (1, 4)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), beam=st.integers(1, 8), extra=st.integers(0, 5), most=st.integers(0, 9))
def test_forced_beam_holds_true_clusters_and_repeats_none(seed: int, beam: int, extra: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(7, 16)).astype(np.float32) * 10)
    true = [rng.integers(0, 16, rng.integers(0, most + 1)).tolist() for _ in range(7)]
    rows = torch.tensor([row for row, mine in enumerate(true) for _ in mine], dtype=torch.int64)
    flat = torch.tensor([cluster for mine in true for cluster in mine], dtype=torch.int64)
    clusters = forced_beam(logits, 10.0, beam, extra, rows, flat, torch.Generator().manual_seed(seed))
    best = beam_search(logits, beam).tolist()
    unions = [set(mine) | set(found) for mine, found in zip(true, best, strict=True)]
    longest = max(len(set(mine)) for mine in true)
    assert clusters.shape[1] == max(min(beam + extra, max(map(len, unions))), longest)
    for mine, union, row in zip(true, unions, clusters.tolist(), strict=True):
        assert len(set(row)) == len(row)
        assert set(mine) <= set(row)
        assert set(row) <= union or union <= set(row)
        assert set(row[: len(set(mine))]) == set(mine)


def test_sampling_past_the_limit_prefers_large_scores() -> None:
    logits = torch.tensor([[4.0, 4.0, -4.0, -9.0]]).expand(500, 4)
    true = torch.full((500,), 3)
    clusters = forced_beam(logits, 10.0, 3, 0, torch.arange(500), true, torch.Generator().manual_seed(0))
    assert clusters.shape == (500, 3)
    kept = [(clusters == cluster).any(1).float().mean().item() for cluster in range(4)]
    assert kept[3] == 1
    assert kept[0] > 0.9
    assert kept[1] > 0.9
    assert kept[2] < 0.1


SMALLEST_P = 1e-6  # a fixed seed, so a test fails where its code changes, and then by chance once in a million


def test_sampling_past_the_limit_is_by_cluster_score() -> None:
    """Softmax 0.5, 0.2, 0.06, 0.04 and little elsewhere: s = 1, 1, 0.6, 0.4, and three of these four are drawn."""
    shares = torch.full((16,), 0.2 / 12)
    shares[:4] = torch.tensor([0.5, 0.2, 0.06, 0.04])
    n, s = 100_000, [1.0, 1.0, 0.6, 0.4]
    rows, true = torch.arange(n), torch.full((n,), 9)
    clusters = forced_beam(shares.log().expand(n, 16), 10.0, 4, 0, rows, true, torch.Generator().manual_seed(0))
    assert clusters.shape == (n, 4)
    assert bool((clusters[:, 0] == 9).all())
    drawn = clusters[:, 1] * 16 + clusters[:, 2] * 4 + clusters[:, 3]
    seen, expected = [], []
    for a, b, c in permutations(range(4), 3):
        seen.append(int((drawn == a * 16 + b * 4 + c).sum()))
        expected.append(n * s[a] / 3 * s[b] / (3 - s[a]) * s[c] / (3 - s[a] - s[b]))
    assert sum(seen) == n
    assert sum(expected) == pytest.approx(n)
    assert surprise(np.array(seen), np.array(expected)) > SMALLEST_P
    first = torch.bincount(clusters[:, 1], minlength=16)[:4].numpy() / n
    np.testing.assert_allclose(first, np.array(s) / 3, atol=5 * 0.5 / n**0.5)  # five standard deviations at most


@pytest.mark.parametrize("n_clusters", [64, 4096])
def test_fillers_are_any_other_cluster_alike(n_clusters: int) -> None:
    """Row 0 has six true clusters, so the others, whose beams are cluster 3, get five fillers each."""
    n, width, calls = 1024, 6, 20
    logits = torch.zeros(n, n_clusters)
    logits[:, 3] = 9
    generator = torch.Generator().manual_seed(0)
    counts = np.zeros(n_clusters)
    for _ in range(calls):
        true = torch.randperm(n_clusters, generator=generator)[:width]
        clusters = forced_beam(logits, 10.0, 1, 0, torch.zeros(width, dtype=torch.int64), true, generator)
        assert clusters.shape == (n, width)
        assert bool((clusters.sort(dim=1).values.diff(dim=1) > 0).all())
        assert bool((clusters[1:, 0] == 3).all())
        counts += np.bincount(clusters[1:, 1:].ravel().numpy(), minlength=n_clusters)
    assert counts[3] == 0
    fillers = np.delete(counts, 3)
    assert surprise(fillers, np.full(n_clusters - 1, fillers.mean())) > SMALLEST_P  # at most: draws do not repeat


def surprise(seen: np.ndarray, expected: np.ndarray) -> float:
    """P value of Pearson's chi-square test."""
    return float(chi2.sf(((seen - expected) ** 2 / expected).sum(), len(seen) - 1))


@pytest.mark.parametrize("form", [shortlist, by_sorting])
def test_rows_without_true_labels_and_no_rows_at_all(form: object) -> None:
    clusters, scores, entries, values, _ = world(1, False)
    found = form(clusters, scores, entries, values, 4, 9, rows_of([[]] * 5))  # type: ignore[operator]
    assert not found.targets.any()
    found = form(clusters[:0], scores[:0], entries, values, 4, 9, rows_of([]))  # type: ignore[operator]
    assert found.labels.shape[0] == 0
