"""Files that other programs write are read as meant or refused with what to do; `foreign/README.md` lists them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from xmcbench.cli.data_io import import_
from xmcbench.data import load
from xmcbench.data.spec import Split
from xmcbench.errors import DataError, UsageError

FOREIGN = Path(__file__).with_name("foreign")
CELLS: dict[str, dict[str, Any]] = json.loads((FOREIGN / "cells.json").read_text("utf-8"))
APP = typer.Typer()
APP.command()(import_)


@pytest.fixture(autouse=True)
def home_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))


def imported(options: list[str]) -> Any:
    """The result of `xmcbench data import` with each file as training and as test file."""
    words = [str(FOREIGN / word[1:-1]) if word.startswith("{") else word for word in options]
    given = dict(zip(words[::2], words[1::2], strict=True))
    for option in ("--texts", "--labels", "--features"):
        if option in given:
            given.setdefault(f"--test-{option[2:]}", given[option])
    words = [word for pair in given.items() for word in pair]
    return CliRunner().invoke(APP, ["--name", "foreign", *words])


def rows_of(split: Split, label_texts: Any) -> list[list[Any]]:
    """[text or None, sorted label names or ids] per row."""
    texts = split.texts if split.texts is not None else [None] * split.labels.shape[0]
    names = [[label_texts[i] if label_texts is not None else i for i in row.indices] for row in split.labels]
    return [[text, sorted(map(str, row))] for text, row in zip(texts, names, strict=True)]


def differs(result: Any, outcome: dict[str, Any], file: str) -> str:
    """What the result of an import has other than an outcome that is right; "" if nothing."""
    if "refused" in outcome:
        error = result.exception
        if not isinstance(error, DataError | UsageError):
            return f"not refused: {result.output}{error!r}"
        message = re.sub(rf"{re.escape(str(FOREIGN))}/\S+?(?=[,:;\s]|$)", "", str(error))  # a name may match by itself
        said = re.search(outcome["refused"], message, re.IGNORECASE | re.DOTALL) and file in str(error)
        return "" if said else f"refused with {error}"
    if result.exception is not None:
        return f"refused with {result.exception!r}"
    if not re.search(outcome.get("noted", ""), result.output, re.IGNORECASE):
        return f"no word of it in {result.output}"
    data = load("foreign", offline=True)
    for split, kind in ((data.train, "rows"), (data.test, "test_rows" if "test_rows" in outcome else "rows")):
        expected = [[text, sorted(map(str, names))] for text, names in outcome[kind]]
        if (found := rows_of(split, data.label_texts)) != expected:
            return f"read as {found}"
        if "features" in outcome and abs(split.features.toarray() - outcome["features"]).max() > 1e-6:
            return f"features {split.features.toarray()}"
    return ""


@pytest.mark.parametrize("file", CELLS)
def test_read_as_meant_or_refused(file: str) -> None:
    result = imported(CELLS[file]["options"])
    problems = [differs(result, outcome, file) for outcome in CELLS[file]["outcomes"]]
    assert "" in problems, problems


@pytest.mark.parametrize("separator", ["pipe", "Bar", "\\t"])
def test_a_separator_that_occurs_nowhere(separator: str) -> None:
    file = "r_fwrite.csv"  # the names are joined with |
    result = imported(["--texts", f"{{{file}}}", "--label-separator", separator])
    outcomes = (*CELLS[file]["outcomes"], {"refused": "label-separator"})
    problems = [differs(result, outcome, file) for outcome in outcomes]
    assert "" in problems, problems


def test_label_texts_with_ids_in_another_order(tmp_path: Path) -> None:
    lines = {
        "texts.txt": "no dial tone\nprinter out of paper\n",
        "labels.txt": "0\n1\n",
        "names.jsonl": '{"id": "1", "text": "printer"}\n{"id": "0", "text": "line"}\n',
    }
    for name, content in lines.items():
        (tmp_path / name).write_text(content)
    texts, labels, names = (str(tmp_path / name) for name in lines)
    result = imported(["--texts", texts, "--labels", labels, "--label-texts", names])
    outcomes = {"rows": [["no dial tone", ["line"]], ["printer out of paper", ["printer"]]]}, {"refused": r"\bid\b"}
    problems = [differs(result, outcome, "names.jsonl") for outcome in outcomes]
    assert "" in problems, problems


def test_every_file_is_described() -> None:
    files = {path.name for path in FOREIGN.iterdir()} - {"README.md", "cells.json", ".gitattributes"}
    described = re.findall(r"^\| `(.+?)` \|", (FOREIGN / "README.md").read_text("utf-8"), re.MULTILINE)
    assert set(described) == set(CELLS) == files
