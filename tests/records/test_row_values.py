"""What a record carries to a leaderboard: few numbers a row, what runs share written once, changed files refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.minimal import minimal
from xmcbench.errors import DataError
from xmcbench.files import write_npz
from xmcbench.records import row_values as board
from xmcbench.records.store import Store

ROWS = {
    **{name: np.array([1, 0, 1], np.float32) for name in ("P@1", "PSP@5", "R@10")},
    "PSP@5/den": np.array([1, 2, 1], np.float32),
    "R@10/den": np.ones(3, np.float32),
    "near": np.array([0, 0, 2], np.int32),
}


def test_only_tested_metrics_and_what_they_need_are_kept() -> None:
    own, shared = board.split_for_board(ROWS)
    assert set(own) == {"P@1", "PSP@5"}
    assert set(shared) == {"PSP@5/den", "near"}


def test_two_runs_share_one_file_of_the_data(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = (
        store.add(minimal("a"), None, ROWS),
        store.add(minimal("b"), None, {**ROWS, "P@1": np.zeros(3, "f4")}),
    )
    assert first.board.data == second.board.data
    assert len(list((tmp_path / "board").glob("data-*.npz"))) == 1
    arrays = store.board(second)
    assert set(arrays) == {"P@1", "PSP@5", "PSP@5/den", "near"}
    np.testing.assert_array_equal(arrays["P@1"], np.zeros(3))
    np.testing.assert_array_equal(arrays["near"], [0, 0, 2])


@pytest.mark.parametrize("which", ["a.npz", "data-*.npz"])
def test_a_changed_or_missing_file_is_refused(tmp_path: Path, which: str) -> None:
    store = Store(tmp_path)
    written = store.add(minimal("a"), None, ROWS)
    (path,) = (tmp_path / "board").glob(which)
    write_npz(path, {"P@1": np.ones(3, np.float32)})
    with pytest.raises(DataError, match="not the file"):
        store.board(written)
    path.unlink()
    with pytest.raises(DataError, match=path.stem):
        store.board(written)


def test_a_record_without_rows_has_none(tmp_path: Path) -> None:
    written = Store(tmp_path).add(minimal("a"))
    with pytest.raises(DataError, match="has no board file"):
        Store(tmp_path).board(written)


def test_the_hash_is_of_names_types_shapes_and_bytes() -> None:
    base = {"a": np.zeros(4, np.float32)}
    others = [
        {"b": np.zeros(4, np.float32)},
        {"a": np.zeros(4, np.int32)},
        {"a": np.zeros((2, 2), np.float32)},
        {"a": np.ones(4, np.float32)},
    ]
    assert board.hash_of(base) == board.hash_of({"a": np.zeros(8, np.float32)[::2]})
    assert len({board.hash_of(arrays) for arrays in [base, *others]}) == 5


@pytest.mark.parametrize(
    "denominators",
    [np.array(["a", "b", "c"]), np.zeros(0, "f4"), np.zeros(3, "datetime64[s]"), np.zeros((3, 1)), np.float32(1)],
)
def test_denominators_of_another_form_are_refused_before_they_are_used(denominators: np.ndarray) -> None:
    arrays = {"PSP@5": ROWS["PSP@5"], "PSP@5/den": np.asarray(denominators)}
    with pytest.raises(DataError, match="PSP@5/den: not 3 finite numbers"):
        board.values_given(minimal("a"), arrays)
