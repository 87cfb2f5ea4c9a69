from __future__ import annotations

import re

from typer.testing import CliRunner

import xmcbench
from xmcbench.cli.app import app
from xmcbench.errors import UsageError


def cite(*names: str) -> str:
    result = CliRunner().invoke(app, ["cite", *names])
    assert result.exit_code == 0, result.output
    return result.stdout


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE)


def test_xmcbench_itself_is_always_there_with_its_version() -> None:
    said = cite()
    assert keys(said) == ["xmcbench"]
    assert f"version = {{{xmcbench.__version__}}}" in said
    assert said.count("{") == said.count("}")


def test_what_two_data_sets_share_is_printed_once() -> None:
    found = keys(cite("eurlex-4k", "delicious", "eurlex-4k"))
    assert found.count("Bhatia16") == 1
    assert len(found) == len(set(found)) >= 3


def test_a_metric_and_what_has_no_bibtex_become_comments() -> None:
    assert "% PSP@5: Jain" in cite("PSP@5")
    assert "% popularity: no citation" in cite("popularity")


def test_braces_of_every_entry_close() -> None:
    said = cite("eurlex-4k", "wordnet", "amazon-670k", "tree")
    assert said.count("{") == said.count("}")


def test_unknown_names() -> None:
    result = CliRunner().invoke(app, ["cite", "nothing-like-it"])
    assert isinstance(result.exception, UsageError)
