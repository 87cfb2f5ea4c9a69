"""`xmcbench run` where options, data sets, files of methods or finished runs are at fault: in process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from xmcbench.cli.app import app
from xmcbench.data import loading
from xmcbench.errors import UsageError, XmcError
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs import registry

DATA = "synthetic[labels=30,rows=200,test=20]"
OTHER = "synthetic[labels=30,rows=200,test=21]"

GOOD = """
import numpy as np
from xmcbench import MethodInfo, TopK

class Mine:
    info = MethodInfo("mine", "for tests", "floor", "1")
    def __init__(self, params): pass
    def skip(self, data, machine): return None
    def fit(self, train, ctx): pass
    def predict(self, inputs, k, ctx):
        return TopK.from_arrays(np.zeros((inputs.n_rows, 1), np.int32), np.zeros((inputs.n_rows, 1)), k)
    def save(self, folder): pass
    def load(self, folder): pass
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def invoke(*words: str, data: tuple[str, ...] = (DATA,), results: str = "out") -> Result:
    options = [word for name in data for word in ("--dataset", name)]
    result = CliRunner().invoke(app, ["run", *words, *options, "--threads", "1", "--results", results])
    assert result.exception is None or isinstance(result.exception, SystemExit | XmcError), result.exception
    assert "Traceback" not in result.output
    return result


def records(folder: str = "out") -> dict[str, Record]:
    damaged: list[str] = []
    found = Store(Path(folder)).records(damaged)
    assert damaged == []
    return {f"{record.method.name}, {record.dataset.n_test}": record for record in found}


@pytest.mark.parametrize(
    "words",
    [
        *(("--time-limit", text) for text in ("nan", "inf", "1e309", "-inf", "0", "1e300")),
        *(("--seeds", text) for text in (str(2**63), "9" * 5000, "-1", "0,1.5", "")),
        *(("--k", text) for text in (str(2**63), str(2**31), "0", "9" * 5000)),
        *(("--threads", text) for text in (str(2**31), "-1")),
        ("--metrics", "P@" + "9" * 30),
    ],
)
def test_options_are_refused_before_anything_runs(words: tuple[str, str]) -> None:
    options = [] if words[0] == "--threads" else ["--threads", "1"]
    result = CliRunner().invoke(app, ["run", "popularity", "--dataset", DATA, *words, *options, "--results", "out"])
    assert result.exit_code == 2 or isinstance(result.exception, UsageError), result.exception
    assert words[0].strip("-").rstrip("s") in result.output + str(result.exception)
    assert not Path("out").exists()


@pytest.mark.parametrize("words", [("--seeds", str(2**63 - 1)), ("--k", str(2**31 - 1)), ("--time-limit", "1e9")])
def test_the_largest_values_are_on_record(words: tuple[str, str]) -> None:
    assert invoke("popularity", *words).exit_code == 0
    assert {record.status for record in records().values()} == {"ok"}


def test_a_results_folder_whose_name_is_no_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.fsdecode(b"r\xff")
    monkeypatch.setattr("sys.argv", ["xmcbench", "run", "popularity", "--results", folder])
    assert invoke("popularity", results=folder).exit_code == 0
    (record,) = records(folder).values()
    assert "\\udcff" in record.command


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise RuntimeError('no import')", "RuntimeError: no import"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("class E(BaseException):\n    def __str__(self): 1 / 0\nraise E", "its __str__ fails"),
        ("def f(:", "SyntaxError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("raise ValueError('\\ud800')", "\\ud800"),
        ("Mine = 3", "not a method class"),
        ("class M(type):\n    info = property(lambda self: 1 / 0)\nclass Mine(metaclass=M): pass", "ZeroDivisionError"),
        ("class Mine:\n    pass", "it lacks info, skip"),
        ("\x00", "null bytes"),
    ],
)
def test_a_file_that_cannot_be_imported_fails_its_run_only(code: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(code)
    result = invoke("popularity", "mine.py:Mine", "--seeds", "0,1")
    assert result.exit_code == 1
    found = records()
    assert {name: record.status for name, record in found.items()} == {
        "mine.py:Mine, 20": "error",
        "popularity, 20": "ok",
    }
    assert said in (found["mine.py:Mine, 20"].reason or "")
    assert said in result.output


def test_a_wrong_name_or_value_is_still_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    for words in (["mine.py:Min"], ["none.py:Mine"], ["mine.py:Mine[x=1]"], ["popularit"], ["tree[beam=0]"]):
        assert isinstance(invoke("popularity", *words).exception, UsageError), words
    assert not Path("out").exists()


def test_a_broken_installed_plugin_breaks_neither_lists_nor_runs(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(site.folder))
    site.add("one", "broken_at_import", "raise SystemExit(0)", {"broken": "broken_at_import:Broken"})
    site.add(
        "two", "no_module", "", {"empty": "", "odd": "a b c", "no/name": "no_module:X", "popularity": "no_module:X"}
    )
    (site.folder / "two-1.0.dist-info" / "METADATA").unlink()
    (site.folder / "three-1.0.dist-info").mkdir()
    (site.folder / "three-1.0.dist-info" / "entry_points.txt").write_bytes(b"[xmcbench.methods]\n\xff = x:y\n")
    registry.sources.cache_clear()
    try:
        for words in (["ls", "methods"], ["ls"], ["ls", "methods", "--json"]):
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, result.exception
            assert "broken" in result.output
        assert invoke("popularity").exit_code == 0
        result = invoke("broken", "odd", "popularity")
    finally:
        registry.sources.cache_clear()
    assert result.exit_code == 1
    found = {name: record.status for name, record in records().items()}
    assert found == {"broken, 20": "error", "odd, 20": "error", "popularity, 20": "ok"}


@pytest.mark.parametrize(
    "error", [XmcError("lost", "Get it."), OSError(5, "damaged"), ValueError("a bug"), MemoryError()]
)
def test_a_data_set_that_cannot_be_loaded_fails_its_runs_only(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = loading.load

    def broken(name: str, *words: Any, **options: Any) -> Any:
        if "test=21" in name:
            raise error
        return load(name, *words, **options)

    monkeypatch.setattr("xmcbench.data.loading.load", broken)
    for data in ((DATA, OTHER), (OTHER, DATA)):
        result = invoke("popularity", data=data)
        assert result.exit_code == 1
        assert "test=21,labels=30] can't be loaded, 1 run left out: " in result.output
    assert list(records()) == ["popularity, 20"]
    result = invoke("popularity", data=(OTHER,))
    assert result.exit_code != 0
    assert isinstance(result.exception, XmcError)


def test_a_file_of_a_method_that_changes_or_goes_while_it_runs(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD.replace("def save(self, folder): pass", REMOVES))
    assert invoke("mine.py:Mine").exit_code == 0
    assert records()["mine, 20"].code.method.sha256


REMOVES = "def save(self, folder): __import__('os').remove(__file__)"


def test_lost_predictions_of_a_finished_run_stop_no_other_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD)
    assert invoke("mine.py:Mine").exit_code == 0
    for path in Path("out/predictions").glob("*mine*"):
        path.unlink()
    result = invoke("mine.py:Mine", "--metrics", "R@7")
    assert result.exit_code == 1
    assert "mine on synthetic[rows=200,test=20,labels=30], no record: " in result.output
    assert "--again" in result.output
    assert [r.method.name for r in Store(Path("out")).records() if r.metric("R@7") is not None] == ["popularity"]


@pytest.mark.parametrize(("metrics", "said"), [("P@1:nowhere", "slice"), ("P@1,PSP@3:nowhere", "nowhere")])
def test_a_metric_that_is_undefined_there_fails_before_the_fit(metrics: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        GOOD.replace("def fit(self, train, ctx): pass", "def fit(self, train, ctx): 1 / 0")
    )
    assert invoke("mine.py:Mine", "--metrics", metrics).exit_code == 1
    for record in records().values():
        assert record.status == "error"
        assert said in (record.reason or "")


def test_what_a_method_prints_is_not_among_the_json(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("print('at import')\n" + GOOD.replace("ctx): pass", "ctx): print('in fit')"))
    result = invoke("mine.py:Mine", "--json")
    assert [json.loads(line)["method"]["name"] for line in result.stdout.splitlines()] == ["mine", "popularity"]
    assert "at import\n" in result.stderr
    assert "in fit\n" in result.stderr
