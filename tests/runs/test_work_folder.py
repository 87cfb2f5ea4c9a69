"""Whatever happened to a work folder, the next run gives the result of an uninterrupted one."""

from __future__ import annotations

import dataclasses
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kills import killed_after
from xmcbench.context import Reporter
from xmcbench.files import write_npz
from xmcbench.method import MethodInfo, param
from xmcbench.npz_files import read_npz
from xmcbench.records.execution import execute
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs import work_folder
from xmcbench.runs.job import Options
from xmcbench.runs.selection import grid_of
from xmcbench.runs.spec import RunSpec
from xmcbench.testing.worlds import tiny
from xmcbench.topk import TopK


@dataclass(frozen=True)
class Params:
    noise: float = param(0.5, "added to the share of each label", "ours: a test", tune=(0.0, 0.5))


class Steps:
    """Labels by share plus noise, in two steps with a checkpoint after each; stops where `stop` says."""

    info = MethodInfo("steps", "for tests", "floor", "1", parameters=Params)
    stop = ""
    done: list[str]  # the steps of all fits that were not loaded

    def __init__(self, params: Any) -> None:
        self.params = params

    @classmethod
    def skip(cls, data: Any, machine: Any) -> str | None:
        return None

    def step(self, name: str, make: Callable[[], Any], ctx: Any) -> Any:
        if (saved := ctx.checkpoints.load(name)) is not None:
            return saved[0]["array"]
        self.done.append(name)
        array = make()
        ctx.checkpoints.save(name, {"array": array})
        if self.stop == f"{name} of {ctx.folder.parent.name}":
            raise KeyboardInterrupt
        return array

    def fit(self, train: Any, ctx: Any) -> None:
        share = self.step("share", lambda: np.asarray(train.labels.mean(axis=0)).ravel(), ctx)
        noise = self.step("noise", lambda: ctx.rng("noise").random(train.n_labels), ctx)
        self.scores = (share + self.params.noise * noise).astype(np.float32)

    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        if self.stop == "predict":
            raise KeyboardInterrupt
        ids = np.tile(np.arange(inputs.n_labels), (inputs.n_rows, 1))
        return TopK.from_arrays(ids, np.tile(self.scores, (inputs.n_rows, 1)), k)

    def save(self, folder: Path) -> None:
        (folder / "parts").mkdir()
        write_npz(folder / "parts" / "scores.npz", {"scores": self.scores})

    def load(self, folder: Path) -> None:
        self.scores = read_npz(folder / "parts" / "scores.npz")["scores"]


class NewVersion(Steps):
    info = dataclasses.replace(Steps.info, version="2")


def run(store: Store, seed: int = 0, stop: str = "", method: type[Steps] = Steps, tune: bool = False) -> Record:
    """A run that stops as if the process had been killed at this point, as far as its work folder is concerned."""
    method.stop, method.done = stop, []
    grid = grid_of(method.info, ()) if tune else None
    spec = RunSpec(f"{__file__}:{method.__name__}", method, Params(), "tiny", None, seed, 20, grid)
    return execute(spec, tiny(), store, Options(threads=1, samples=20), Reporter())[0]


FIT, TUNED, TUNING, MODEL = "noise of {work}", "noise of {work}, tuned", "noise of fit-1", "predict"
READ = {  # what the next run reads of a work folder that was left at this point
    FIT: ("journal.json", "method/checkpoints/share.npz", "method/checkpoints/noise.npz"),
    TUNED: ("tune/trials.json", "tune/journal.json"),
    TUNING: (
        "tune/trials.json",
        "tune/fit-1/method/checkpoints/share.npz",
        "tune/fit-1/method/checkpoints/noise.npz",
    ),
    MODEL: ("fit.json", "model/parts/scores.npz"),
}
CASES = [(state, name) for state, names in READ.items() for name in names]


def stopped(store: Store, state: str, seed: int) -> Path:
    """A new work folder that was left at this point."""
    tune = state in (TUNED, TUNING)
    where = "predict" if state == MODEL else state.partition(",")[0]
    if "{work}" in where:  # the folder's name is that of the fit
        run(Store(store.folder / "first"), seed, "predict", tune=tune)
        where = where.format(work=next((store.folder / "first" / "work").glob("*/")).name)
        shutil.rmtree(store.folder / "first")
    assert run(store, seed, where, tune=tune).status == "interrupted"
    return next(path for path in (store.folder / "work").iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Store]:
    """Results folders that runs were stopped in, each made once."""
    stores: dict[tuple[str, int], Store] = {}

    def of(state: str, seed: int = 0) -> Store:
        if (state, seed) not in stores:
            stores[state, seed] = Store(tmp_path_factory.mktemp("left"))
            stopped(stores[state, seed], state, seed)
        return stores[state, seed]

    return of


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Record]:
    """Uninterrupted runs, without and with tuning."""
    return {tune: run(Store(tmp_path_factory.mktemp("whole")), tune=tune) for tune in (False, True)}


def work_of(store: Store) -> Path:
    return next(path for path in (store.folder / "work").iterdir() if path.is_dir())


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_text("inside")


def replaced_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replaced_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


def with_a_flipped_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[max(content.find(b"descr"), len(content) // 3)] ^= 4  # zip files have bytes that mean nothing
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size * 2 // 3),
    "empty": lambda path: os.truncate(path, 0),
    "garbage": lambda path: path.write_bytes(b"\x80\x04garbage\xff\n" * 50),
    "JSON of another form": lambda path: path.write_text('{"content": [], "identity": 3}'),
    "flipped": with_a_flipped_byte,
    "folder": replaced_by_folder,
    "fifo": replaced_by_fifo,
    "link": replaced_by_link,
}


def check(store: Store, whole: Record, named: str | None, tune: bool) -> None:
    """The run resumes with the result of an uninterrupted one, a warning and a remark that name the file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = run(store, tune=tune)
    assert record.status == "ok", record.reason
    assert record.predictions.sha256 == whole.predictions.sha256
    assert record.metrics == whole.metrics
    assert record.method == whole.method
    told = [str(warning.message) for warning in caught]
    remarks = record.notes.get("remarks", [])
    if named is None:
        assert not told
        assert not remarks
    else:
        assert any(named in text and "set aside" in text for text in told), told
        assert any(named in text for text in remarks), remarks
        assert str(store.folder) not in "".join(remarks), "a record shows no private path"


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(("state", "name"), CASES)
def test_a_damaged_file_is_rejected_and_its_work_repeated(
    left: Any, whole: dict[bool, Record], tmp_path: Path, state: str, name: str, damage: str
) -> None:
    store = Store(shutil.copytree(left(state).folder, tmp_path / "results"))
    DAMAGE[damage](work_of(store) / name)
    check(store, whole[state in (TUNED, TUNING)], name.split("/")[-1], state in (TUNED, TUNING))


@pytest.mark.parametrize(("state", "name"), CASES)
def test_a_file_of_another_run_is_rejected(
    left: Any, whole: dict[bool, Record], tmp_path: Path, state: str, name: str
) -> None:
    store = Store(shutil.copytree(left(state).folder, tmp_path / "results"))
    shutil.copyfile(work_of(left(state, 1)) / name, work_of(store) / name)
    check(store, whole[state in (TUNED, TUNING)], name.split("/")[-1], state in (TUNED, TUNING))


@pytest.mark.parametrize(("state", "name"), CASES)
def test_a_missing_file_costs_its_work_alone(
    left: Any, whole: dict[bool, Record], tmp_path: Path, state: str, name: str
) -> None:
    store = Store(shutil.copytree(left(state).folder, tmp_path / "results"))
    (work_of(store) / name).unlink()
    named = "scores.npz: missing" if name.startswith("model") else None
    check(store, whole[state in (TUNED, TUNING)], named, state in (TUNED, TUNING))


@pytest.mark.parametrize("state", READ)
def test_only_a_model_is_rejected_for_an_added_file(
    left: Any, whole: dict[bool, Record], tmp_path: Path, state: str
) -> None:
    store = Store(shutil.copytree(left(state).folder, tmp_path / "results"))
    for path in [work_of(store), *work_of(store).rglob("*/")]:
        (path / "added\n.npz").write_bytes(b"\x80")
    os.mkfifo(work_of(store) / "fifo")
    check(store, whole[state in (TUNED, TUNING)], "model" if state == MODEL else None, state in (TUNED, TUNING))


@pytest.mark.parametrize("folder", ["", "method", "method/checkpoints", "tune", "tune/fit-1", "tune/fit-1/method"])
@pytest.mark.parametrize("state", [FIT, TUNING])
def test_a_file_in_place_of_a_folder(
    left: Any, whole: dict[bool, Record], tmp_path: Path, state: str, folder: str
) -> None:
    store = Store(shutil.copytree(left(state).folder, tmp_path / "results"))
    path = work_of(store) / folder
    existed = path.is_dir()
    shutil.rmtree(path, ignore_errors=True)
    path.write_text("in the way") if existed else None
    tune = state == TUNING
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = run(store, tune=tune)
    assert record.predictions.sha256 == whole[tune].predictions.sha256
    assert any(f"{path}: not a folder" in str(warning.message) for warning in caught) == existed


@pytest.mark.parametrize("kind", ["file", "fifo", "missing"])
def test_a_model_folder_that_is_none(left: Any, whole: dict[bool, Record], tmp_path: Path, kind: str) -> None:
    store = Store(shutil.copytree(left(MODEL).folder, tmp_path / "results"))
    model = work_of(store) / "model"
    shutil.rmtree(model)
    if kind != "missing":
        model.write_text("") if kind == "file" else os.mkfifo(model)
    check(store, whole[False], "fit.json" if kind == "missing" else "model", tune=False)


def test_checkpoints_that_trade_places_are_rejected(left: Any, whole: dict[bool, Record], tmp_path: Path) -> None:
    store = Store(shutil.copytree(left(FIT).folder, tmp_path / "results"))
    folder = work_of(store) / "method" / "checkpoints"
    (folder / "share.npz").rename(folder / "third")
    (folder / "noise.npz").rename(folder / "share.npz")
    (folder / "third").rename(folder / "noise.npz")
    check(store, whole[False], "share.npz", tune=False)
    assert Steps.done == ["share", "noise"]


def test_work_starts_over_from_the_newest_valid_checkpoint(left: Any, tmp_path: Path) -> None:
    store = Store(shutil.copytree(left(FIT).folder, tmp_path / "results"))
    os.truncate(work_of(store) / "method" / "checkpoints" / "noise.npz", 9)
    with pytest.warns(UserWarning, match=r"noise\.npz"):
        run(store)
    assert Steps.done == ["noise"]
    model = Store(shutil.copytree(left(MODEL).folder, tmp_path / "model"))
    os.truncate(work_of(model) / "model" / "parts" / "scores.npz", 9)
    with pytest.warns(UserWarning, match=r"parts/scores\.npz: changed"):
        run(model)
    assert Steps.done == [], "all checkpoints are valid"


def test_whole_files_are_used(left: Any, tmp_path: Path) -> None:
    for state, steps in ((FIT, []), (TUNED, []), (TUNING, ["share", "noise"]), (MODEL, [])):
        store = Store(shutil.copytree(left(state).folder, tmp_path / state))
        assert run(store, tune=state in (TUNED, TUNING)).status == "ok"
        assert Steps.done == steps, state


def test_a_model_of_another_version_is_not_loaded(left: Any, whole: dict[bool, Record], tmp_path: Path) -> None:
    store = Store(shutil.copytree(left(MODEL).folder, tmp_path / "results"))
    old = work_of(store)
    run(store, stop="predict", method=NewVersion)
    (new,) = [path for path in old.parent.iterdir() if path.is_dir() and path != old]
    shutil.rmtree(new)
    old.rename(new)
    with pytest.warns(UserWarning, match=r"fit\.json: not the file that this fit wrote \(of another fit\)"):
        record = run(store, method=NewVersion)
    assert NewVersion.done == ["share", "noise"]
    assert record.status == "ok"
    assert record.metrics == whole[False].metrics


def test_a_process_killed_while_it_removes_a_work_folder_leaves_all_or_nothing(tmp_path: Path) -> None:
    for calls in range(40):
        work = tmp_path / str(calls) / "fit"
        for name in ("model/a", "model/b", "fit.json"):
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(name)
        killed = killed_after(calls, work_folder.remove, work)
        assert sorted(path.name for path in work.rglob("*")) in ([], ["a", "b", "fit.json", "model"])
        if not killed:
            break
    assert not killed
    assert not list(work.parent.iterdir()), "its lock is removed too"


def test_a_work_folder_of_a_recorded_run_says_so(tmp_path: Path) -> None:
    work = tmp_path / "work" / "fit"
    assert work_folder.recorded(work) == ""
    work.mkdir(parents=True)
    work_folder.finish(work, "20260101T000000-a-b-01234567")
    assert work_folder.recorded(work) == "20260101T000000-a-b-01234567"
    for damage in (b"", b"\xff", b"../../x", b"a" * 500):
        (work / work_folder.FINISHED).write_bytes(damage)
        assert work_folder.recorded(work) == ""


def test_a_work_folder_in_use_is_not_removed(tmp_path: Path) -> None:
    work = tmp_path / "work" / "fit"
    with work_folder.locked(work, Reporter()):
        work_folder.remove(work)
        assert work.is_dir()
    work_folder.remove(work)
    assert not list(work.parent.iterdir())
