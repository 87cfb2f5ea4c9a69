"""`xmcbench verify`: what holds is said to, what doesn't fails with its exit code, what can't be checked says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.data.damage import flip
from xmcbench.cli.app import app
from xmcbench.comparison.regression import expected_of
from xmcbench.comparison.verifying import check_rerun
from xmcbench.data import arrays, load
from xmcbench.errors import DataError, RegressionError, UsageError
from xmcbench.files import sha256_of, stamp_of, write_json, write_npz
from xmcbench.methods.popularity import Popularity
from xmcbench.npz_files import read_npz
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Kind, Store
from xmcbench.topk import TopK

SMALL = "synthetic[rows=300,test=60,labels=60]"
CHECKS = ["record", "predictions", "rows", "board", "data set", "scores", "re-run"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A results folder with one run of popularity; tests don't write there."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        words = ["popularity", "--dataset", SMALL, "--threads", "1", "--results", str(folder / "out")]
        done = CliRunner().invoke(app, ["run", *words])
        assert done.exit_code == 0, done.output
        yield folder / "out"


@pytest.fixture
def own(run: Path, tmp_path: Path) -> Store:
    """A copy of the same folder that a test may damage."""
    return Store(Path(shutil.copytree(run, tmp_path / "own")))


def invoke(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["verify", *(words or ("popularity",)), "--results", str(folder)])


def verify(store: Store, *words: str, code: int = 0) -> dict[str, tuple[str, str]]:
    """State and reason of each check, once the exit code is the one expected."""
    result = invoke(store.folder, *(words or ("popularity",)), "--json")
    assert getattr(result.exception, "exit_code", result.exit_code) == code, result.output
    return {check["what"]: (check["state"], check["why"]) for check in json.loads(result.stdout)["checks"]}


def states(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {what: state for what, (state, _) in found.items()}


def change(store: Store, **changes: Any) -> str:
    """Rewrite the one record with a seal that fits, as somebody would who knows of it; its run id."""
    (path,) = store.paths()
    raw = {**json.loads(path.read_text()), **changes}
    write_json(path, {**raw, "seal": record_file.seal_of(raw)})
    return path.stem


def only(store: Store) -> Record:
    """The one record."""
    (record,) = store.records()
    return record


def path_of(store: Store, kind: Kind) -> Path:
    """Where a file lies that the one record names."""
    return store.place(only(store), kind)


def replace(store: Store, kind: Kind, arrays: dict[str, Any]) -> None:
    """Another file in place of the one the record names, and its hash on record."""
    path = path_of(store, kind)
    write_npz(path, arrays)
    change(store, **{kind: {**only(store).raw[kind], "sha256": sha256_of(path)}})


def entries(store: Store, **changes: Any) -> list[dict[str, Any]]:
    return [{**entry, **changes} for entry in only(store).raw["metrics"]]


def slim(store: Store) -> None:
    for kind in ("predictions", "rows"):
        shutil.rmtree(store.folder / kind)


def test_a_whole_record_holds(run: Path) -> None:
    found = verify(Store(run))
    assert list(found) == CHECKS
    assert states(found) == {**dict.fromkeys(CHECKS, "ok"), "re-run": "not checked"}
    of = len(only(Store(run)).metrics)
    assert found["rows"][1] == f"as written; they give {of - 2} of the {of} values on record"  # two are over labels
    assert found["board"][1] == f"as written; they give 5 of the {of} values on record"
    assert found["scores"][1] == f"{of} of {of} values are as on record when scored again"
    shown = invoke(run).stdout.splitlines()
    assert len(shown) == len(CHECKS) + 1
    assert shown[0] == "ok     record: seal and identities hold"
    assert shown[-2] == "–      re-run not checked: only with --rerun"
    assert shown[-1].endswith("6 of 7 checks hold, 1 not made")


def test_a_record_is_found_as_compare_finds_it(run: Path) -> None:
    (path,) = Store(run).paths()
    for words in ((path.stem,), (path.stem[-8:],), (str(path), "--results", "elsewhere")):
        result = CliRunner().invoke(app, ["verify", *words, *(() if len(words) > 1 else ("--results", str(run)))])
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[-1].startswith(path.stem)
    assert isinstance(invoke(run, "nobody").exception, UsageError)
    assert isinstance(invoke(run, "popularity", "--into", "x").exception, UsageError)


def test_a_slim_copy_is_checked_as_far_as_it_goes(own: Store) -> None:
    slim(own)
    found = verify(own)
    assert states(found) == {
        "record": "ok",
        "predictions": "not checked",
        "rows": "not checked",
        "board": "ok",
        "scores": "not checked",
        "re-run": "not checked",
    }
    assert found["rows"][1] == "missing: a slim copy"
    assert found["scores"][1] == "no predictions"


@pytest.mark.parametrize("by", [lambda stem: stem, lambda stem: stem[-8:]])
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda text: text.replace('"seed": 0', '"seed": 1'), "the seal doesn't match"),
        (lambda text: text.replace('"schema": 2', '"schema": 3'), "schema 3, this program reads up to 2"),
        (lambda text: text[:100], "not a readable record"),
    ],
)
def test_a_damaged_record(own: Store, by: Callable[[str], str], spoil: Callable[[str], str], why: str) -> None:
    (path,) = own.paths()
    path.write_text(spoil(path.read_text()))
    for words in ((by(path.stem),), (str(path),)):
        found = verify(own, *words, code=4)
        assert list(found) == ["record"]
        assert found["record"][0] == "FAILED"
        assert why in found["record"][1]
    assert "FAILED record: " in invoke(own.folder, by(path.stem)).stdout


def test_an_identity_that_is_broken(own: Store) -> None:
    metrics = entries(own)
    next(entry for entry in metrics if entry["name"] == "nDCG@1")["value"] += 0.01
    found = verify(own, change(own, metrics=metrics), code=4)
    assert "nDCG@1" in found["record"][1]


@pytest.mark.parametrize("kind", ["predictions", "rows", "board"])
def test_a_file_that_does_not_match_its_hash_or_is_gone(own: Store, kind: Kind) -> None:
    path = path_of(own, kind)
    arrays = read_npz(path)
    write_npz(path, {**arrays, "more": np.ones(1)})
    for _ in range(2):
        found = verify(own, code=4)
        assert found[kind][0] == "FAILED"
        assert str(path) in found[kind][1]
        others = {what: state for what, state in states(found).items() if what not in (kind, "re-run")}
        assert others.pop("scores") == ("not checked" if kind == "predictions" else "ok")
        if kind == "predictions":  # nothing to look the data set up for
            assert "data set" not in others
        assert set(others.values()) == {"ok"}
        path.unlink(missing_ok=True)


def test_a_file_elsewhere(own: Store) -> None:
    slim(own)
    change(own, rows={"file": "../../x", "sha256": "0"})
    assert "no file in rows/" in verify(own, code=4)["rows"][1]


def test_predictions_that_have_other_scores(own: Store) -> None:
    topk = own.predictions(only(own))
    ids = topk.ids.copy()
    ids[:, [0, 1]] = ids[:, [1, 0]]
    replace(own, "predictions", {"ids": ids, "scores": topk.scores})
    found = verify(own, code=3)
    assert found["scores"][0] == "FAILED"
    assert "P@1 is 0." in found["scores"][1]
    assert "on record 0." in found["scores"][1]
    assert isinstance(invoke(own.folder).exception, RegressionError)


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (np.tile(np.arange(5, dtype=np.int32), (3, 1)), "with 60 rows"),
        (np.tile(np.arange(73, 78, dtype=np.int32), (60, 1)), "names label 73"),
        (np.zeros((60, 5), np.int32), "twice"),
    ],
)
def test_predictions_that_do_not_fit_the_data(own: Store, ids: Any, why: str) -> None:
    replace(own, "predictions", {"ids": ids, "scores": np.zeros(ids.shape, np.float32)})
    found = verify(own, code=4)
    assert why in " ".join(text for verdict, text, *_ in found.values() if verdict == "FAILED")


@pytest.mark.parametrize("kind", ["rows", "board"])
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda column: column[1:], "P@1: not 60 finite numbers"),
        (lambda column: np.stack([column, column]), "P@1: not 60 finite numbers"),
        (lambda column: np.where(np.arange(60) == 7, np.nan, column), "P@1: not 60 finite numbers"),
        (lambda column: column.astype("U3"), "P@1: not 60 finite numbers"),
        (lambda column: column + 0j, "P@1: not 60 finite numbers"),
    ],
)
def test_rows_that_do_not_fit(own: Store, kind: Kind, spoil: Callable[[Any], Any], why: str) -> None:
    arrays = read_npz(path_of(own, kind))
    replace(own, kind, {**arrays, "P@1": spoil(arrays["P@1"])})
    found = verify(own, code=4)
    assert found[kind][0] == "FAILED"
    assert why in found[kind][1]


@pytest.mark.parametrize("kind", ["rows", "board"])
def test_rows_that_give_another_value(own: Store, kind: Kind) -> None:
    arrays = read_npz(path_of(own, kind))
    replace(own, kind, {**arrays, "P@1": 1 - arrays["P@1"]})
    found = verify(own, code=3)
    assert found[kind][0] == "FAILED"
    assert "P@1 is 0." in found[kind][1]


@pytest.mark.parametrize("kept", ["all", "slim"])
def test_a_value_that_was_changed_on_record_is_a_score_that_does_not_hold(own: Store, kept: str) -> None:
    metrics = entries(own)
    entry = next(entry for entry in metrics if entry["name"] == "PSP@5")
    entry["value"] = (entry["value"] + entry["high"]) / 2
    change(own, metrics=metrics)
    if kept == "slim":
        slim(own)
    found = verify(own, code=3)
    failed = {what for what, state in states(found).items() if state == "FAILED"}
    assert failed == ({"board"} if kept == "slim" else {"rows", "board", "scores"})


def test_rows_of_the_right_mean_that_are_not_the_predictions(own: Store) -> None:
    """Turned round they give the value on record, and other p-values."""
    arrays = read_npz(path_of(own, "rows"))
    replace(own, "rows", {**arrays, "P@1": arrays["P@1"][::-1], "near": np.zeros(60, np.int32)})
    found = verify(own, code=4)
    assert (found["rows"][0], found["scores"][0]) == ("ok", "FAILED")
    assert found["scores"][1] == "stored rows are not those of the predictions: P@1, near"


def test_other_definitions_are_not_judged(own: Store) -> None:
    metrics = entries(own)
    metrics[0]["version"] = 99
    change(own, metrics=metrics)
    found = verify(own)
    assert found["scores"][0] == "ok"
    assert "P@1 (other metric definition)" in found["scores"][1]
    change(own, metrics=entries(own, version=99))
    assert verify(own)["scores"][0] == "not checked"


def test_data_of_other_content_or_none(own: Store) -> None:
    dataset = only(own).raw["dataset"]
    change(own, dataset={**dataset, "content_hash": "sha256:0"})
    found = verify(own, code=4)
    assert found["data set"][0] == "FAILED"
    assert "the content here differs" in found["data set"][1]
    assert found["scores"] == ("not checked", "no data set")
    change(own, dataset={**dataset, "name": "nobody-has-it"})
    found = verify(own)
    assert found["data set"][0] == "not checked"
    assert "nobody-has-it" in found["data set"][1]
    change(own, dataset={key: value for key, value in dataset.items() if key != "view"})
    assert "dataset: missing view" in verify(own, code=4)["record"][1]


def test_a_damaged_data_set_is_parsed_again_before_scores_are_checked(
    own: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the list of verified files says that it is whole."""
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    load(SMALL)
    (folder,) = (path for path in (tmp_path / "home" / "parsed" / SMALL).iterdir() if path.is_dir())
    flip(folder / "test.labels.indices.npy")
    stamps = {path.stem: stamp_of(path.stat()) for path in folder.glob("*.npy")}
    meta = json.loads((folder / arrays.META).read_text())["check"]
    (folder / arrays.VERIFIED).write_text(json.dumps({"meta": meta, "files": stamps}))
    with pytest.warns(UserWarning, match="test.labels.indices.npy: changed"):
        assert states(verify(own))["scores"] == "ok"


def test_text_from_a_record_can_not_steer_a_terminal(own: Store) -> None:
    change(own, dataset={**only(own).raw["dataset"], "name": "\x1b[2Jx"})
    assert "\x1b" not in invoke(own.folder).stdout


def test_a_run_that_failed_has_no_scores(own: Store) -> None:
    run_id = change(own, status="error", metrics=[], predictions=None, rows=None, board=None)
    found = verify(own, run_id, "--rerun")
    assert states(found).pop("record") == "ok"
    assert found["rows"] == ("not checked", "the record has none")
    assert found["re-run"] == ("not checked", "status error: there are no scores")


def test_a_second_run_repeats_the_first(own: Store, tmp_path: Path) -> None:
    slim(own)
    result = invoke(own.folder, "popularity", "--rerun", "--into", str(tmp_path / "again"), "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert {v["verdict"] for v in said["rerun"]} == {"OK"}
    (again,) = Store(tmp_path / "again").records()
    first = only(own)
    same = ("spec_hash", "k", "seed", "dataset")
    assert [getattr(again, name) for name in same] == [getattr(first, name) for name in same]
    assert [m.value for m in again.metrics] == [m.value for m in first.metrics]
    shown = invoke(own.folder, "popularity", "--rerun").stdout
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("P@")] == ["OK"] * shown.count("\nP@")
    assert len(own.records()) == 1


def test_a_method_that_got_worse_is_caught(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Popularity.predict

    def broken(self: Any, inputs: Any, k: int, ctx: Any) -> TopK:
        topk = usual(self, inputs, k, ctx)
        return TopK.from_arrays(topk.ids[:, ::-1], topk.scores)

    monkeypatch.setattr(Popularity, "predict", broken)
    found = verify(own, "popularity", "--rerun", code=3)
    assert found["scores"][0] == "ok"
    assert found["re-run"][0] == "FAILED"
    assert "worse in P@1" in found["re-run"][1]
    assert "processes" not in found["re-run"][1]


def test_a_record_of_several_processes_is_said_to_be_one(own: Store) -> None:
    (record,) = own.records()
    metrics = [msgspec.structs.replace(metric, value=0.0) for metric in record.metrics]
    record = msgspec.structs.replace(record, notes={**record.notes, "processes": {"count": 3}})
    check, _ = check_rerun(record, msgspec.structs.replace(record, metrics=metrics), [])
    assert check.why.endswith("; the record is of 3 processes, and one rounds sums in another order")


def test_a_second_run_that_fails(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, train: Any, ctx: Any) -> None:
        raise ValueError("it broke")

    monkeypatch.setattr(Popularity, "fit", broken)
    found = verify(own, "popularity", "--rerun", code=3)
    assert found["re-run"] == ("FAILED", "status error: ValueError: it broke")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"family": "external"}, "predictions computed by their author"),
        ({"name": "nobody", "label": "nobody"}, "unknown method 'nobody'"),
        ({"version": "0"}, "on record"),
        ({"parameters": {"wonder": 1}}, "this version does not accept the parameters on record"),
    ],
)
def test_what_nobody_can_run_again(own: Store, changes: dict[str, Any], why: str) -> None:
    run_id = change(own, method={**only(own).raw["method"], **changes})
    found = verify(own, run_id, "--rerun")
    assert found["re-run"][0] == "not checked"
    assert why in found["re-run"][1]
    assert found["scores"][0] == "ok"


def test_a_class_in_a_file_is_not_run_and_no_command_of_its_record_is_shown(own: Store) -> None:
    code = {**only(own).raw["code"], "method": {"target": "mine.py", "sha256": "0"}}
    change(own, code=code, command="rm -rf mine")
    found = verify(own, "popularity", "--rerun")
    assert "a class in a file" in found["re-run"][1]
    assert "xmcbench run path/to/file.py:Class" in found["re-run"][1]
    assert "rm" not in found["re-run"][1].split()


@pytest.mark.parametrize("named", ["name", "label"])
def test_a_record_makes_nobody_run_a_file(own: Store, tmp_path: Path, named: str) -> None:
    ran = tmp_path / "ran"
    file = tmp_path / "evil.py"
    file.write_text(f"from pathlib import Path\nPath({str(ran)!r}).touch()\nclass Evil: pass\n")
    run_id = change(own, method={**only(own).raw["method"], named: f"{file}:Evil"})
    found = verify(own, run_id, "--rerun")
    if named == "name":
        assert found["re-run"][0] == "not checked"
        assert "a class in a file\n  Read the file, then run it yourself: " in found["re-run"][1]
    assert expected_of([only(own)])[0] == []
    assert not ran.exists()


def test_a_data_error_names_what_is_wrong(own: Store) -> None:
    slim(own)
    path_of(own, "board").unlink()
    result = invoke(own.folder)
    assert isinstance(result.exception, DataError)
    assert "changed or missing: board" in str(result.exception)
