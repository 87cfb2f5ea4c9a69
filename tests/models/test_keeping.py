"""Models that were kept: checked before they count, whole after kills, and the same for processes at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

import xmcbench as xb
from tests.kills import killed_after
from xmcbench import limits
from xmcbench.cli.app import app
from xmcbench.data import load
from xmcbench.data.spec import Dataset
from xmcbench.errors import DataError, UsageError
from xmcbench.files import unfinished
from xmcbench.models.card import CARD, ModelCard, read_card, sealed
from xmcbench.models.folder import check, export, keep, load_model
from xmcbench.records.leftovers import remove_finished, running
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs.spec import RunSpec
from xmcbench.runs.work_folder import finish

DATA = "synthetic[labels=60,rows=100,test=20]"
FILE = "method/popularity.npz"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def home_of_these_tests(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(home))


@pytest.fixture(scope="module")
def kept_once(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    results = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(home))
        run(results)
        yield results


@pytest.fixture
def results(kept_once: Path, tmp_path: Path) -> Path:
    """A results folder with one run of popularity and its model."""
    shutil.copytree(kept_once, tmp_path / "r")
    return tmp_path / "r"


def run(results: Path, method: str = "popularity") -> Record:
    return xb.run(method, dataset=DATA, results=results, keep_models=True, progress=False)[method].records[-1]


def models(results: Path) -> list[Path]:
    return sorted((results / "models").iterdir())


def test_a_whole_model_is_not_written_again(results: Path) -> None:
    (model,) = models(results)
    before = (model / CARD).stat().st_mtime_ns
    run(results)
    assert models(results) == [model]
    assert (model / CARD).stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["truncated", "removed", "added", "emptied", "of another run", "a file"])
def test_a_damaged_model_is_named_and_the_run_is_fitted_again(results: Path, damage: str) -> None:
    (model,) = models(results)
    if damage == "truncated":
        (model / FILE).write_bytes((model / FILE).read_bytes()[:-1])
    elif damage == "removed":
        (model / FILE).unlink()
    elif damage == "added":
        (model / "method" / "more.npz").touch()
    elif damage == "of another run":
        card = msgspec.structs.replace(read_card(model), run_id="other")
        (model / CARD).write_bytes(sealed(card))
    else:
        shutil.rmtree(model)
        model.touch() if damage == "a file" else model.mkdir()
    with pytest.warns(UserWarning, match="the model is made again"):
        record = run(results)
    new = results / "models" / record.run_id
    assert new != model
    check(new)
    assert xb.load_model(new).card.run_id == record.run_id


def fitted_alone(store: Store) -> tuple[RunSpec, Dataset, Record]:
    """A run as a process leaves it that was killed after the record and before it kept the model."""
    from xmcbench.context import Reporter
    from xmcbench.records.execution import execute
    from xmcbench.runs.job import Options
    from xmcbench.runs.plan import make_plan

    (spec,) = make_plan(["popularity"], [DATA])
    data = load(DATA)
    return spec, data, execute(spec, data, store, Options(samples=20), Reporter())[0]


def test_a_model_that_a_killed_process_did_not_keep_is_kept_without_another_run(tmp_path: Path) -> None:
    _, _, record = fitted_alone(Store(tmp_path / "r"))
    assert run(tmp_path / "r").run_id == record.run_id
    (model,) = models(tmp_path / "r")
    assert model.name == record.run_id
    check(model)


def test_a_damaged_model_is_replaced_while_its_fit_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    spec, data, record = fitted_alone(store)
    model = keep(spec, record, data, store)
    (model / FILE).unlink()  # a link to the file of the fit, which must stay whole
    (model / FILE).write_bytes(b"other")
    with pytest.warns(UserWarning, match=f"{FILE}: changed"):
        assert keep(spec, record, data, store) == model
    check(model)
    assert models(store.folder) == [model]


def card_of(model: Path, **changes: Any) -> None:
    """Replace fields of the method in a card, sealed as if it had been written so."""
    card: ModelCard = read_card(model)
    method = msgspec.structs.replace(card.method, **changes)
    (model / CARD).write_bytes(sealed(msgspec.structs.replace(card, method=method)))


def test_the_model_of_a_method_that_is_not_installed(results: Path) -> None:
    (model,) = models(results)
    card_of(model, name="ghost", version="3", origin="xmcbench-ghost 0.3")
    with pytest.raises(UsageError, match="a model of ghost version 3, and no method ghost is installed") as caught:
        load_model(model)
    assert "Install the distribution of the method: xmcbench-ghost 0.3" in caught.value.hint
    shown = CliRunner().invoke(app, ["model", "info", str(model)])
    assert "no method ghost is installed" in " ".join(shown.stdout.split())


def test_the_model_of_an_older_version_of_its_method_says_so(results: Path) -> None:
    (model,) = models(results)
    assert "not loaded here" not in CliRunner().invoke(app, ["model", "info", str(model)]).stdout
    card_of(model, version="0")
    with pytest.raises(DataError, match=r"a model of popularity version 0; version \S+ is installed, which predicts"):
        load_model(model)
    shown = CliRunner().invoke(app, ["model", "info", str(model)])
    assert shown.exit_code == 0
    assert "a model of popularity version 0; version" in " ".join(shown.stdout.split())


def test_a_huge_card_is_refused_unread(results: Path) -> None:
    (model,) = models(results)
    os.truncate(model / CARD, limits.SETTINGS + 1)
    with pytest.raises(DataError, match=r"model\.json: 16,777,217 bytes, at most 16,777,216 are read"):
        load_model(model)
    os.truncate(model / CARD, 1 << 40)
    with pytest.raises(DataError, match=r"at most 16,777,216 are read"):
        export(model, results / "copy")
    assert not (results / "copy").exists()


def test_a_file_of_a_terabyte_is_refused_unhashed(results: Path) -> None:
    (model,) = models(results)
    size = (model / FILE).stat().st_size
    os.truncate(model / FILE, 1 << 40)
    with pytest.raises(DataError, match=rf"{FILE}: changed, 1,099,511,627,776 bytes instead of {size:,}"):
        load_model(model)


def test_a_file_of_another_model_is_refused(results: Path) -> None:
    (model,) = models(results)
    with np.load(model / FILE) as arrays:
        other = {name: array[::-1].copy() for name, array in arrays.items()}
    np.savez(model / FILE, **other)
    with pytest.raises(DataError, match=f"{FILE}: changed"):
        load_model(model)


def test_an_older_card_without_sizes_is_read(results: Path) -> None:
    (model,) = models(results)
    (model / CARD).write_bytes(sealed(msgspec.structs.replace(read_card(model), sizes={})))
    loaded = load_model(model)
    assert loaded.card.sizes == {}
    features = xb.dataset(DATA).test.features
    assert len(loaded.predict(features=features, k=2)[0]) == 2


@pytest.mark.parametrize("replace", [False, True])
def test_a_killed_export_leaves_nothing_half_and_the_next_one_works(results: Path, replace: bool) -> None:
    (model,) = models(results)
    to = results / "exports" / "m"
    calls, killed, lost = 0, True, 0
    while killed:
        if replace:
            export(model, to, replace=True)
        else:
            shutil.rmtree(to, ignore_errors=True)
        killed = killed_after(calls, lambda: export(model, to, replace=replace))
        lost += not to.exists()
        if to.exists():
            check(to)
        export(model, to, replace=True)
        check(to)
        assert unfinished(to.parent) == []
        calls += 1
    assert calls > 5  # it was killed at several points
    assert lost == 1 if replace else lost > 5  # only between the two renames is the old export away


def test_an_export_killed_within_a_file(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model,) = models(results)
    to = results / "exports" / "m"

    def half(source: str, target: str) -> None:
        content = Path(source).read_bytes()
        with open(target, "wb", buffering=0) as file:
            file.write(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if not child:
        shutil.copyfile = half  # type: ignore[assignment]
        export(model, to)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not to.exists()
    assert len(unfinished(to.parent)) == 1
    export(model, to)
    check(to)
    assert unfinished(to.parent) == []


def test_two_processes_keep_the_model_of_one_run_at_once(tmp_path: Path) -> None:
    load(DATA)
    words = [sys.executable, "-m", "xmcbench", "run", "popularity", "knn", "--dataset", DATA, "--keep-models"]
    both = [
        subprocess.Popen([*words, "--results", tmp_path / "r"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    for name in ("popularity", "knn"):
        (record,) = xb.results(tmp_path / "r")[name].records  # the second process neither fits nor predicts again
        load_model(tmp_path / "r" / "models" / record.run_id)
    for model in models(tmp_path / "r"):
        check(model)
    assert json.loads((models(tmp_path / "r")[0] / CARD).read_text())["run_id"] == models(tmp_path / "r")[0].name


def test_fits_stay_while_another_process_executes_runs(tmp_path: Path) -> None:
    work = tmp_path / "work" / "fit"
    work.mkdir(parents=True)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "r.json").touch()
    finish(work, "r")
    with running(tmp_path, [work]):  # as another process: locks are those of open files
        remove_finished(tmp_path, [work])
        assert work.is_dir()
    remove_finished(tmp_path, [])  # by the last process to end, whoever it was
    assert not work.exists()
    assert not (tmp_path / "work" / ".running.lock").exists()


def test_a_tuned_run_keeps_the_model_that_it_chose(tmp_path: Path) -> None:
    record = run(tmp_path, "ovr[tune]")
    assert record.method.label == "ovr[tune]"
    model, data = load_model(tmp_path / "models" / record.run_id), load(DATA)
    assert model.card.method.parameters["cost"] in (0.3, 1.0, 3.0)
    expected = Store(tmp_path).predictions(record).cut(5)
    found = model.predict(features=data.test.features, k=5).topk
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert xb.results(tmp_path)["ovr[tune]"].model().card == model.card
