"""Records keep what they say; what breaks an identity is never written; what is let through trips no reader."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from tests.minimal import minimal, minimal_raw
from xmcbench.board.build import make
from xmcbench.cli.app import app
from xmcbench.errors import DataError, XmcError
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Store

SMALL = "synthetic[rows=300,test=60,labels=60]"
WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, 2.5, 1e308, 10**30, float("inf")),
    *("", "x", "../x", "\x1b[2J\0", "half of a pair: \ud800"),
    *([], [7], ["x"], {}, {"x": 7}, {"file": "rows/x.npz", "sha256": "0"}),
)
TRIED, READ = 500, 8  # mutants drawn by a fixed seed, and those let through that every verb reads: all take minutes


def record(**changes: Any) -> Record:
    """Of schema 1, which has no seal: what is written is what reads back."""
    metrics = [{"name": name, "value": 0.5, "best": 1.0, "version": 1} for name in ("P@1", "nDCG@1")]
    return minimal(**{"schema": 1, "metrics": metrics, **changes})


def metric(name: str, value: float | None, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "version": 1, **more}


def tuning(score: float | None, **chosen: Any) -> dict[str, Any]:
    return {"grid": {n: [v] for n, v in chosen.items()}, "trials": [{"parameters": {}, "score": score, "reason": None}]}


METRIC = metric("P@1", 0.5)


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    assert record_file.write(tmp_path / "r.json", record()) == record()
    assert record_file.read(tmp_path / "r.json") == record()
    assert record().metric("P@1") == 0.5
    assert record().metric("P@3") is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": [metric("P@1", 0.5), metric("nDCG@1", 0.4)]}, "P@1"),
        ({"metrics": [metric("P@1", 1.5)]}, "P@1"),
        ({"metrics": [metric("R@10", 0.5), metric("R@100", 0.4)]}, "R@100"),
        ({"metrics": [metric("P@1", 0.5), metric("P@1", 0.9)]}, "'P@1' occurs twice"),
        ({"metrics": [metric("Wonder@5", 0.5)]}, "unknown metric 'Wonder'"),
        ({"metrics": [metric("p@1", 0.5)]}, "metric 'p@1' must be written 'P@1'"),
        ({"metrics": [metric("P@1", 0.5, best=0.4)]}, "above the best reachable 0.4"),
        ({"metrics": [metric("P@1", 0.5, low=0.51, high=0.6)]}, "P@1 = 0.5 is outside of its interval, 0.51 to 0.6"),
        ({"metrics": [metric("P@1", 0.5, low=0.4, high=0.49)]}, "outside of its interval"),
        ({"metrics": [metric("P@1", 0.5, low=0.5000001, high=0.4999999)]}, "outside of its interval"),
        ({"metrics": []}, "no metrics"),
        ({"status": "fine"}, "status: .* 'fine'"),
        ({"board": {"file": "b", "sha256": "0", "data": "d", "data_sha256": "0"}}, "schema 1 has no board"),
        ({"seal": "0"}, "schema 1 has no seal"),
        ({"selection": {"rows": 9, "tuning": tuning(0.5, cost=1.0)}}, "no score of the chosen parameters"),
        ({"selection": {"rows": 9, "tuning": tuning(None)}}, "no score of the chosen parameters"),
        ({"selection": {"tuning": tuning(0.5)}}, "selection.rows is null"),
    ],
)
def test_a_record_that_breaks_an_identity_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        record_file.write(tmp_path / "r.json", record(**changes))
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a readable record"),
        ("[]", "no schema"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1, "run_id": "r"}', "missing spec_hash"),
    ],
)
def test_damaged_and_newer_files_say_what_they_are(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=said):
        record_file.read(tmp_path / "r.json")


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nan is no finite number"):
        record_file.write(tmp_path / "r.json", record_file.changed(record(), notes={"x": [float("nan")]}))
    assert list(tmp_path.iterdir()) == []
    assert json.dumps(record().raw)


def test_a_rounding_beside_an_interval_and_what_has_none_are_fine() -> None:
    entries = [metric("P@1", 0.3, low=0.30000001, high=0.30000001), metric("P@5", None, low=0.1, high=0.2)]
    tuned = {"rows": 9, "tuning": tuning(0.5)}
    record_file.check(record(metrics=[*entries, metric("R@10", 0.3, low=None, high=None)], selection=tuned))


def test_what_is_changed_is_changed_whole_and_all_else_stays() -> None:
    old = record(notes={"a": 1}, wonder={"x": [1]}, method={**record().raw["method"], "parameters": {"beam": 5}})
    new = record_file.changed(old, notes={"b": (2,)}, method=msgspec.structs.replace(old.method, parameters={"k": 1}))
    assert (new.notes, new.method.parameters) == ({"b": [2]}, {"k": 1})
    assert {**new.raw, "notes": old.notes, "method": old.raw["method"]} == old.raw


def test_a_record_changed_by_hand_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    notes = {9: "int for a key", 10: (1, 2)}
    written = record_file.write(path, record_file.changed(record(schema=2, seal=None), notes=notes))
    assert record_file.read(path) == written
    assert written.notes == {"9": "int for a key", "10": [1, 2]}
    text = path.read_text()
    path.write_text(text.replace('"run_id": "r"', '"run_id": "s"'))
    with pytest.raises(DataError, match="changed after it was written"):
        record_file.read(path)
    path.write_text(text.replace("0.5", "0.6"))
    with pytest.raises(DataError, match="seal"):
        record_file.read(path)
    path.write_text(json.dumps(json.loads(text)))  # other spaces are no change
    assert record_file.read(path).run_id == "r"


@pytest.mark.parametrize("schema", ["0", "-1", "true", '"2"', "null"])
def test_a_schema_that_is_none_is_refused(tmp_path: Path, schema: str) -> None:
    (tmp_path / "r.json").write_text('{"schema": ' + schema + "}")
    with pytest.raises(DataError, match="no schema"):
        record_file.read(tmp_path / "r.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A results folder with popularity and tree; tests don't write there."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        words = ["run", "popularity", "tree", "--dataset", SMALL, "--threads", "1", "--results", str(folder / "out")]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        yield folder / "out"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place below a value; of a list the first two items."""
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places(part, (*path, key))


def mutants(record: Record) -> Iterator[tuple[str, str]]:
    """(what was done, text of the record's file) with a seal that fits, wherever it can have one."""
    every = [(path, wrong) for path in places(record.raw) for wrong in (*WRONG, KeyError)]
    for path, wrong in random.Random(0).sample(every, TRIED):
        new = copy.deepcopy(record.raw)
        holder = new
        for key in path[:-1]:
            holder = holder[key]
        if wrong is KeyError:
            del holder[path[-1]]
        else:
            holder[path[-1]] = wrong
        if path != ("seal",):
            with contextlib.suppress(ValueError):  # infinite: no seal fits
                new["seal"] = record_file.seal_of(new)
        yield f"{'.'.join(map(str, path))} = {wrong!r}", json.dumps(new).replace("Infinity", "1e400")


def test_no_reader_trips_over_what_the_form_lets_through(made: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(made, tmp_path / "own"))
    store = Store(own)
    path = next(path for path in store.paths() if "tree" in path.name)
    let_through, refused = [], 0
    for done, text in mutants(record_file.read(path)):
        try:
            record_file.parse(text.encode(), done)
            let_through.append((done, text))
        except DataError:
            refused += 1
    assert refused > TRIED / 4
    assert len(let_through) > READ
    for i, (done, text) in enumerate(let_through[:READ]):
        path.write_text(text)
        broken: list[str] = []
        assert len(store.records(broken)) + len(broken) == 2, done
        into = str(tmp_path / f"into{i}")
        for words in (
            ["compare", "popularity", "tree", "--results", str(own), "--samples", "100"],
            ["ls", "runs", "--results", str(own)],
            ["merge", str(own), "--into", into],
            ["verify", path.stem, "--results", str(own), "--offline"],
        ):
            error = CliRunner().invoke(app, words).exception
            assert error is None or isinstance(error, XmcError | SystemExit), f"{done}: {words[0]}: {error!r}"
        with contextlib.suppress(XmcError):
            make(own)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": {}}, "dataset: missing name"),
        ({"method": 5}, "method: expected object, got int"),
        ({"method": {"name": "m"}}, "method: missing label"),
        ({"dataset": {**minimal_raw()["dataset"], "n_train": None}}, "dataset.n_train: expected int, got null"),
        ({"costs": []}, "costs: expected object, got array"),
        ({"code": None}, "code: expected object, got null"),
        ({"seed": []}, r"seed: expected int \| null, got array"),
        ({"seed": True}, r"seed: expected int \| null, got bool"),
        ({"seed": 2**63}, "seed: expected int <= 9223372036854775807"),
        ({"supersedes": {}}, r"supersedes: expected str \| null, got object"),
        ({"predictions": "x"}, r"predictions: expected object \| null, got str"),
        ({"rows": {"file": "rows/x.npz"}}, "rows: missing sha256"),
        ({"metrics": "P@1"}, "metrics: expected array, got str"),
        ({"metrics": [METRIC, 7]}, r"metrics\[1\]: expected object, got int"),
        ({"metrics": [{"name": "P@1"}]}, r"metrics\[0\]: missing value"),
        ({"metrics": [{**METRIC, "value": "0.5"}]}, r"metrics\[0\].value: expected int \| float \| null, got str"),
        ({"metrics": [{**METRIC, "version": "x"}]}, r"metrics\[0\].version: expected int, got str"),
        ({"environment": {"machine_class": "x"}}, "environment.machine_class: expected object, got str"),
        ({"started_utc": None}, "started_utc: expected str, got null"),
        ({"started_utc": "2026-11-26"}, "'2026-11-26', not a time with an offset"),
        ({"started_utc": "2026-11-26T04:26:17"}, "not a time with an offset"),
        ({"notes": {"remarks": ["x", 7]}}, r"notes.remarks\[1\]: expected str, got int"),
        (
            {"dataset": {**minimal_raw()["dataset"], "extra": {"best_reachable": 7}}},
            "dataset.extra.best_reachable: expected object, got int",
        ),
        ({"notes": {"a": [{"b": "\ud800"}]}}, r"'\\ud800' is no Unicode text"),
        ({"notes": {"\ud800": 1}}, "no Unicode text"),
        ({"notes": {"a": (1, float("-inf"))}}, "-inf is no finite number"),
        ({"notes": {"a": 10**301}}, "a whole number of more than 300 digits"),
    ],
)
def test_what_is_not_of_the_form_is_said_with_its_place(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        minimal(**changes)


def test_a_record_that_is_nested_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    text = json.dumps(minimal_raw(notes={"a": deep}))
    with pytest.raises(DataError, match="more than 60 deep"):
        record_file.parse(text.encode(), "r")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("xmcbench run --results /tmp/a/results 'tree[trees=1|3]'", "xmcbench run --results results 'tree[trees=1|3]'"),
        ("xmcbench run --results=/tmp/results tree", "xmcbench run --results=results tree"),
        ("xmcbench run --method ~/x/file.py:Class", "xmcbench run --method file.py:Class"),
        (r"xmcbench run --results 'C:\Users\x\results'", "xmcbench run --results results"),
        ("xmcbench run --results here/results tree", "xmcbench run --results here/results tree"),
        ("a quote that doesn't close: /tmp", "a quote that doesn't close: /tmp"),
    ],
)
def test_a_command_is_read_without_folders_and_its_file_stays_as_sealed(tmp_path: Path, typed: str, shown: str) -> None:
    path = tmp_path / "r.json"
    record = record_file.write(path, minimal(command=typed))
    assert (record.command, record.raw["command"]) == (shown, typed)
    assert record_file.read(path) == record
    assert record_file.changed(record, k=5).raw["command"] == typed


def test_no_committed_record_shows_a_folder_of_the_machine_that_made_it() -> None:
    paths = sorted((Path(__file__).parents[2] / "leaderboards").rglob("records/*.json"))
    assert paths
    commands = [record_file.without_folders(json.loads(path.read_text())["command"]) for path in paths]
    assert not [command for command in commands if " /" in command or "=/" in command]


@pytest.mark.parametrize(("days", "refused"), [(0.9, False), (1.1, True), (1500, True)])
def test_a_record_from_the_future_is_refused(days: float, refused: bool) -> None:
    started = (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")
    record = minimal(started_utc=started)
    with pytest.raises(DataError, match="in the future") if refused else contextlib.nullcontext():
        record_file.check(record)


def test_a_command_may_name_files_that_are_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["xmcbench", "run", "tree", "--results", "a\udcff"])
    assert record_file.command() == r"xmcbench run tree --results 'a\udcff'"
