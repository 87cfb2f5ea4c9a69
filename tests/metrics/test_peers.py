"""Metrics against those of napkinXC 0.7.2, PECOS and scikit-learn, and where their definitions differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn import metrics as sk

from tests.metrics.conftest import make_world
from tests.oracles import napkinxc as oracle
from xmcbench.metrics import Truth, evaluate
from xmcbench.topk import TopK

CASES = oracle.cases()


def fractions(topk: TopK, truth: Truth, names: list[str]) -> dict[str, float | None]:
    return evaluate(topk, truth, names, samples=0).fractions()


def value(topk: TopK, truth: Truth, name: str) -> float:
    found = fractions(topk, truth, [name])[name]
    assert found is not None
    return found


def single(label_ids: list[int], n_labels: int) -> Truth:
    """Rows with one true label each."""
    return Truth.build(sp.csr_matrix(np.eye(n_labels)[label_ids]))


def full_world(seed: int, n: int = 50, n_labels: int = 12, k: int = 4) -> tuple[TopK, Truth, NDArray[np.float64]]:
    """Predictions, truth and the (n, L) scores that the k predictions of each row are the best of; no two are equal."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(n * n_labels).reshape(n, n_labels) / (n * n_labels)
    labels = rng.random((n, n_labels)) < 0.25
    labels[0] = False
    order = np.argsort(-scores, axis=1)[:, :k]
    topk = TopK.from_arrays(order, np.take_along_axis(scores, order, axis=1))
    return topk, Truth.build(sp.csr_matrix(labels)), scores


def chosen(topk: TopK, n_labels: int) -> NDArray[np.bool_]:
    """(n, L) the predictions as a set of labels per row."""
    dense = np.zeros((topk.n_rows, n_labels + 1), bool)
    dense[np.arange(topk.n_rows)[:, None], topk.ids] = True  # padding is the last column
    return dense[:, :-1]


@pytest.mark.parametrize("case", CASES)
def test_equal_to_napkinxc(case: str) -> None:
    """Exact up to the order of sums: every number is a float64 in both programs."""
    stored = CASES[case]
    topk, truth = oracle.topk_of(stored), oracle.truth_of(stored)
    for metric, theirs in stored["values"].items():
        names = [f"{metric}@{k}" for k in range(1, len(theirs) + 1)]
        assert list(fractions(topk, truth, names).values()) == pytest.approx(theirs, abs=1e-12), metric


@pytest.mark.parametrize("case", CASES)
def test_the_installed_napkinxc_gives_the_stored_values(case: str) -> None:
    pytest.importorskip("napkinxc", reason="napkinXC is not installed: `xmcbench peers install napkinxc`")
    for metric, column in oracle.values(CASES[case]).items():
        assert column == pytest.approx(CASES[case]["values"][metric], abs=1e-12), metric


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_a_matrix_of_scores_is_ranked_as_napkinxc_ranks_it(dtype: type) -> None:
    """Of any number type. Only equal scores are left out: napkinXC's order of them is that of an unstable sort."""
    theirs = pytest.importorskip("napkinxc.metrics", reason="napkinXC is not installed")
    rng = np.random.default_rng(5)
    scores = sp.csr_matrix((rng.permutation(40 * 9) + 1).reshape(40, 9).astype(dtype))
    truth = Truth.build(sp.csr_matrix(rng.random((40, 9)) < 0.3))
    known = theirs.ndcg_at_k(sp.csr_matrix(truth.labels), scores, k=5)
    assert value(TopK.from_csr(scores, 5), truth, "nDCG@5") == pytest.approx(known[-1], abs=1e-12)


def test_filter_pairs_leave_what_the_peers_get_without_them() -> None:
    """napkinXC, PECOS and scikit-learn know no filter pairs: a user removes the pairs from the rankings first."""
    stored = CASES["random"]
    topk, truth = oracle.topk_of(stored), oracle.truth_of(stored)
    pairs = np.array([(row, label) for row, labels in enumerate(stored["ranked"]) for label in labels[:1]][::2])
    removed = {(int(row), int(label)) for row, label in pairs}
    ranked = [[label for label in labels if (row, label) not in removed] for row, labels in enumerate(stored["ranked"])]
    without = oracle.topk_of({**stored, "ranked": ranked})
    names = ["P@1", "nDCG@5", "PSP@5", "R@8", "Coverage@3"]
    assert fractions(topk.without(pairs, topk.k), truth, names) == fractions(without, truth, names)
    assert fractions(without, truth, names) != fractions(topk, truth, names)


def test_labels_beyond_the_training_rows_of_napkinxc() -> None:
    """From lists, napkinXC has no weight for a label above the largest one of the training rows.

    Its best reachable PSP then leaves that label out, so its PSP is larger than ours; a prediction of such a label that
    is true is an IndexError there. From a matrix, the label has 0 training rows in both programs, and PSP is the same.
    """
    theirs = pytest.importorskip("napkinxc.metrics", reason="napkinXC is not installed")
    train, true, ranked = [[0], [1], [0, 1]], [[0, 2], [1]], [[0, 1], [0, 1]]
    case = {"n_labels": 3, "truth": true, "train": train, "ranked": ranked}
    ours = value(oracle.topk_of(case), oracle.truth_of(case), "PSP@2")
    from_lists = theirs.Jain_et_al_inverse_propensity(train)
    assert len(from_lists) == 2
    assert theirs.psprecision_at_k(true, ranked, from_lists, k=2)[1] == pytest.approx(1.0)
    assert ours < 0.7
    from_matrix = theirs.Jain_et_al_inverse_propensity(oracle.matrix_of(train, 3))
    assert theirs.psprecision_at_k(true, ranked, from_matrix, k=2)[1] == pytest.approx(ours, abs=1e-12)
    with pytest.raises(IndexError):
        theirs.psprecision_at_k(true, [[2], [1]], from_lists, k=2)


def test_stored_zeros_are_true_labels_in_napkinxc_and_not_here() -> None:
    theirs = pytest.importorskip("napkinxc.metrics", reason="napkinXC is not installed")
    zero = sp.csr_matrix((np.array([0.0, 1.0]), np.array([0, 1]), np.array([0, 2])), shape=(1, 3))
    assert theirs.precision_at_k(zero, [[0, 1]], k=2).tolist() == [1.0, 1.0]
    assert theirs.precision_at_k(zero.toarray(), [[0, 1]], k=2).tolist() == [0.0, 0.5]  # as an array, as here
    topk = TopK.from_arrays(np.array([[0, 1]]), np.array([[2, 1]]))
    assert list(fractions(topk, Truth.build(zero), ["P@1", "P@2"]).values()) == [0.0, 0.5]


def test_pecos_by_hand() -> None:
    """`pecos.utils.smat_util.Metrics` (PECOS at 10b3969) by its formula: every row counts, a missing rank is a miss.

    Per row, recall divides by max(|Y|, 1). Both are means over all rows, with and without labels: P and R here, not
    R(empty=skip). Equal scores are in rising order of label ids in both programs. A stored 0 in the predictions is a
    prediction in both; in the truth it is a true label there and none here. In the case `edges`, hits by rank are
    r0: 1 and 3 of 3 labels; r1: no label; r2: miss; r3: 1 and 2 of 2; r4: nothing predicted; r5: 1 and 2 of 4.
    """
    topk, truth = oracle.topk_of(CASES["edges"]), oracle.truth_of(CASES["edges"])
    precision, recall = ["P@1", "P@2", "P@3", "P@8"], ["R@1", "R@2", "R@3", "R@8"]
    hits = [3, 5, 6, 6]
    expected = [count / 6 / k for count, k in zip(hits, (1, 2, 3, 8), strict=True)]
    assert list(fractions(topk, truth, precision).values()) == pytest.approx(expected)
    expected = [1 / 3 + 1 / 2 + 1 / 4, 1 / 3 + 1 + 2 / 4, 2 / 3 + 1 + 2 / 4, 2 / 3 + 1 + 2 / 4]
    assert list(fractions(topk, truth, recall).values()) == pytest.approx([total / 6 for total in expected])
    assert value(topk, truth, "R(empty=skip)@8") == pytest.approx(expected[-1] / 5)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_learns_ndcg(seed: int) -> None:
    """With distinct scores of all labels; a row without a true label counts 0 in both."""
    topk, truth, scores = full_world(seed)
    for k in (1, 3, 4):
        known = sk.ndcg_score(truth.labels.toarray(), scores, k=k)
        assert value(topk, truth, f"nDCG@{k}") == pytest.approx(known, abs=1e-12)


def test_scikit_learns_ndcg_averages_over_the_orders_of_equal_scores() -> None:
    """Here, equal scores are in rising order of label ids, as a list of predictions has one order."""
    true, scores = np.array([[0, 1, 0]]), np.array([[0.5, 0.5, 0.1]])
    topk = TopK.from_arrays(np.array([[0, 1, 2]]), scores)
    second = 1 / np.log2(3)
    assert value(topk, Truth.build(sp.csr_matrix(true)), "nDCG@3") == pytest.approx(second)
    assert sk.ndcg_score(true, scores) == pytest.approx((1 + second) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_scikit_learns_scores_of_sets(seed: int) -> None:
    """The first k predictions as a set. Micro precision is P@k only if every row has k predictions, as here."""
    topk, truth, _ = full_world(seed)
    true = truth.labels.toarray()
    for k in (1, 3):
        shown = chosen(topk.cut(k), truth.n_labels)
        present = np.flatnonzero(true.any(axis=0))
        expected = {
            f"P@{k}": sk.precision_score(true, shown, average="micro"),
            f"R@{k}": sk.recall_score(true, shown, average="samples", zero_division=0),
            f"MacroP@{k}": sk.precision_score(true, shown, average="macro", labels=present, zero_division=0),
            f"MacroR@{k}": sk.recall_score(true, shown, average="macro", labels=present, zero_division=0),
            f"MacroF1@{k}": sk.f1_score(true, shown, average="macro", labels=present, zero_division=0),
        }
        assert fractions(topk, truth, list(expected)) == pytest.approx(expected, abs=1e-12)


def test_where_scikit_learns_scores_of_sets_differ() -> None:
    """Of rows with few predictions, micro precision counts those made, and P@k divides by k.

    Micro recall weights rows by their true labels, R@k weights rows equally. Without `labels`, macro scores are means
    over all columns, here over the labels with a test row.
    """
    truth = Truth.build(sp.csr_matrix([[1, 1, 1, 0], [0, 1, 0, 0]]))
    topk = TopK.from_arrays(np.array([[0, 1], [1, -1]]), np.array([[2, 1], [1, 0]]))
    true, shown = truth.labels.toarray(), chosen(topk, 4)
    assert sk.precision_score(true, shown, average="micro") == 1.0
    assert value(topk, truth, "P@2") == 0.75
    assert sk.recall_score(true, shown, average="micro") == 3 / 4
    assert value(topk, truth, "R@2") == pytest.approx((2 / 3 + 1) / 2)
    assert sk.recall_score(true, shown, average="macro", zero_division=0) == 2 / 4
    assert value(topk, truth, "MacroR@2") == pytest.approx(2 / 3)


def test_one_label_per_row() -> None:
    """Then Success@k is top-k accuracy and the label ranking average precision is the reciprocal rank."""
    topk, _, scores = full_world(3, k=12)
    label_ids = np.random.default_rng(0).integers(0, 12, 50)
    truth = single(label_ids.tolist(), 12)
    for k in (1, 2, 5):
        known = sk.top_k_accuracy_score(label_ids, scores, k=k, labels=np.arange(12))
        assert value(topk, truth, f"Success@{k}") == value(topk, truth, f"R@{k}") == pytest.approx(known)
    known = sk.label_ranking_average_precision_score(truth.labels.toarray(), scores)
    assert value(topk, truth, "RR") == pytest.approx(known)


def test_equal_scores_are_in_falling_order_of_labels_in_top_k_accuracy() -> None:
    scores = np.full((3, 3), 0.5)
    topk = TopK.from_arrays(np.tile(np.arange(3), (3, 1)), scores)
    truth = single([0, 1, 2], 3)
    found = [value(TopK(topk.ids[[i]], topk.scores[[i]]), single([i], 3), "Success@1") for i in range(3)]
    assert found == [1.0, 0.0, 0.0]
    first = [sk.top_k_accuracy_score([i], scores[[i]], k=1, labels=[0, 1, 2]) for i in range(3)]
    assert first == [0.0, 0.0, 1.0]
    assert value(topk, truth, "Success@1") == sk.top_k_accuracy_score([0, 1, 2], scores, k=1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_the_type_of_scores_does_not_matter(dtype: type) -> None:
    topk, truth = make_world(2)
    ranks = np.argsort(np.argsort(-topk.scores, axis=None)).reshape(topk.scores.shape)
    same = TopK.from_arrays(topk.ids, (ranks.max() - ranks + 1).astype(dtype))
    np.testing.assert_array_equal(same.ids, topk.ids)
    names = ["P@1", "nDCG@5", "PSnDCG@5", "MacroF1@3"]
    assert fractions(same, truth, names) == fractions(topk, truth, names)


@pytest.mark.parametrize(
    "scores", [np.array([[1.0, 1.0 + 1e-12]]), np.array([[2**53 - 2, 2**53 - 1]]), np.array([[1e-50, 1e-49]])]
)
def test_scores_that_only_float64_or_int64_tells_apart_are_ranked_as_the_peers_rank_them(scores: Any) -> None:
    assert TopK.from_arrays(np.array([[0, 1]]), scores).ids.tolist() == [[1, 0]]


def test_scores_below_float32_are_predictions() -> None:
    """Log-probabilities and masks of float64 may be that low; above the largest float32 there is an error already."""
    assert TopK.from_arrays(np.array([[0, 1]]), np.array([[-2e39, -1e39]])).ids.tolist() == [[1, 0]]


def test_propensities_are_those_of_napkinxc_for_labels_without_training_rows() -> None:
    theirs = pytest.importorskip("napkinxc.metrics", reason="napkinXC is not installed")
    train = sp.csr_matrix(np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]]))
    for a, b in ((0.55, 1.5), (0.6, 2.6), (0.5, 0.4)):
        truth = Truth.build(sp.csr_matrix(np.eye(3)), train, (a, b))
        known = theirs.Jain_et_al_inverse_propensity(train, a, b)
        np.testing.assert_allclose(truth.inv_propensity, known, rtol=1e-14)
    assert truth.inv_propensity[2] == pytest.approx(1 + (np.log(4) - 1) * 1.4**0.5 / 0.4**0.5)
