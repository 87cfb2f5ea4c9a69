"""Imported data sets in every command that names data sets: as those of the catalogue, and no two revisions mixed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.cli.doctor import _imports
from xmcbench.data.home import imported
from xmcbench.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def home_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def call(*words: object, answer: str | None = None) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], input=answer)


def shown(*words: object) -> str:
    result = call(*words)
    assert result.exit_code == 0, f"{result.output}{result.exception}"
    return str(result.output)


def make(labels: str = "ab", *words: str) -> str:
    rows = [{"text": f"text {i} {labels[i % 2]}", "labels": [labels[i % 2]]} for i in range(40)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return shown("data", "import", "--name", "mine", "--texts", "rows.jsonl", "--test-texts", "rows.jsonl", *words)


def revision() -> str:
    return str(json.loads((imported() / "mine" / "meta.json").read_text())["revision"])


def test_commands_take_an_import_like_a_data_set_of_the_catalogue() -> None:
    make()
    folder = str(imported() / "mine")
    assert f"needs no download: it is imported  {folder}" in shown("data", "fetch", "mine")
    assert "unknown view of mine 'title'" in str(call("data", "fetch", "mine", "--view", "title").exception)
    assert f"as imported, revision {revision()}" in shown("data", "verify", "mine")
    assert "mine" in [report["dataset"] for report in json.loads(shown("data", "verify", "--json"))["datasets"]]
    where = shown("data", "where", "Mine")
    assert folder in where
    assert "X.trn.jsonl" in where
    found = json.loads(shown("data", "where", "--json"))
    assert (found["complete"]["mine"], found["parsed"]["mine"]) == (True, False)
    assert "output-items.jsonl" in {file["file"] for file in found["files"] if file["dataset"] == "mine"}
    assert "% mine: imported from your files" in shown("cite", "mine", "eurlex-4k")
    assert json.loads(shown("info", "mine", "--json"))[0]["revision"] == revision()
    (row,) = [row for row in json.loads(shown("ls", "datasets", "--json")) if row["name"] == "mine"]
    assert (row["train"], row["test"], row["labels"], row["views"]) == (40, 40, 2, ["bow", "text"])
    assert "nothing to remove" in shown("data", "clean", "mine")
    assert [(check.name, check.ok) for check in _imports()] == [("data set mine", True)]
    misspelt = call("data", "where", "mime")
    assert "Did you mean 'mine'" in str(misspelt.exception)


def test_labels_are_listed_with_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("trn.csv").write_text("text,labels\none,a|b\ntwo,b\nthree,c\nfour,b|c\n")
    Path("tst.csv").write_text("text,labels\nfive,b\nsix,d|a\n")
    files = ["--texts", "trn.csv", "--test-texts", "tst.csv"]
    told = shown("data", "import", "--name", "few", *files)
    assert "kept: 1 label of test rows alone" in told
    listed = json.loads(call("data", "stats", "few", "--labels", "--json").stdout)
    assert [(one["name"], one["train_rows"], one["test_rows"]) for one in listed] == [
        ("b", 3, 1),
        ("c", 2, 0),
        ("a", 1, 1),
        ("d", 0, 1),
    ]
    assert [one["label"] for one in listed] == [1, 2, 0, 3]
    monkeypatch.setattr("xmcbench.cli.data.AT_AN_END", 1)
    lines = [line.split() for line in call("data", "stats", "few", "--labels").stdout.splitlines()]
    assert lines[1] == ["1", "3", "1", "b"]
    assert " ".join(lines[2]) == "… (2 labels left out; --json has all)"
    assert lines[3:] == [["3", "0", "1", "d"]]


def test_listed_labels_have_their_short_names() -> None:
    Path("trn.csv").write_text("text,labels\none,R05|R06\ntwo,R05\n")
    Path("names.txt").write_text("R05\tCough\nR06\tBreathing\n")
    files = ["--texts", "trn.csv", "--test-texts", "trn.csv", "--label-texts", "names.txt"]
    told = call("data", "import", "--name", "few", *files)
    assert told.exception is None, told.exception
    listed = json.loads(call("data", "stats", "few", "--labels", "--json").stdout)
    assert [one["name"] for one in listed] == ["R05 · Cough", "R06 · Breathing"]


def test_a_damaged_import_is_reported_and_stops_no_other_command() -> None:
    make()
    path = imported() / "mine" / "Y.trn.npz"
    path.write_bytes(path.read_bytes()[:-1])
    result = call("data", "verify", "mine")
    assert isinstance(result.exception, DataError)
    assert "Y.trn.npz: changed after the import" in str(result.exception)
    assert "mine: DAMAGED" in result.output
    assert [check.ok for check in _imports()] == [False]
    for words in (["data", "fetch", "mine"], ["data", "stats", "mine"], ["run", "popularity", "--dataset", "mine"]):
        assert "Y.trn.npz: changed after the import" in str(call(*words).exception)
    (imported() / "mine" / "meta.json").write_text("{")
    assert "damaged" in shown("ls", "datasets")
    assert "damaged" in shown("data", "where")
    assert not json.loads(shown("data", "where", "--json"))["complete"]["mine"]
    assert "meta.json: damaged" in _imports()[0].detail
    assert "meta.json: damaged" in str(call("data", "verify").exception)
    assert json.loads(call("data", "verify", "mine", "--json").output)["problems"]
    assert "removed mine" in shown("data", "remove", "mine", "--yes")


def test_an_import_with_the_name_of_a_method_hides_nothing() -> None:
    make()
    rows = ["--texts", "rows.jsonl"]
    shown("data", "import", "--name", "tree", *rows)
    assert [set(facts) & {"method", "dataset"} for facts in json.loads(shown("info", "tree", "--json"))] == [
        {"method"},
        {"dataset"},
    ]


def test_runs_of_an_earlier_revision_stay_apart() -> None:
    make()
    first = revision()
    run = ["run", "popularity", "--dataset", "mine", "--threads", "1"]
    shown(*run)
    assert "imported again" not in shown("ls", "runs")
    said = make("ac", "--replace")
    assert f"revision {first} → {revision()}; earlier runs, models and predictions belong to" in said
    assert "1 label added: 'c'" in said
    (old,) = json.loads(shown("ls", "runs", "--json"))
    assert old["dataset"] == "mine (bow), imported again since"
    assert old["revision"] == first
    verified = call("verify", old["name"])
    assert isinstance(verified.exception, DataError)
    assert f"revision {revision()} here, {first} on record" in " ".join(verified.output.split())
    predictions = Path("results/predictions") / f"{old['name']}.npz"
    scored = call("score", predictions, "--dataset", "mine", "--metrics", "P@1")
    assert isinstance(scored.exception, DataError)
    assert f"on mine, revision {first}; mine here has revision {revision()}" in str(scored.exception)
    assert "1 record on mine (bow) with other content: they stay apart" in shown(*run)
    new = next(row for row in json.loads(shown("ls", "runs", "--json")) if row["revision"] == revision())
    shown("score", Path("results/predictions") / f"{new['name']}.npz", "--dataset", "mine", "--metrics", "P@1")
    compared = shown("compare", old["name"], new["name"])
    assert f"note: A is on revision {first} of mine, which was imported again since: now {revision()}" in compared
    assert "other data" in compared


def test_names_mean_runs_on_the_present_revision() -> None:
    """After an import of v1, v2 and v1 again, the newest runs are on v2, and names mean those on v1."""
    run = ["run", "popularity", "--dataset", "mine", "--threads", "1"]
    for labels in ("ab", "ac"):
        make(labels, "--replace")
        shown(*run)
        time.sleep(1)  # run ids sort by second
    make("ab", "--replace")
    rows = json.loads(shown("ls", "runs", "--json"))
    (present,) = [row["name"] for row in rows if row["revision"] == revision()]
    (other,) = [row["name"] for row in rows if row["revision"] != revision()]
    assert other > present
    assert present in shown("verify", "popularity")
    for words in ([], ["--dataset", "mine"]):
        compared = shown("compare", "popularity", "popularity", *words)
        assert present in compared
        assert "imported again since" not in compared


def test_remove_asks_and_says_which_records_stay() -> None:
    make()
    shown("run", "popularity", "--dataset", "mine", "--threads", "1")
    unanswered = call("data", "remove", "mine").exception  # as in a script
    assert isinstance(unanswered, UsageError)
    assert "--yes" in unanswered.hint
    refused = call("data", "remove", "mine", answer="n\n")
    assert isinstance(refused.exception, UsageError)
    assert "1 record of runs on mine in results will stay: popularity" in refused.output
    assert imported().joinpath("mine").is_dir()
    assert "removed mine" in call("data", "remove", "Mine", answer="y\n").output
    assert not imported().joinpath("mine").exists()
    assert len(json.loads(shown("ls", "runs", "--json"))) == 1
    for name in ("eurlex-4k", "Wiki10", "synthetic[rows=10]"):
        assert "is a data set of the catalogue" in str(call("data", "remove", name, "--yes").exception)
    assert "unknown imported data set" in str(call("data", "remove", "../x", "--yes").exception)
