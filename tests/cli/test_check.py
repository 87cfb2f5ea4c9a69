from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.cli.new import write_skeleton
from xmcbench.errors import UsageError, XmcError

PRINTS = """

class Prints(Demo):
    def fit(self, train, ctx):
        print("hi")
        super().fit(train, ctx)


class Fails(Demo):
    def fit(self, train, ctx):
        raise ValueError("no")


class OnGpu(Demo):
    import dataclasses

    info = dataclasses.replace(Demo.info, devices=("cuda",))
"""


@pytest.fixture(scope="module")
def method_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("skeleton") / "demo"
    write_skeleton("demo", folder)
    file = folder / "src" / "xmcbench_demo" / "__init__.py"
    file.write_text(file.read_text() + PRINTS)
    return file


def test_one_line_a_check_and_exit_code_0(method_file: Path) -> None:
    result = CliRunner().invoke(app, ["check", "method", f"{method_file}:Demo", "--set", "min_rows=2"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1].endswith(f"{len(lines) - 1} of {len(lines) - 1} checks hold")


def test_a_failure_is_named_and_exit_code_is_1(method_file: Path) -> None:
    result = CliRunner().invoke(app, ["check", "method", f"{method_file}:Prints"])
    assert result.exit_code == 1
    failed = [line for line in result.output.splitlines() if line.startswith("FAILED")]
    assert failed == ["FAILED prints nothing: printed 'hi'; use ctx.progress, ctx.score and ctx.note"]


def test_json_holds_all_findings(method_file: Path) -> None:
    result = CliRunner().invoke(app, ["check", "method", f"{method_file}:Prints", "--json"])
    found = json.loads(result.stdout)
    assert [f["check"] for f in found if not f["ok"]] == ["prints nothing"]
    assert len(found) > 20


def test_a_fit_that_fails_is_said_once(method_file: Path) -> None:
    result = CliRunner().invoke(app, ["check", "method", f"{method_file}:Fails"])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert [line.split(" (")[0] for line in lines if line.startswith("FAILED")] == [
        "FAILED fits and predicts: ValueError: no"
    ]
    assert lines[-1].endswith(f"3 of {len(lines) - 1} checks hold, {len(lines) - 5} not made")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["method", "no-such-thing"], "unknown method"),
        (["method", "FILE:Demo", "--set", "min_rows"], "lacks '='"),
        (["method", "FILE:Demo", "--set", "min_row=1"], "unknown parameter"),
        (["method", "FILE:Demo", "--set", "min_rows=many"], "is not a whole number"),
        (["method", "tree", "--set", "preset="], "unknown preset of tree ''"),
        (["method", "tree", "--set", "trees=0"], "tree: trees is 0, must be above 0"),
        (["method", "FILE:Nobody"], "unknown class"),
        (["method", "FILE:Demo", "--device", "cuda"], "doesn't run on 'cuda'"),
        (["method", "FILE:Demo", "--device", "gpu"], "doesn't run on 'gpu'"),
        (["method", "nowhere.py:Demo"], "no such file"),
    ],
)
def test_bad_requests(method_file: Path, words: list[str], error: str) -> None:
    words = [word.replace("FILE", str(method_file)) for word in words]
    result = CliRunner().invoke(app, ["check", *words])
    assert isinstance(result.exception, UsageError)
    assert error in str(result.exception)


def test_an_import_that_fails_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import no_such_module_here\n")
    result = CliRunner().invoke(app, ["check", "method", f"{tmp_path / 'bad.py'}:Any"])
    assert isinstance(result.exception, XmcError)
    assert "no_such_module_here" in str(result.exception)


@pytest.mark.parametrize("more", [[], ["--device", "cuda"]])
def test_a_gpu_that_is_not_there_is_said(method_file: Path, more: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = CliRunner().invoke(app, ["check", "method", f"{method_file}:OnGpu", *more])
    assert isinstance(result.exception, UsageError)
    assert "torch sees none" in str(result.exception)
