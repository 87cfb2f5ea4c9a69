"""Values that no option or argument can have, on all commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.cli.options import Command
from xmcbench.errors import UsageError


def commands(group: Any = None, *words: str) -> list[tuple[list[str], Any]]:
    """All commands of the program with the words that call them."""
    group = group or get_command(app)
    found = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found += commands(command, *words, name) if inner else [([*words, name], command)]
    return found


def parsed(words: list[str], **environment: str) -> dict[str, Any]:
    """What a command with a path, paths, a name and a text gets."""
    small = typer.Typer()
    got: dict[str, Any] = {}

    @small.command(cls=Command)
    def work(
        name: str,
        sources: list[Path] = typer.Argument(None),  # noqa: B008
        into: Path = typer.Option(Path("results"), envvar="INTO"),  # noqa: B008
        text: str = "",
    ) -> None:
        got.update(name=name, sources=sources, into=into, text=text)

    result = CliRunner().invoke(small, words, env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return got


def test_a_tilde_is_the_home_folder_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    got = parsed(["~", "~/a", "./~", "b~", "--into=~/c", "--text", "~/d"])
    assert got == {
        "name": "~",
        "sources": [Path("/home/me/a"), Path("~"), Path("b~")],
        "into": Path("/home/me/c"),
        "text": "~/d",
    }
    assert parsed(["n"], INTO="~/e")["into"] == Path("/home/me/e")
    assert parsed(["n"])["into"] == Path("results")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["n", "--into", "~nosuchuser/x"], "--into ~nosuchuser/x: no home folder is known for ~nosuchuser"),
        (["n", "a", "~nosuchuser"], "SOURCES ~nosuchuser: no home folder is known for ~nosuchuser"),
        (["n", "--into", ""], "--into is empty"),
        (["n", "a", ""], "SOURCES is empty"),
        ([""], "NAME is empty"),
        (["n", "--into", "x" * 256], f"--into {'x' * 60}…: the name is too long"),
        (["n", "é" * 128], f"SOURCES {'é' * 60}…: the name is too long"),
        (["n", "--into", "a/" * 5000], "the name is too long"),
        (["\udcff"], r"NAME '\udcff' is not UTF-8"),
        (["n", "--text", "a\udcffb"], r"--text 'a\udcffb' is not UTF-8"),
    ],
)
def test_what_can_be_no_path_or_text_is_refused(words: list[str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        parsed(words)
    assert says in str(refused.value)


def test_a_path_need_not_be_utf8(tmp_path: Path) -> None:
    assert parsed(["n", "\udcff"])["sources"] == [Path("\udcff")]
    assert parsed(["n", "--text", ""])["text"] == ""


def numbers() -> list[tuple[list[str], str]]:
    return [
        (words, param.opts[-1])
        for words, command in commands()
        for param in command.params
        if getattr(param, "min", None) is not None and words != ["run"]
    ]


@pytest.mark.parametrize(("words", "option"), numbers())
@pytest.mark.parametrize("value", [str(2**63), str(2**70), "-1", "nan", "inf", "", "1e3", "9" * 5000])
def test_whole_numbers_have_bounds(words: list[str], option: str, value: str) -> None:
    required = {
        "compare": ["a", "b"],
        "errors": ["r"],
        "explain": ["m"],
        "import": ["--name", "x"],
        "predict": ["m"],
        "score": ["p"],
        "serve": ["m"],
    }[words[-1]]
    result = CliRunner().invoke(app, [*words, *required, option, value])
    assert result.exit_code == 2, result.output
    assert "Invalid value for '--" in result.output
    assert f"'{option}'" in result.output


def test_all_numbers_are_tried() -> None:
    assert {option for _, option in numbers()} == {
        "--at",
        "--differ",
        "--n-labels",
        "--port",
        "--reasons",
        "--row",
        "--rows",
        "--samples",
        "--seed",
        "--top",
    }


@pytest.mark.parametrize("variable", ["XMCBENCH_HOME", "XMCBENCH_MIRROR", "XMCBENCH_RESULTS"])
def test_an_unknown_user_in_a_variable_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "~nosuchuser/x")
    words = ["ls", "runs"] if variable == "XMCBENCH_RESULTS" else ["data", "where", "icd10cm"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, UsageError)
    assert "~nosuchuser/x: no home folder is known for ~nosuchuser" in str(result.exception)
    assert variable in str(result.exception) or "--results" in str(result.exception)


def test_a_user_without_a_home_is_told_to_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XMCBENCH_HOME")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: "~/.cache/xmcbench")
    result = CliRunner().invoke(app, ["data", "where", "icd10cm"])
    assert isinstance(result.exception, UsageError)
    assert "Set XMCBENCH_HOME" in str(result.exception)
    assert not os.path.exists("~")


@pytest.mark.parametrize("error", [EOFError("ends early"), BrokenPipeError(32, "Broken pipe")])
def test_errors_that_typer_takes_for_its_own_are_kept(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would print "Aborted!" for the first, which a truncated file raises, and nothing for the second."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("xmcbench.cli.ls.KINDS", {"methods": type("Kind", (), {"rows": fail})()})
    result = CliRunner().invoke(app, ["ls", "methods"])
    assert isinstance(result.exception, RuntimeError)
    assert type(error).__name__ in str(result.exception)
