from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from xmcbench.errors import DataError
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
    top = TopK.from_arrays(np.array([[7, 2, 9, -1], [5, -3, 1, 0]]), np.array([[1.0, 1.0, 2.0, 9.0], [0, 1, -INF, 0]]))
    assert top.ids.tolist() == [[9, 2, 7, PAD], [0, 5, PAD, PAD]]
    assert top.scores.tolist() == [[2.0, 1.0, 1.0, -INF], [0.0, 0.0, -INF, -INF]]
    assert (top.ids.dtype, top.scores.dtype) == (np.int32, np.float32)
    assert (top.n_rows, top.k) == (2, 4)
    assert top.cut(2).ids.tolist() == [[9, 2], [0, 5]]


def test_ties_are_those_of_float32() -> None:
    scores = np.array([[1.0, 1.0 + 1e-12]])  # different in float64, equal in what is kept
    assert TopK.from_arrays(np.array([[1, 2]]), scores).ids.tolist() == [[1, 2]]


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
        ([[1, 2]], [[np.inf, 0.0]], "row 0 has a score that is NaN or \\+inf"),
        ([[1, 2], [4, 4]], [[1.0, 0.0], [1.0, 0.0]], "row 1 names label 4 twice"),
        ([[1e0, 2.5]], [[1.0, 0.0]], "ids are float64"),
        ([[1, 2**40]], [[1.0, 0.0]], "label 1099511627776"),
    ],
)
def test_what_is_no_prediction_is_refused(ids: Any, scores: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        TopK.from_arrays(np.array(ids), np.array(scores))


def test_a_label_twice_is_found_in_a_csr_with_duplicates() -> None:
    matrix = sp.csr_matrix((np.ones(2, np.float32), np.array([3, 3]), np.array([0, 2])), shape=(1, 5))
    with pytest.raises(DataError, match="label 3 twice"):
        TopK.from_csr(matrix, 2)


GOOD = TopK.from_arrays(np.array([[1, 2], [0, -1]]), np.array([[2.0, 1.0], [0.5, -INF]]))


@pytest.mark.parametrize(
    ("top", "said"),
    [
        (GOOD.cut(2), ""),
        (TopK(GOOD.ids[:1], GOOD.scores[:1]), "expected int32 with 2 rows"),
        (TopK(GOOD.ids.astype(np.int64), GOOD.scores), "ids are int64"),
        (TopK(GOOD.ids[:, ::-1], GOOD.scores[:, ::-1]), "row 0 is not ordered"),
        (
            TopK(np.array([[2, 1], [0, -1]], np.int32), np.array([[1, 1], [1, -INF]], np.float32)),
            "row 0 is not ordered",
        ),
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
