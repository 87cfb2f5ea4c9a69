from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from xmcbench.cli import terminal
from xmcbench.cli.app import app
from xmcbench.data.catalogue import catalogue
from xmcbench.errors import UsageError
from xmcbench.metrics import describe
from xmcbench.runs import registry


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, ["ls", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_everything_in_short(tmp_path: Path) -> None:
    said = invoke("--results", str(tmp_path))
    for word in ("popularity", "eurlex-4k", "lf-wikiseealso-320k", "PSP@k", f"0 in {tmp_path}"):
        assert word in said


def test_methods_with_their_origin() -> None:
    found = json.loads(invoke("methods", "--json"))
    assert {row["name"] for row in found} == set(registry.sources())
    assert {"name": "popularity", "from": "xmcbench", "defined_in": "xmcbench.methods.popularity:Popularity"} in found


def test_data_sets_with_their_facts_and_those_a_user_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path))
    (tmp_path / "imported" / "my-own").mkdir(parents=True)
    found = {row["name"]: row for row in json.loads(invoke("datasets", "--json"))}
    assert set(found) == {*catalogue(), "my-own"}
    assert found["eurlex-4k"]["labels"] == 3993
    lines = invoke("datasets").splitlines()
    assert len(lines) == len(found) + 1
    assert next(line.split()[:4] for line in lines if line.startswith("eurlex-4k ")) == [
        *("eurlex-4k", "15,539", "3,809", "3,993")
    ]


def test_every_metric_definition_has_a_line() -> None:
    lines = invoke("metrics").splitlines()
    assert len(lines) == len(describe()) + 1
    assert any(line.startswith("PSP(norm=none)@k") for line in lines)


def test_runs_of_a_results_folder(tmp_path: Path) -> None:
    words = ["run", "popularity", "--dataset", "synthetic[labels=30,rows=200,test=40]", "--results", str(tmp_path)]
    assert CliRunner().invoke(app, words).exit_code == 0
    (run,) = json.loads(invoke("runs", "--results", str(tmp_path), "--json"))
    assert run["method"] == "popularity"
    assert run["status"] == "ok"
    assert 0 <= run["P@1"] <= 1
    assert run["model"] == ""
    assert CliRunner().invoke(app, [*words, "--keep-models"]).exit_code == 0
    models = {run["model"] for run in json.loads(invoke("runs", "--results", str(tmp_path), "--json"))}
    assert models == {"", "kept"}  # the run that was kept is a new one
    assert f" {100 * run['P@1']:.2f} " in invoke("runs", "--results", str(tmp_path))
    (tmp_path / "records" / "torn.json").write_text('{"schema": 1')
    result = CliRunner().invoke(app, ["ls", "runs", "--results", str(tmp_path)])
    assert run["name"] in result.stdout
    assert "torn.json" in result.stderr
    assert invoke("runs", "--results", str(tmp_path / "none")) == f"no runs in {tmp_path / 'none'}\n"


def test_a_narrow_terminal_gets_run_ids_that_compare_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "popularity", "--dataset", "synthetic[labels=30,rows=200,test=40]", "--results", str(tmp_path)]
    assert CliRunner().invoke(app, words).exit_code == 0
    monkeypatch.setattr(terminal, "make_console", lambda: Console(width=80))
    lines = invoke("runs", "--results", str(tmp_path)).splitlines()
    assert max(map(len, lines)) <= 80
    (run,) = json.loads(invoke("runs", "--results", str(tmp_path), "--json"))
    short = lines[1].split()[0]
    assert run["name"].endswith(short)
    result = CliRunner().invoke(app, ["compare", run["name"], short, "--results", str(tmp_path)])
    assert result.exit_code == 0, result.output


def test_an_unknown_kind() -> None:
    result = CliRunner().invoke(app, ["ls", "method"])
    assert isinstance(result.exception, UsageError)
    assert "Did you mean 'methods'" in str(result.exception)


def test_control_characters_in_metadata_are_blanked(site: Any) -> None:
    site.add("loud", "demo_loud", "", {"lo\x1b[31mud": "demo_loud:Demo"})
    said = site.xmcbench("ls", "methods").stdout
    assert "[31mud" in said
    assert "\x1b" not in said
