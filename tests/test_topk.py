from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from xmcbench.errors import DataError
from xmcbench.npz_files import read_npz
from xmcbench.topk import PAD, TopK

INF = np.float32(np.inf)
SCORES = st.sampled_from([-2.0, -0.0, 0.0, 0.5, 1.0, 3.0])  # few values, so that ties are common


def ranked(scores: dict[int, float], k: int) -> tuple[list[int], list[float]]:
    """The one order, the slow way."""
    best = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
    return [label for label, _ in best], [score for _, score in best]


def as_rows(top: TopK) -> list[tuple[list[int], list[float]]]:
    """Rows without their padding, which must be at the end and score −inf."""
    rows = []
    for ids, scores in zip(top.ids, top.scores, strict=True):
        n = int((ids != PAD).sum())
        assert (ids[n:] == PAD).all()
        assert (scores[n:] == -INF).all()
        rows.append((ids[:n].tolist(), scores[:n].tolist()))
    return rows


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[dict[int, float]], int]:
    """Label scores of a few rows, and the number of labels."""
    n_labels = draw(st.integers(1, 8))
    row = st.dictionaries(st.integers(0, n_labels - 1), SCORES, max_size=n_labels)
    return draw(st.lists(row, max_size=5)), n_labels


def csr(rows: list[dict[int, float]], n_labels: int) -> Any:
    pairs = [(i, label, score) for i, row in enumerate(rows) for label, score in row.items()]
    i, j, v = (np.array(part) for part in zip(*pairs, strict=True)) if pairs else (np.zeros(0, int),) * 3
    matrix = sp.coo_matrix((v.astype(np.float32), (i, j)), shape=(len(rows), n_labels))
    return sp.csr_matrix(matrix)  # explicit zeros stay


@given(worlds(), st.integers(1, 10))
def test_from_csr_equals_brute_force(world: tuple[list[dict[int, float]], int], k: int) -> None:
    rows, n_labels = world
    top = TopK.from_csr(csr(rows, n_labels), k)
    assert as_rows(top) == [ranked(row, k) for row in rows]
    assert top.k <= k
    top.check(len(rows), n_labels)


@given(worlds(), st.integers(1, 10), st.randoms())
def test_from_arrays_puts_any_order_into_the_one_order(
    world: tuple[list[dict[int, float]], int], k: int, random: Any
) -> None:
    rows, n_labels = world
    ids = np.full((len(rows), n_labels + 2), PAD)
    scores = np.full(ids.shape, -INF)
    for i, row in enumerate(rows):
        places = random.sample(range(n_labels + 2), len(row))  # padding may stand anywhere
        ids[i, places], scores[i, places] = list(row), list(row.values())
    assert as_rows(TopK.from_arrays(ids, scores, k)) == [ranked(row, k) for row in rows]


@given(worlds(), st.integers(1, 10), st.data())
def test_without_equals_brute_force(world: tuple[list[dict[int, float]], int], k: int, data: st.DataObject) -> None:
    rows, n_labels = world
    pair = st.tuples(st.integers(0, max(0, len(rows) - 1)), st.integers(0, n_labels + 3))
    pairs = data.draw(st.lists(pair, max_size=12))
    array = np.array(pairs, np.int64).reshape(-1, 2)
    kept = [{label: s for label, s in row.items() if (i, label) not in pairs} for i, row in enumerate(rows)]
    found = TopK.from_csr(csr(rows, n_labels), n_labels).without(array, k)
    assert as_rows(found) == [ranked(row, k) for row in kept]


def test_hand_worked_ties_and_padding() -> None:
    top = TopK.from_arrays(np.array([[7, 2, 9, -1], [5, -1, -1, 0]]), np.array([[1.0, 1, 2, 9], [0, 1, np.nan, 0]]))
    assert top.ids.tolist() == [[9, 2, 7, PAD], [0, 5, PAD, PAD]]
    assert top.scores.tolist() == [[2.0, 1.0, 1.0, -INF], [0.0, 0.0, -INF, -INF]]
    assert (top.ids.dtype, top.scores.dtype) == (np.int32, np.float32)
    assert (top.n_rows, top.k) == (2, 4)
    assert top.cut(2).ids.tolist() == [[9, 2], [0, 5]]


MAX = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("scores", "stored"),
    [
        (np.array([[1.0, 1.0 + 1e-12, 0.5]]), [1.0, 1.0, 0.5]),
        (np.array([[2**53, 2**53 + 1, 5]]), [2.0**53, 2.0**53, 5.0]),
        (np.array([[2**64 - 2, 2**64 - 1, 0]], np.uint64), [2.0**64, 2.0**64, 0.0]),
        (np.array([[-(2**63) + 1, 2**63 - 1, -(2**63)]]), [2.0**63, -(2.0**63), -(2.0**63)]),
        (np.array([[1e-60, 2e-60, 0.0]]), [0.0, 0.0, 0.0]),
        (np.array([[1e39, 1e300, -1e300]]), [MAX, MAX, -MAX]),
        (np.array([[-2e39, -1e39, -1e300]]), [-MAX, -MAX, -MAX]),
        (np.array([[1, 2, 0]], np.float16), [2.0, 1.0, 0.0]),
        (np.array([[False, True, False]]), [1.0, 0.0, 0.0]),
    ],
)
def test_scores_are_ranked_at_the_precision_in_which_they_are_given(scores: Any, stored: list[float]) -> None:
    """The second score is the highest, the third the lowest; float32 can't tell some of them apart."""
    top = TopK.from_arrays(np.array([[3, 7, 5]]), scores)
    assert top.ids.tolist() == [[7, 3, 5]]
    assert top.scores.tolist() == [stored]
    top.check(1, 8)
    if scores.dtype == np.float16:  # scipy has no such matrices
        return
    matrix = sp.csr_matrix((scores[0], np.array([3, 7, 5]), np.array([0, 3, 3])), shape=(2, 8))
    assert TopK.from_csr(matrix, 2).ids.tolist() == [[7, 3], [PAD, PAD]]


def test_the_order_of_given_scores_is_kept(tmp_path: Path) -> None:
    """Equal as float32, falling as given: labels 9, 4, 6, 2."""
    scores = 1 + np.array([[3e-12, 1e-12, 0.0, 2e-12]])
    top = TopK.from_arrays(np.array([[9, 6, 2, 4]]), scores)
    top.check(1, 10)
    top.save(tmp_path / "p.npz")
    for kept in (top, TopK.load(tmp_path / "p.npz")):
        assert kept.ids.tolist() == [[9, 4, 6, 2]]
        assert kept.cut(2).ids.tolist() == [[9, 4]]
        assert kept.without(np.array([[0, 4]]), 4).ids.tolist() == [[9, 6, 2, PAD]]
        kept.without(np.array([[0, 4]]), 4).check(1, 10)
    assert not top.without(np.array([[0, 4]]), 4).tied(3).any()


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(-(2**63), 2**63 - 1)), unique_by=lambda p: p[0], max_size=9),
    st.sampled_from([np.int64, np.float64]),
    st.integers(1, 10),
)
def test_any_given_precision_equals_brute_force(pairs: list[tuple[int, int]], dtype: Any, k: int) -> None:
    scores = np.array([score for _, score in pairs], np.int64).astype(dtype)
    ids = np.array([[label for label, _ in pairs]], np.int64).reshape(1, -1)
    expected, _ = ranked(dict(zip(ids[0].tolist(), scores.tolist(), strict=True)), k)
    assert TopK.from_arrays(ids, scores[None], k).ids[0].tolist() == expected


def test_ties_are_counted_as_given_among_the_first_k_and_at_the_boundary() -> None:
    ids = np.array([[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, -1, -1]])
    scores = np.array([[4, 3, 3, 1], [4, 3, 2, 2], [4, 3, 2, 2 - 1e-12], [1, 0.5, 0, 0]])
    top = TopK.from_arrays(ids, scores)
    assert top.tied(1).tolist() == [False] * 4
    assert top.tied(2).tolist() == [True, False, False, False]
    assert top.tied(3).tolist() == [True, True, False, False]
    assert top.tied(9).tolist() == [True, True, False, False]
    assert TopK.from_arrays(ids, scores.astype(np.float32)).tied(3).tolist() == [True, True, True, False]


def test_minus_zero_ties_with_zero() -> None:
    assert TopK.from_arrays(np.array([[3, 1]]), np.array([[0.0, -0.0]])).ids.tolist() == [[1, 3]]


def test_explicit_zeros_of_a_csr_are_predictions() -> None:
    matrix = sp.csr_matrix((np.array([0.0, -1.0], np.float32), np.array([4, 2]), np.array([0, 2, 2])), shape=(2, 5))
    assert TopK.from_csr(matrix, 3).ids.tolist() == [[4, 2], [PAD, PAD]]


def test_from_csr_in_pieces_equals_from_csr_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = sp.random_array(
        (500, 50_000), density=0.0005, rng=np.random.default_rng(0), format="csr", dtype=np.float32
    )
    long_row = sp.csr_matrix(np.ones((1, 50_000), np.float32))
    stacked = sp.csr_matrix(sp.vstack([matrix, long_row, matrix]))  # 50,000 wide: 400 rows a piece
    alone = TopK.from_csr(sp.csr_matrix(matrix), 10)
    both = TopK.from_csr(stacked, 10)
    assert as_rows(both)[:500] == as_rows(alone) == as_rows(both)[501:]
    assert both.ids[500].tolist() == list(range(10))


@pytest.mark.parametrize(
    ("ids", "scores", "said"),
    [
        ([[1, 2]], [[1.0]], r"\(1, 2\) and scores \(1, 1\)"),
        ([1, 2], [1.0, 2.0], r"must both be \(rows, k\)"),
        ([[1, 2], [1, 2]], [[1.0, 0.0], [np.nan, 0.0]], "row 1 has a score that is NaN"),
        ([[1, 2]], [[np.inf, 0.0]], "row 0 has a score that is NaN, \\+inf or −inf: label 1, inf"),
        ([[1, 2]], [[-np.inf, 0.0]], "row 0 has a score .* label 1, -inf\n.*only id −1 marks padding"),
        ([[1, 2], [3, -2]], [[1.0, 0.0], [1.0, 0.0]], "row 1 names label -2\n.*Only id −1 marks padding"),
        ([[1, 2]], [["a", "b"]], "scores are <U1, not numbers"),
        ([[1, 2], [4, 4]], [[1.0, 0.0], [1.0, 0.0]], "row 1 names label 4 twice"),
        ([[1e0, 2.5]], [[1.0, 0.0]], "ids are float64"),
        ([[1, 2**40]], [[1.0, 0.0]], "label 1099511627776"),
    ],
)
def test_what_is_no_prediction_is_refused(ids: Any, scores: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        TopK.from_arrays(np.array(ids), np.array(scores))


def test_a_label_twice_is_found_in_a_csr_with_duplicates() -> None:
    matrix = sp.csr_matrix((np.ones(2, np.float32), np.array([3, 3]), np.array([0, 2, 2, 2])), shape=(3, 5))
    with pytest.raises(DataError, match="row 0 names label 3 twice"):
        TopK.from_csr(matrix, 2)


GOOD = TopK.from_arrays(np.array([[1, 2], [0, -1]]), np.array([[2.0, 1.0], [0.5, -INF]]))


@pytest.mark.parametrize(
    ("top", "said"),
    [
        (GOOD.cut(2), ""),
        (TopK(GOOD.ids[:1], GOOD.scores[:1]), "expected int32 with 2 rows"),
        (TopK(GOOD.ids.astype(np.int64), GOOD.scores), "ids are int64"),
        (TopK(GOOD.ids[:, ::-1], GOOD.scores[:, ::-1]), "row 0 is not ordered"),
        (TopK(np.array([[2, 1], [0, -1]], np.int32), np.array([[1, 1], [1, -INF]], np.float32)), ""),
        (TopK(np.array([[1, 3], [0, -1]], np.int32), GOOD.scores), "row 0 names label 3, valid are 0 to 2"),
        (TopK(np.array([[1, 2], [0, -5]], np.int32), GOOD.scores), "row 1 names label -5"),
        (TopK(np.array([[1, 1], [0, -1]], np.int32), GOOD.scores), "row 0 names label 1 twice"),
        (TopK(GOOD.ids, np.array([[2, np.nan], [1, -INF]], np.float32)), "row 0 has a score that is NaN"),
        (TopK(GOOD.ids, GOOD.scores[:, :1]), "scores"),
        (TopK(GOOD.ids, GOOD.scores.astype(np.float64)), "float64"),
        (TopK(np.array([[1, 2], [0, -1]], np.int32), np.array([[2, 1], [1, 7]], np.float32)), "row 1"),
        (TopK(np.array([[1, 2], [0, 2]], np.int32), np.array([[2, 1], [1, -INF]], np.float32)), "row 1"),
    ],
)
def test_check_names_the_first_offending_row(top: TopK, said: str) -> None:
    if not said:
        top.check(2, 3)
        return
    with pytest.raises(DataError, match=said):
        top.check(2, 3)


def test_blocks_of_rows_are_checked_like_all_rows_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcbench.topk.BLOCK", 2)
    ids, scores = np.tile(np.array([[0, 1]], np.int32), (5, 1)), np.tile(np.array([[2, 1]], np.float32), (5, 1))
    TopK(ids, scores).check(5, 2)
    for at, value, said in ((4, 7, "row 4 names label 7"), (3, 0, "row 3 names label 0 twice")):
        wrong = ids.copy()
        wrong[at, 1] = value
        with pytest.raises(DataError, match=said):
            TopK(wrong, scores).check(5, 2)
    swapped = scores.copy()
    swapped[2] = 1, 2
    with pytest.raises(DataError, match="row 2 is not ordered"):
        TopK(ids, swapped).check(5, 2)
    tied = TopK(ids[:, ::-1].copy(), np.ones((5, 2), np.float32))  # ranked by scores that float32 can't hold
    tied.save(tmp_path / "p.npz")
    assert read_npz(tmp_path / "p.npz")["ranked"]


def test_no_rows_and_no_columns() -> None:
    none = TopK.from_csr(sp.csr_matrix((0, 5), dtype=np.float32), 3)
    none.check(0, 5)
    assert none.without(np.array([[0, 1]]), 2).n_rows == 0
    assert TopK.from_csr(sp.csr_matrix((2, 5), dtype=np.float32), 3).ids.tolist() == [[PAD], [PAD]]
    TopK.from_arrays(np.empty((2, 0)), np.empty((2, 0))).check(2, 5)


def test_save_and_load(tmp_path: Path) -> None:
    GOOD.save(tmp_path / "p.npz")
    back = TopK.load(tmp_path / "p.npz")
    assert np.array_equal(back.ids, GOOD.ids)
    assert np.array_equal(back.scores, GOOD.scores)
    assert (back.ids.dtype, back.scores.dtype) == (np.int32, np.float32)


def test_what_is_no_predictions_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    with pytest.raises(DataError, match="No such file"):
        TopK.load(path)
    GOOD.save(path)
    whole = path.read_bytes()
    np.savez(tmp_path / "other.npz", labels=np.zeros(2))
    np.savez(tmp_path / "objects.npz", ids=np.array([[{}]], dtype=object), scores=np.zeros((1, 1)))
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a readable npz"):
            TopK.load(path)
    with pytest.raises(DataError, match="not a readable npz"):
        TopK.load(tmp_path / "objects.npz")
    with pytest.raises(DataError, match="needs ids and scores"):
        TopK.load(tmp_path / "other.npz")
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(DataError, match="not a readable npz"):
        TopK.load(tmp_path / "plain.npy")


def test_a_byte_turned_over_is_found(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    TopK.from_arrays(np.tile(np.arange(50), (20, 1)), np.random.default_rng(0).normal(size=(20, 50))).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError):
        TopK.load(path)


def test_float16_scores_of_a_csr_matrix() -> None:
    matrix = sp.csr_matrix((np.array([1, 2], np.float16), [0, 2], [0, 2]), shape=(1, 3))
    assert TopK.from_csr(matrix, 2).ids.tolist() == [[2, 0]]


@pytest.mark.parametrize(
    ("ids", "scores", "says"),
    [
        (np.array([[1.5, 2]]), np.ones((1, 2), np.float32), "ids are float64"),
        (np.array([[1, 2]]), np.ones((1, 2), np.float32), "ids are int64"),
        (np.array([[1, 2]], np.int32), np.ones((1, 2)), "scores float64"),
        (np.array([[1, -2]], np.int32), np.ones((1, 2), np.float32), "row 0 names label -2"),
        (np.array([[1, 1]], np.int32), np.ones((1, 2), np.float32), "row 0 names label 1 twice"),
        (np.array([[1, 2]], np.int32), np.array([[1, np.nan]], np.float32), "row 0 has a score that is NaN"),
        (np.array([1, 2], np.int32), np.ones(2, np.float32), "both .rows, k."),
    ],
)
def test_a_file_of_other_arrays_is_refused_by_name(ids: Any, scores: Any, says: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", ids=ids, scores=scores)
    with pytest.raises(DataError, match=rf"p\.npz: .*{says}"):
        TopK.load(tmp_path / "p.npz")
