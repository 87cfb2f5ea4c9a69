"""A killed process leaves nothing that the next command doesn't remove, and what another process writes stays."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kills import killed_after
from tests.minimal import minimal
from xmcbench.context import Reporter
from xmcbench.records import leftovers, record_file
from xmcbench.records.merging import ADDED, merge
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs import work_folder
from xmcbench.topk import TopK


def record(number: int, **changes: Any) -> Record:
    return minimal(f"20260101T00000{number}-tree-d-aaaaaaa{number}", "tree", "d", **changes)


def add(store: Store, number: int, second: int = 1) -> Record:
    """Add a run with P@1 = 0.5; runs whose `second` row is in another group have another shared file."""
    rows = {"P@1": np.full(3, 0.5, np.float32), "near": np.array([0, second, 2], np.int32)}
    return store.add(record(number), TopK.from_arrays(np.zeros((3, 1), int), np.ones((3, 1))), rows)


def of_records(store: Store) -> set[str]:
    """The files that a results folder without leftovers has."""
    names = set()
    for one in store.records():
        names |= {f"records/{one.run_id}.json", one.predictions.file, one.rows.file}
        names |= {one.board.file, f"board/{one.board.data}"} if one.board is not None else set()
    return names


def files(store: Store) -> set[str]:
    return {str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if not path.is_dir()}


def test_whenever_adding_is_killed_the_next_one_leaves_records_and_their_files(tmp_path: Path) -> None:
    for calls in range(100):
        store = Store(tmp_path / str(calls))
        killed = killed_after(calls, add, store, 1, 0)
        assert len(store.records()) <= 1
        if killed:
            left = files(store) - of_records(store) - {leftovers.ADDING}
            assert {store.folder / name for name in left} == set(leftovers.abandoned(store.folder))
        add(store, 2)
        assert files(store) == of_records(store)
        assert not leftovers.abandoned(store.folder)
        if not killed:
            break
    assert calls > 15


def test_a_killed_removal_is_completed_by_the_next(tmp_path: Path) -> None:
    for calls in range(40):
        store = Store(tmp_path / str(calls))
        add(store, 1)
        add(store, 2, second=0)
        (store.folder / "records" / f"{record(1).run_id}.json").unlink()
        killed = killed_after(calls, leftovers.sweep, store.folder)
        leftovers.sweep(store.folder)
        assert files(store) - {leftovers.ADDING} == of_records(store)
        if not killed:
            break
    assert not killed


def test_files_that_another_record_names_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = add(store, 1)
    store.add(record_file.changed(record(2), predictions=first.predictions))
    (store.folder / "records" / f"{first.run_id}.json").unlink()
    leftovers.sweep(store.folder)
    assert (store.folder / first.predictions.file).is_file()
    assert not (store.folder / first.rows.file).exists()
    assert list((store.folder / "board").iterdir()) == []


def test_files_that_a_reference_names_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = add(store, 1)
    assert first.board is not None
    (store.folder / "records" / f"{first.run_id}.json").unlink()
    (store.folder / leftovers.REFERENCES).write_text(f'[{{"data": "{first.board.data}"}}]')
    leftovers.sweep(store.folder)
    assert {path.name for path in (store.folder / "board").iterdir()} == {first.board.data, "datasets.json"}


def test_files_of_users_stay(tmp_path: Path) -> None:
    for name in ("predictions/mine.npz", "rows/20260101T000001-x-aaaaaaaa.txt", "board/data-x.npz", "board/notes"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    before = files(Store(tmp_path))
    leftovers.sweep(tmp_path)
    assert files(Store(tmp_path)) == before


HOLDER = """
import sys, time
from pathlib import Path
from xmcbench.records import leftovers, record_file
with (leftovers.adding if sys.argv[2] == "adding" else lambda folder: leftovers.running(folder, ()))(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """A process that adds a record to, or executes runs in, the results folder."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path), request.param]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("holder", ["adding"], indirect=True)
def test_files_without_a_record_stay_while_a_process_adds_one(tmp_path: Path, holder: Any) -> None:
    path = tmp_path / "predictions" / "20260101T000001-tree-d-aaaaaaa1.npz"
    path.parent.mkdir()
    path.write_bytes(b"not yet recorded")
    leftovers.sweep(tmp_path)
    assert path.is_file()
    holder.kill()
    holder.wait()
    leftovers.sweep(tmp_path)
    assert files(Store(tmp_path)) == set()


def left_work(store: Store, number: int, name: str = "") -> Path:
    """The work folder of a run that was killed after its record was written."""
    work = store.work(name or f"fit{number}")
    with work_folder.locked(work, Reporter()):
        (work / "fit.json").write_text("{}")
        work_folder.finish(work, record(number).run_id)
    return work


@pytest.mark.parametrize("holder", ["running"], indirect=True)
def test_work_folders_stay_while_a_process_executes_runs(tmp_path: Path, holder: Any) -> None:
    store = Store(tmp_path)
    add(store, 1)
    work = left_work(store, 1)
    with leftovers.running(tmp_path, ()):
        assert work.is_dir()
    holder.kill()
    holder.wait()
    with leftovers.running(tmp_path, ()):
        assert not work.exists()


def test_work_folders_of_recorded_runs_are_removed_and_others_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, 1)
    recorded, needed = left_work(store, 1), left_work(store, 1, "needed")
    unrecorded = left_work(store, 2)
    (tmp_path / "work" / "gone.lock").touch()
    with work_folder.locked(store.work("skipped"), Reporter()):
        pass
    unneeded = {tmp_path / "work" / name for name in ("gone", "skipped")}
    assert set(leftovers.abandoned(tmp_path)) == {recorded, needed, *unneeded}
    with leftovers.running(tmp_path, [needed]):
        assert not recorded.exists()
        assert (tmp_path / leftovers.RUNNING).is_file()
    names = {path.name for path in (tmp_path / "work").iterdir()}
    assert names == {name for work in (needed, unrecorded) for name in (work.name, f"{work.name}.lock")}


def test_whenever_merging_is_killed_the_next_one_completes_it(tmp_path: Path) -> None:
    source = Store(tmp_path / "source")
    add(source, 1, second=0)
    add(source, 2)
    for calls in range(0, 200, 3):
        into = Store(tmp_path / "into" / str(calls))
        killed = killed_after(calls, lambda *stores: list(merge(*stores)), source, into)
        (source.folder / "records" / f"{record(1).run_id}.json").rename(tmp_path / "away")
        outcomes = list(merge(source, into))
        assert {outcome.what for outcome in outcomes} <= {ADDED, "already there"}, outcomes
        (tmp_path / "away").rename(source.folder / "records" / f"{record(1).run_id}.json")
        assert files(into) == of_records(into), calls
        if not killed:
            break
    assert not killed


def test_the_removal_costs_little(tmp_path: Path) -> None:
    run_ids = [f"20260101T000000-tree-d-{number:08x}" for number in range(1000)]
    for kind, end in (("records", "json"), ("predictions", "npz"), ("rows", "npz"), ("board", "npz")):
        (tmp_path / kind).mkdir()
        for run_id in run_ids:
            (tmp_path / kind / f"{run_id}.{end}").touch()
    times = []
    for _ in range(5):
        start = time.process_time()
        leftovers.sweep(tmp_path)
        times.append(time.process_time() - start)
    assert min(times) < 0.05  # 5 to 10 ms on one core
    assert len(files(Store(tmp_path))) == 4000
