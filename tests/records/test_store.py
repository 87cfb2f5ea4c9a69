"""The results folder: what a name means, what survives two writers, and what is said of damaged files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.minimal import minimal, minimal_raw
from xmcbench.errors import DataError, UsageError
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Kind, Store, standing
from xmcbench.topk import TopK

WRITER = """
import json
import sys
from pathlib import Path
import numpy as np
from xmcbench.records import record_file
from xmcbench.records.store import Store
from xmcbench.topk import TopK

store = Store(Path(sys.argv[1]))
for i in range(20):
    record = record_file.of({**json.loads(sys.argv[3]), "run_id": f"{i:02}-{sys.argv[2]}"})
    topk = TopK.from_arrays(np.full((50, 1), i), np.ones((50, 1)))
    store.add(record, topk, {"P@1": np.full(50, i, np.float32)})
"""


def record(run_id: str, method: str = "tree", dataset: str = "d", **changes: Any) -> Record:
    """Of schema 1, which has no seal: what is added is what is found."""
    return minimal(run_id, method, dataset, **{"schema": 1, **changes})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two runs of tree on d, of pop on d and e, of elias with and without a parameter on e."""
    store = Store(tmp_path / "results")
    store.add(record("20260101-tree-d-aaaaaaa1"))
    store.add(record("20260102-tree-d-aaaaaaa2"))
    store.add(record("20260103-pop-d-bbbbbbb1", "pop"))
    store.add(record("20260104-pop-e-bbbbbbb2", "pop", "e"))
    store.add(record("20260105-elias-e-ccccccc1", "elias", "e"))
    store.add(record("20260106-elias-e-ccccccc2", "elias", "e", label="elias[beam=10]"))
    return store


def found(store: Store, text: str, dataset: str | None = None) -> str:
    return store.find(text, dataset).run_id[-8:]


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("20260101-tree-d-aaaaaaa1", "aaaaaaa1"),
        ("aaaaaaa1", "aaaaaaa1"),
        ("20260101", "aaaaaaa1"),
        ("tree", "aaaaaaa2"),
        ("elias", "ccccccc1"),  # the run of that very label, though one with a parameter is newer
        ("elias[beam=10]", "ccccccc2"),
    ],
)
def test_what_a_text_means(store: Store, text: str, run: str) -> None:
    assert found(store, text) == run


def test_a_method_name_finds_runs_of_any_label(store: Store) -> None:
    store.add(record("20260107-knn-d-ddddddd1", "knn", label="knn[k=5]"))
    store.add(record("20260108-knn-d-ddddddd2", "knn", label="knn[k=9]"))
    assert found(store, "knn") == "ddddddd2"


def test_a_whole_run_id_wins_over_longer_ones_that_hold_it(store: Store) -> None:
    store.add(record("20260103-pop-d-bbbbbbb1-x"))
    assert store.find("20260103-pop-d-bbbbbbb1").run_id == "20260103-pop-d-bbbbbbb1"


def test_a_record_file_of_another_folder(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "expected.json"
    shutil.copy(store.folder / "records" / "20260101-tree-d-aaaaaaa1.json", path)
    assert Store(tmp_path / "empty").find(str(path)) == record("20260101-tree-d-aaaaaaa1")
    path.write_text("{")
    with pytest.raises(DataError, match=r"expected\.json"):
        store.find(str(path))


def test_a_method_of_which_one_run_failed_is_no_part_of_a_run_id(store: Store) -> None:
    store.add(record("20260109-ovr-d-eeeeeee1", "ovr", status="error", metrics=[]))
    with pytest.raises(UsageError, match=r"'ovr' .* ended ok\n.*eeeeeee1, has status error"):
        store.find("ovr")
    assert found(store, "eeeeeee1") == "eeeeeee1"
    assert found(store, "tree") == "aaaaaaa2"


@pytest.mark.parametrize(
    ("text", "said"),
    [("aaaaaaa", "matches 2 runs"), ("", "unknown"), ("treee", "mean 'tree'"), ("x.json", "unknown run")],
)
def test_what_fits_nothing_or_too_much(store: Store, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        store.find(text)


def test_an_unknown_method_is_answered_with_methods_not_with_ids(store: Store) -> None:
    with pytest.raises(UsageError, match=r"Known: [a-z]+(, [a-z]+)*$"):
        store.find("nobody")
    with pytest.raises(UsageError, match="20260101-tree"):
        store.find("20260109-tre")


def test_a_misspelt_data_set_is_answered_with_those_of_the_runs(store: Store) -> None:
    with pytest.raises(UsageError, match=r"no runs in .* on dd, so none is 'tree'\n  There are runs on d, e\. "):
        store.find("tree", "dd")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no runs in .*, so none is 'tree'\n.*xmcbench run"):
        Store(tmp_path / "none").find("tree")


def test_a_data_set_restricts(store: Store) -> None:
    assert found(store, "pop") == "bbbbbbb2"
    assert found(store, "pop", "d") == "bbbbbbb1"
    assert found(store, "bbbbbbb", "d") == "bbbbbbb1"
    with pytest.raises(UsageError, match=r"unknown run in .* on e: 'tree'"):
        store.find("tree", "e")
    with pytest.raises(UsageError, match="is on d, not on e"):
        store.find("20260101-tree-d-aaaaaaa1", "e")


def pair(store: Store, a: str, b: str, dataset: str | None = None) -> tuple[str, str]:
    first, second = store.find_pair(a, b, dataset)
    return first.run_id[-8:], second.run_id[-8:]


def test_a_pair_is_on_the_same_data(store: Store) -> None:
    assert pair(store, "pop", "elias") == ("bbbbbbb2", "ccccccc1")
    assert pair(store, "pop", "tree") == ("bbbbbbb1", "aaaaaaa2")  # not pop's newest: tree was never run on e
    assert pair(store, "tree", "pop") == ("aaaaaaa2", "bbbbbbb1")
    assert pair(store, "bbbbbbb1", "tree") == ("bbbbbbb1", "aaaaaaa2")
    assert pair(store, "pop", "bbbbbbb1") == ("bbbbbbb1", "bbbbbbb1")
    assert pair(store, "tree", "elias") == ("aaaaaaa2", "ccccccc1")  # no data in common: the newest of each


def test_a_pair_on_the_newest_data_both_know_or_on_the_one_named(store: Store) -> None:
    store.add(record("20260110-tree-e-aaaaaaa3", "tree", "e"))
    assert pair(store, "pop", "tree") == ("bbbbbbb2", "aaaaaaa3")
    assert pair(store, "pop", "tree", "d") == ("bbbbbbb1", "aaaaaaa2")


def test_data_sets_of_one_name_and_other_content_are_not_the_same(store: Store) -> None:
    dataset = {**minimal_raw()["dataset"], "content_hash": "revised"}
    store.add(record_file.changed(record("20260111-pop-d-bbbbbbb3", "pop"), dataset=dataset))
    assert found(store, "pop", "d") == "bbbbbbb3"
    assert pair(store, "pop", "tree", "d") == ("bbbbbbb1", "aaaaaaa2")


def test_a_superseded_run_is_not_picked_while_its_successor_is_ok(store: Store) -> None:
    newer, older = "20260201-tree-d-aaaaaa10", "20260201-tree-d-aaaaaa11"  # of one second: names sort by chance
    store.add(record(older))
    store.add(record(newer, supersedes=older))
    assert found(store, "tree") == "aaaaaa10"
    assert pair(store, "pop", "tree") == ("bbbbbbb1", "aaaaaa10")
    assert store.done("tree/d") == record(newer, supersedes=older)
    assert found(store, older) == "aaaaaa11"
    store.add(record("20260301-tree-d-aaaaaa12", supersedes=newer, status="error", metrics=[]))
    assert found(store, "tree") == "aaaaaa10"
    assert store.done("tree/d") == record(newer, supersedes=older)


def test_nobody_supersedes_another_experiment_or_himself(store: Store) -> None:
    tree = "20260102-tree-d-aaaaaaa2"
    same = {"spec_hash": "tree/d"}
    store.add(record("20260201-a", "evil", supersedes=tree))
    store.add(record("20260202-b", "evil", supersedes=tree, **same))  # of that spec, as it says, and another method
    store.add(record("20260203-c", "tree", "e", supersedes=tree, **same))  # or on other data
    store.add(record("20260204-d", "self", supersedes="20260204-d"))
    assert store.done("tree/d") is not None
    assert found(store, "tree", "d") == "aaaaaaa2"
    assert store.find("self").run_id == "20260204-d"
    store.add(record("20260205-e", "tree", supersedes=tree))
    assert [r.run_id[-8:] for r in standing(store.records()) if r.spec_hash == "tree/d"][:2] == [
        "aaaaaaa1",
        "260202-b",
    ]


def test_a_file_of_another_name_than_its_run_is_reported(store: Store) -> None:
    folder = store.folder / "records"
    shutil.copy(folder / "20260103-pop-d-bbbbbbb1.json", folder / "copy.json")
    broken: list[str] = []
    assert len(store.records(broken)) == 6
    assert "copy.json: its run id is '20260103-pop-d-bbbbbbb1'" in broken[0]


def test_what_is_done_is_ok_and_of_that_spec(store: Store) -> None:
    assert store.done("pop/d") == record("20260103-pop-d-bbbbbbb1", "pop")
    assert store.done("pop/f") is None
    store.add(record("20260109-ovr-d-eeeeeee1", "ovr", status="timeout", metrics=[]))
    assert store.done("ovr/d") is None


def test_ids_sort_by_time_differ_and_are_file_names_anywhere(store: Store) -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    one, two = store.new_id("My/..\\method é", "a:b[c=1]", early), store.new_id("a", "b", late)
    assert one < two
    assert one.startswith("20260101T000000-my-..-method--a-b-c-1")
    assert store.new_id("a", "b", early) != store.new_id("a", "b", early)
    assert len(store.new_id("m" * 300, "d" * 300, early)) < 100


def test_predictions_and_rows_come_back_or_are_refused(store: Store) -> None:
    topk = TopK.from_arrays(np.array([[3, 1]]), np.array([[0.5, 0.25]]))
    kept = store.add(record("r1"), topk, {"P@1": np.array([1, 0], np.float32)})
    assert kept == store.find("r1")
    np.testing.assert_array_equal(store.predictions(kept).ids, [[3, 1]])
    np.testing.assert_array_equal(store.rows(kept)["P@1"], [1, 0])
    with pytest.raises(DataError, match="has no rows file"):
        store.rows(store.find("aaaaaaa1"))
    np.savez(store.folder / "rows" / "r1.npz", **{"P@1": np.array([1, 1], np.float32)})
    with pytest.raises(DataError, match="not the file of the record"):
        store.rows(kept)
    (store.folder / "predictions" / "r1.npz").unlink()
    with pytest.raises(DataError, match="missing"):
        store.predictions(kept)


def naming(kind: str, **changes: object) -> Record:
    """A record that names a file of that kind."""
    return record("r1", **{kind: {"file": f"{kind}/r1.npz", "sha256": "0", "data": "d", "data_sha256": "0", **changes}})


@pytest.mark.parametrize("kind", ["predictions", "rows", "board"])
@pytest.mark.parametrize(
    "file",
    [
        "../../x.npz",
        "{kind}/../x.npz",
        "{kind}/..\\x.npz",
        "{kind}/c:x.npz",
        "{kind}/x\0.npz",
        "{kind}/x.json",
        "/etc/{kind}/x.npz",
        "{kind}/.x.npz",
        "records/r1.npz",
        "r1.npz",
        7,
        None,
    ],
)
def test_a_record_that_names_files_elsewhere_is_refused(store: Store, kind: Kind, file: object) -> None:
    named = file.format(kind=kind) if isinstance(file, str) else file
    said = f"r1: names .* which is no file in {kind}/" if isinstance(file, str) else f"{kind}.file: expected str"
    with pytest.raises(DataError, match=said):
        store.kept(naming(kind, file=named), kind)
    assert store.place(naming(kind), kind) == store.folder / kind / "r1.npz"


def test_shared_data_of_a_board_lies_in_its_folder(store: Store) -> None:
    kept = store.add(minimal("r1"), None, {"P@1": np.array([1, 0], np.float32)})
    for name in ("../predictions/x.npz", "board/x.npz", ".x.npz", None):
        with pytest.raises(DataError, match="no file in board/" if name else "board.data: expected str"):
            store.board(record_file.changed(kept, board={**kept.raw["board"], "data": name}))
    with pytest.raises(DataError, match="board: expected object"):
        store.board(record_file.changed(kept, board="board/r1.npz"))


def test_a_record_that_is_refused_leaves_no_files(store: Store) -> None:
    topk = TopK.from_arrays(np.array([[3]]), np.array([[0.5]]))
    with pytest.raises(DataError):
        store.add(record("r1", metrics=[]), topk, {"P@1": np.zeros(1, np.float32)})
    assert not list(store.folder.rglob("r1*"))


def test_damaged_files_are_reported_and_hide_no_other(store: Store) -> None:
    folder = store.folder / "records"
    whole = (folder / "20260102-tree-d-aaaaaaa2.json").read_bytes()
    (folder / "20260102-tree-d-aaaaaaa2.json").write_bytes(whole[: len(whole) // 2])
    (folder / "20260107-noise.json").write_bytes(b"\xff\x00")
    (folder / ".tmp-left-over").write_bytes(whole)
    broken: list[str] = []
    assert len(store.records(broken)) == 5
    assert ["aaaaaaa2.json" in broken[0], "noise.json" in broken[1]] == [True, True]
    assert len(broken) == 2
    assert found(store, "tree") == "aaaaaaa1"


def test_what_is_no_record_file_is_refused_by_name_and_the_others_are_read(store: Store) -> None:
    folder, expected = store.folder / "records", len(store.records())
    os.mkfifo(folder / "pipe.json")
    (folder / "zero.json").symlink_to("/dev/zero")
    (folder / "folder.json").mkdir()
    (folder / "nowhere.json").symlink_to("none")
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "digits.json").write_text('{"schema": ' + "9" * 5000 + "}")
    (folder / "half.json").write_text('{"schema": 1, "x": "\\ud800"}')
    (folder / "twice.json").write_text('{"schema": 1, "schema": 2}')
    with open(folder / "long.json", "wb") as file:
        file.truncate(100_000_000)
    broken: list[str] = []
    assert len(store.records(broken)) == expected
    said = {Path(message.partition(":")[0]).name: message for message in broken}
    assert said.keys() == {path.name for path in folder.iterdir() if not path.name.startswith("2026")}
    for name, words in {
        "pipe": "a pipe, not a regular file",
        "zero": "a device, not a regular file",
        "folder": "Is a directory",
        "deep": "nested too deeply",
        "digits": "thousands of digits",
        "half": "half of a surrogate pair",
        "twice": "'schema' occurs twice",
        "long": "100,000,000 bytes, at most 16,777,216 are read",
    }.items():
        assert words in said[f"{name}.json"]


def test_two_writers_and_a_reader_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.folder), name, json.dumps(minimal_raw())], stderr=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    broken: list[str] = []
    while any(writer.poll() is None for writer in writers):
        for seen in store.records(broken):  # whatever is seen is whole, with its files
            assert store.rows(seen)["P@1"][0] == int(seen.run_id[:2])
    assert [writer.communicate()[1] for writer in writers] == [b"", b""]
    assert broken == []
    assert [r.run_id for r in store.records()] == [f"{i:02}-{name}" for i in range(20) for name in ("one", "two")]
    assert not list(store.folder.rglob(".tmp-*"))


def test_parameters_of_a_synthetic_data_set_may_be_in_any_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(record("0-a-01234567", dataset="synthetic[rows=100,test=20,labels=60]"))
    assert store.find("tree", "synthetic[labels=60,test=20,rows=100]").run_id == "0-a-01234567"
    with pytest.raises(UsageError, match="no runs in"):
        store.find("tree", "synthetic[labels=60,test=20,rows=101]")
