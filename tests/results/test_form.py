"""What the form lets through, no reader of records trips over: every place of a real record, with every wrong value."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.minimal import minimal
from xmcbench.board.build import make
from xmcbench.cli.app import app
from xmcbench.errors import DataError, XmcError
from xmcbench.results import record as records
from xmcbench.results.store import Store

SMALL = "synthetic[rows=300,test=60,labels=60]"
WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, 2.5, 1e308, 10**30, float("inf")),
    *("", "x", "../x", "\x1b[2J\0", "half of a pair: \ud800"),
    *([], [7], ["x"], {}, {"x": 7}, {"file": "rows/x.npz", "sha256": "0"}),
)
TRIED, READ = 500, 8  # mutants drawn by a fixed seed, and those let through that every verb reads: all take minutes


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


def mutants(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(what was done, text of the record's file) with a seal that fits, wherever it can have one."""
    every = [(path, wrong) for path in places(record) for wrong in (*WRONG, KeyError)]
    for path, wrong in random.Random(0).sample(every, TRIED):
        new = copy.deepcopy(record)
        holder = new
        for key in path[:-1]:
            holder = holder[key]
        if wrong is KeyError:
            del holder[path[-1]]
        else:
            holder[path[-1]] = wrong
        if path != ("seal",):
            with contextlib.suppress(ValueError):  # infinite: no seal fits
                new["seal"] = records.seal_of(new)
        yield f"{'.'.join(map(str, path))} = {wrong!r}", json.dumps(new).replace("Infinity", "1e400")


def test_no_reader_trips_over_what_the_form_lets_through(made: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(made, tmp_path / "own"))
    store = Store(own)
    path = next(path for path in store.paths() if "tree" in path.name)
    let_through, refused = [], 0
    for done, text in mutants(records.read(path)):
        try:
            records.parse(text.encode(), done)
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
        ({"dataset": {}}, "dataset.name is missing; dataset.view is missing; dataset.content_hash is missing"),
        ({"method": 5}, "method is 5, not an object"),
        ({"method": {"name": "m"}}, "method.label is missing; method.version is missing"),
        ({"dataset": {**minimal()["dataset"], "n_train": None}}, "dataset.n_train is None, not a count"),
        ({"costs": []}, "costs is a list, not an object"),
        ({"code": None}, "code is None, not an object"),
        ({"seed": []}, "seed is a list, not a whole number or null"),
        ({"seed": True}, "seed is True, not a whole number or null"),
        ({"seed": 2**63}, "seed is 9223372036854775808, not a whole number"),
        ({"supersedes": {}}, "supersedes is an object, not text or null"),
        ({"predictions": "x"}, "predictions is 'x', not an object or null"),
        ({"rows": {"file": "rows/x.npz"}}, "rows.sha256 is missing"),
        ({"metrics": "P@1"}, "metrics is 'P@1', not a list"),
        ({"metrics": [{"name": "P@1"}, 7]}, r"metrics\[1\] is 7, not an object; metrics\[0\].value is missing"),
        ({"metrics": [{"name": "P@1", "value": "0.5", "version": "x"}]}, "value is '0.5', not a number or null; .*'x'"),
        ({"environment": {"machine_class": "x"}}, "environment.machine_class is 'x', not an object"),
        ({"started_utc": None}, "started_utc is None, not a time"),
        ({"started_utc": "2026-11-26"}, "'2026-11-26', not a time with its offset"),
        ({"started_utc": "2026-11-26T04:26:17"}, "not a time with its offset"),
        ({"notes": {"a": [{"b": "\ud800"}]}}, r"'\\ud800' is no Unicode text"),
        ({"notes": {"\ud800": 1}}, "no Unicode text"),
        ({"notes": {"a": (1, float("-inf"))}}, "-inf is no finite number"),
        ({"notes": {"a": 10**301}}, "a whole number of more than 300 digits"),
    ],
)
def test_every_fault_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        records.check(minimal(**changes))


def test_a_record_that_is_nested_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    text = json.dumps(minimal(notes={"a": deep}))
    with pytest.raises(DataError, match="more than 60 deep"):
        records.parse(text.encode(), "r")
