"""Records from elsewhere: what is whole comes along unchanged, what is not is refused by name and stops no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.data.damage import flip
from tests.minimal import minimal, minimal_raw
from xmcbench.cli.app import app
from xmcbench.data import load
from xmcbench.errors import DataError, UsageError
from xmcbench.files import atomic, write_json, write_npz
from xmcbench.records import record_file
from xmcbench.records.merging import ADDED, REFUSED, THERE, Outcome, merge
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.topk import TopK

ROWS = {
    **{name: np.array([1, 0, 1], np.float32) for name in ("P@1", "PSP@5", "R@10")},
    "PSP@5/den": np.array([1, 2, 1], np.float32),
    "near": np.array([0, 0, 2], np.int32),
}
TOPK = TopK.from_arrays(np.array([[0], [1], [2]]), np.ones((3, 1)))


def record(run_id: str, **changes: Any) -> Record:
    return minimal(run_id, **{"metrics": [{"name": "P@1", "value": 2 / 3, "version": 1}], **changes})


@pytest.fixture
def source(tmp_path: Path) -> Store:
    """Two whole runs, a and c, and one that failed, b."""
    store = Store(tmp_path / "theirs")
    store.add(record("a"), TOPK, ROWS)
    store.add(record("b", status="error", reason="it broke", metrics=[]))
    store.add(record("c"), TOPK, ROWS)
    return store


@pytest.fixture
def into(tmp_path: Path) -> Store:
    return Store(tmp_path / "ours")


def outcomes(source: Store, into: Store, slim: bool = False) -> dict[str, Outcome]:
    return {outcome.path.stem: outcome for outcome in merge(source, into, slim=slim)}


def said(source: Store, into: Store, slim: bool = False) -> dict[str, str]:
    return {run_id: outcome.what for run_id, outcome in outcomes(source, into, slim).items()}


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def change(store: Store, run_id: str, /, reseal: bool = True, **changes: Any) -> None:
    """Rewrite a record as somebody with an editor would; `reseal`: somebody who knows of the seal."""
    path = store.folder / "records" / f"{run_id}.json"
    text = {**json.loads(path.read_text()), **changes}
    if reseal:
        text["seal"] = record_file.seal_of(text)
    write_json(path, text)


def test_all_comes_along_byte_for_byte_and_only_once(source: Store, into: Store) -> None:
    assert said(source, into) == dict.fromkeys("abc", ADDED)
    assert content(into.folder) == content(source.folder)
    assert into.records() == source.records()
    assert said(source, into) == dict.fromkeys("abc", THERE)
    assert content(into.folder) == content(source.folder)


def test_slim_leaves_predictions_and_rows_behind(source: Store, into: Store) -> None:
    assert said(source, into, slim=True) == dict.fromkeys("abc", ADDED)
    have = content(into.folder)
    assert {name.partition("/")[0] for name in have} == {"records", "board"}
    assert len(have) == 3 + 2 + 1  # records, numerators, and what the two runs share
    np.testing.assert_array_equal(into.board(into.records()[0])["near"], [0, 0, 2])


def test_a_slim_copy_can_be_filled_up_and_gives_to_slim_ones_alone(source: Store, into: Store, tmp_path: Path) -> None:
    said(source, into, slim=True)
    third = Store(tmp_path / "third")
    found = outcomes(into, third)
    assert (found["a"].what, found["b"].what) == (REFUSED, ADDED)
    assert "predictions/a.npz: missing" in found["a"].why
    assert "--slim" in found["a"].why
    assert said(into, third, slim=True) == {"a": ADDED, "b": THERE, "c": ADDED}
    assert said(source, into) == dict.fromkeys("abc", THERE)
    assert content(into.folder) == content(source.folder)


def test_another_record_of_the_same_run_id_is_refused(source: Store, into: Store) -> None:
    said(source, into)
    before = content(into.folder)
    change(source, "a", metrics=[{"name": "P@1", "value": 1.0, "version": 1}])
    found = outcomes(source, into)
    assert found["a"].what == REFUSED
    assert "has the same run id but other content" in found["a"].why
    assert (found["b"].what, found["c"].what) == (THERE, THERE)
    assert content(into.folder) == before


@pytest.mark.parametrize("file", ["predictions/a.npz", "rows/a.npz", "board/a.npz", "board/data-*.npz"])
def test_a_place_that_is_taken_is_refused(source: Store, into: Store, file: str) -> None:
    (path,) = source.folder.glob(file)
    taken = into.folder / path.relative_to(source.folder)
    write_npz(taken, {"P@1": np.zeros(3, np.float32)})
    before = taken.read_bytes()
    found = outcomes(source, into)
    assert found["a"].what == REFUSED
    assert f"{taken}: already exists, and is not the file of a" in found["a"].why
    assert taken.read_bytes() == before
    assert not (into.folder / "records" / "a.json").exists()


def test_the_same_shared_arrays_in_another_file_will_do(source: Store, into: Store) -> None:
    """Machines with other versions of zlib write the same arrays as other bytes."""
    (path,) = source.folder.glob("board/data-*.npz")
    write_npz(into.folder / "board" / path.name, {n: ROWS[n] for n in ("PSP@5/den", "near")}, compressed=False)
    assert said(source, into) == dict.fromkeys("abc", ADDED)
    assert (into.folder / "board" / path.name).read_bytes() != path.read_bytes()


BAD: dict[str, tuple[Callable[[Store], Any], str]] = {
    "seal": (lambda s: change(s, "a", reseal=False, seed=7), "the seal doesn't match"),
    "no seal": (lambda s: change(s, "a", reseal=False, seal=None), "the seal doesn't match"),
    "value": (lambda s: change(s, "a", metrics=[{"name": "P@1", "value": 0.5, "version": 1}]), "P@1 is 0.66"),
    "number of rows": (lambda s: change(s, "a", dataset={**minimal_raw()["dataset"], "n_test": 4}), "not 4 finite"),
    "older schema": (lambda s: change(s, "a", reseal=False, schema=1), "schema 1 has no seal; schema 1 has no board"),
    "identity": (
        lambda s: change(
            s, "a", metrics=[{"name": n, "value": v, "version": 1} for n, v in (("P@1", 0.5), ("nDCG@1", 0.4))]
        ),
        "nDCG@1",
    ),
    "schema": (lambda s: change(s, "a", schema=99), "schema 99, this program reads up to"),
    "no schema": (lambda s: change(s, "a", schema="2"), "no schema number"),
    "run id": (lambda s: change(s, "a", run_id="../../x"), "its run id is '../../x'"),
    "data set": (
        lambda s: change(s, "a", dataset={"name": "d"}),
        "a.json: dataset: missing view",
    ),
    "predictions": (lambda s: write_npz(s.folder / "predictions/a.npz", {"x": np.ones(1)}), "predictions/a.npz"),
    "rows": (lambda s: write_npz(s.folder / "rows/a.npz", {"x": np.ones(1)}), "rows/a.npz"),
    "board": (lambda s: write_npz(s.folder / "board/a.npz", {"x": np.ones(1)}), "board/a.npz"),
    "gone": (lambda s: (s.folder / "rows/a.npz").unlink(), "rows/a.npz: missing"),
    "outside": (lambda s: change(s, "a", rows={"file": "../../x", "sha256": "0"}), "names '../../x'"),
    "other folder": (lambda s: change(s, "a", rows={"file": "records/b.json", "sha256": "0"}), "no file in rows/"),
    "no object": (lambda s: change(s, "a", rows="rows/a.npz"), "rows: expected object | null, got str"),
    "no JSON": (lambda s: (s.folder / "records/a.json").write_text("{"), "not a readable record"),
    "not a number": (lambda s: (s.folder / "records/a.json").write_text('{"schema": NaN}'), "NaN is no JSON"),
    "nested": (lambda s: (s.folder / "records/a.json").write_text("[" * 100_000), "not a readable record"),
    "no text": (lambda s: (s.folder / "records/a.json").write_bytes(b"\xff\xfe{"), "not a readable record"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_records_are_refused_and_stop_no_other(source: Store, into: Store, case: str) -> None:
    spoil, why = BAD[case]
    spoil(source)
    found = outcomes(source, into)
    assert found["a"].what == REFUSED
    assert why in found["a"].why
    assert (found["b"].what, found["c"].what) == (ADDED, ADDED)
    assert not [name for name in content(into.folder) if "a." in name.partition("/")[2] and "data-" not in name]


def test_a_file_of_another_name_than_its_run_is_refused(source: Store, into: Store) -> None:
    shutil.copy(source.folder / "records" / "a.json", source.folder / "records" / "z.json")
    found = outcomes(source, into)
    assert (found["a"].what, found["z"].what) == (ADDED, REFUSED)
    assert "its run id is 'a'" in found["z"].why


def test_a_run_on_a_damaged_data_set_is_refused_until_it_is_parsed_again(
    source: Store, into: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    name = "synthetic[rows=10,test=3]"
    content = {"name": name, "view": "bow", "content_hash": load(name).content_hash}
    for run_id in "ac":
        raw = json.loads((source.folder / "records" / f"{run_id}.json").read_text())
        change(source, run_id, dataset={**raw["dataset"], **content})
    (folder,) = (path for path in (tmp_path / "home" / "parsed" / name).iterdir() if path.is_dir())
    flip(folder / "test.labels.indices.npy")
    found = outcomes(source, into)
    assert {run_id: outcome.what for run_id, outcome in found.items()} == {"a": REFUSED, "b": ADDED, "c": REFUSED}
    assert "test.labels.indices.npy: changed after it was written" in found["a"].why
    assert f"`xmcbench data verify '{name}'` parses it again" in found["a"].why
    with pytest.warns(UserWarning, match="damaged"):
        load(name, verify=True)
    assert said(source, into) == {"a": ADDED, "b": THERE, "c": ADDED}


def test_what_killed_merges_left_is_removed(source: Store, into: Store) -> None:
    said(source, into)
    kinds = ("records", "board", "predictions", "rows")
    for kind in kinds:
        for name in (".tmp-left", "other.npz"):
            (into.folder / kind / name).write_bytes(b"half")
    with atomic(into.folder / "rows" / "new.npz") as file:  # of a process that still works on it
        said(source, into)
        assert [name.exists() for name in (into.folder / "rows").glob(".tmp-*")] == [True]
        file.write(b"whole")
    for kind in kinds:
        names = {path.name for path in (into.folder / kind).iterdir()}
        assert not any(name.startswith(".tmp-") for name in names)
        assert "other.npz" in names


def test_a_rescored_run_shares_the_predictions_of_the_first(source: Store, into: Store) -> None:
    first = source.find("a")
    source.add(record_file.changed(first, run_id="d", supersedes="a"), None, ROWS)
    assert said(source, into) == dict.fromkeys("abcd", ADDED)
    np.testing.assert_array_equal(into.predictions(into.find("d")).ids, TOPK.ids)


def test_two_merges_at_once(source: Store, into: Store) -> None:
    for i in range(20):
        source.add(record(f"r{i:02}"), TOPK, ROWS)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: said(source, into), range(4)))
    assert {what for one in found for what in one.values()} <= {ADDED, THERE}
    assert content(into.folder) == content(source.folder)


def test_the_command(source: Store, into: Store, tmp_path: Path) -> None:
    more = Path(shutil.copytree(source.folder, tmp_path / "more"))
    Store(more).add(record("e"), TOPK, ROWS)
    change(Store(more), "c", reseal=False, seed=7)
    words = ["merge", str(source.folder), str(more), "--into", str(into.folder)]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, DataError)
    assert done.exception.exit_code == 4
    assert "1 of 7 records refused" in str(done.exception)
    assert done.stdout == f"{into.folder}: 4 added, 2 already there, 1 refused\n"
    assert f"refused: {more / 'records' / 'c.json'}: changed after it was written" in done.stderr
    assert [r.run_id for r in into.records()] == ["a", "b", "c", "e"]
    again = CliRunner().invoke(app, ["merge", str(source.folder), "--into", str(into.folder), "--slim"])
    assert (again.exit_code, again.stdout) == (0, f"{into.folder}: 0 added, 3 already there, 0 refused\n")
    none = CliRunner().invoke(app, ["merge", str(tmp_path / "none"), str(tmp_path), "--into", str(into.folder)])
    assert isinstance(none.exception, UsageError)
    assert f"{tmp_path / 'none'}, {tmp_path}" in str(none.exception)
    assert CliRunner().invoke(app, ["merge", str(source.folder)]).exit_code == 2
