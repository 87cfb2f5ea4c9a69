"""`xmcbench model` and the MODEL argument: what is named when there is no such model, or it can't be loaded here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from typer.testing import CliRunner

import xmcbench as xb
from xmcbench.cli.app import app
from xmcbench.errors import UsageError
from xmcbench.methods.popularity import Popularity


def call(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    data = "synthetic[labels=100,rows=200,test=20]"
    xb.run("popularity", dataset=data, results=folder / "results", keep_models=True, progress=False)
    return folder / "results"


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("nosuch", "no folder nosuch; unknown run", "Known: "),
        ("tree", "no folder tree; unknown run", "`xmcbench run tree --dataset NAME --keep-models` fits one"),
        ("./nosuch", "no such folder", "model export"),
        ("a.csv", "a.csv is a file, and a model is a folder", "Give the folder"),
        (".", "no model, since it has no model.json", "model export"),
    ],
)
@pytest.mark.parametrize(
    "command", [("model", "info"), ("predict", "--text", "a"), ("explain", "--text", "a"), ("serve",)]
)
def test_what_is_no_model(
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    model: str,
    message: str,
    hint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("id,text\n")
    with pytest.raises(xb.XmcError) as error:
        call(*command, model, "--results", results)
    assert message in error.value.message
    assert hint in error.value.hint


def test_info_says_what_can_not_be_loaded(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "loaded" not in call("model", "info", "popularity", "--results", results)
    monkeypatch.setattr(Popularity, "info", dataclasses.replace(Popularity.info, version="99"))
    shown = call("model", "info", "popularity", "--results", results)
    assert "not loaded here  a model of popularity version 1; version 99 is installed" in shown
    monkeypatch.setattr("xmcbench.runs.registry.sources", dict)
    assert "and no method popularity is installed" in call("model", "info", "popularity", "--results", results)


def test_a_model_is_not_exported_into_itself(results: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    call("model", "export", "popularity", "--results", results, "--to", model)
    before = sorted(model.rglob("*"))
    for inside in (model / "inner", model / "method" / ".." / "a" / "b"):
        with pytest.raises(UsageError, match="is inside of the model"):
            call("model", "export", model, "--to", inside)
    assert sorted(model.rglob("*")) == before
    xb.load_model(model)
