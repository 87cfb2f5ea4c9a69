"""Text from outside stays text: in the terminal, in rich, Markdown, the page, LaTeX, CSV and names of files."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from typer.testing import CliRunner

from xmcbench import escaping
from xmcbench.board.accepting import accept
from xmcbench.board.build import file_name, rendered
from xmcbench.board.model import PublishedRow, Table
from xmcbench.board.pairs import Cache
from xmcbench.board.protocol import Protocol
from xmcbench.board.tables import board_of
from xmcbench.cli import data_io, show, terminal
from xmcbench.cli.app import app
from xmcbench.cli.info import as_text, imported_facts, method_facts
from xmcbench.data.imported import Imported
from xmcbench.errors import XmcError
from xmcbench.methods.popularity import Popularity
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Store

BUILD = ["board", "build"]
NewRun = Callable[..., Record]
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>[x](javascript:alert(1))![y](https://evil.test/a.png)"
    " https://evil.test www.evil.test | `` ` `` $x$ \\input{a} %#~^{}_* &lt; "
    "\x1b[31m\x9b\x07\u202e\u2066\u200b\u2028\ufeff\r\n\n# head\n=1 [bold]b[/bold][/b] \\"
)
STARTS = ("", "=1+1 ", "+1 ", "-1 ", "@SUM(1) ", "\t=1 ", "[/b]", "{{ 7 }}", "--help ", "\uff1d1", "x" * 3000)
FIXED = ("schema", "status", "run_id", "started_utc", "seal", "metrics", "board", "predictions", "rows", "supersedes")


def paths_of(raw: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every text of a JSON value."""
    if isinstance(raw, str):
        yield at
    for key, value in raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ():
        yield from paths_of(value, (*at, key))


def replaced(raw: Any, texts: dict[tuple[Any, ...], str], at: tuple[Any, ...] = ()) -> Any:
    """The JSON value with other texts, by their places."""
    if isinstance(raw, dict):
        return {key: replaced(value, texts, (*at, key)) for key, value in raw.items()}
    if isinstance(raw, list):
        return [replaced(value, texts, (*at, i)) for i, value in enumerate(raw)]
    return texts.get(at, raw)


# one checker for each target


def check_terminal(text: str) -> None:
    assert not [c for c in text if not c.isprintable() and c != "\n"]


def check_markdown(text: str) -> None:
    check_terminal(text)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token in (part for whole in tokens for part in (whole, *(whole.children or ()))):
        assert token.type not in ("html_block", "html_inline", "image", "fence", "code_block"), token
        if token.type == "link_open":
            assert re.fullmatch(r"tables/[a-z0-9.=-]+(_published)?\.(md|csv|tex)", str(token.attrs["href"]))
    assert not re.search(r"(?<![`\w])(https?://|www\.)evil", re.sub(r"(`+).*?\1", "", text))  # GitHub links them
    grids = re.findall(r"(?m)(?:^\|.*\n)+", text)
    for lines in (grid.splitlines() for grid in grids):
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in lines}) == 1, lines[0]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def check_page(text: str) -> None:
    assert not [c for c in text if not c.isprintable() and c not in "\n\t"]
    parser = Tags()
    parser.feed(text)
    assert sum(tag == "script" for tag, _ in parser.found) == 3
    assert not {tag for tag, _ in parser.found} & {"img", "iframe", "object", "embed", "base"}
    for tag, attributes in parser.found:
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "a":
            assert str(attributes["href"]).startswith("#")


def check_csv(text: str) -> None:
    head, *rows = csv.reader(io.StringIO(text))
    for row in (head, *rows):
        assert len(row) == len(head)
        assert not [cell for cell in row if cell.lstrip()[:1] in tuple("=+-@\uff1d") and not is_number(cell)]
        check_terminal("".join(row))


def is_number(cell: str) -> bool:
    return re.fullmatch(r"-?[0-9.e+-]+", cell) is not None


def check_latex(text: str) -> None:
    check_terminal(text)
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    commands = set(re.findall(r"\\([a-zA-Z]+)", body))
    assert commands <= {
        "toprule",
        "midrule",
        "textbackslash",
        "textasciitilde",
        "textasciicircum",
        "pm",
        "textless",
        "textgreater",
    }
    plain = re.sub(r"\\[&%$#_{}]|\$\\pm\$|\\[a-zA-Z]+(\{\})?", "", body)
    assert not set(plain) & set("%$#_{}~^")
    lines = [line for line in plain.splitlines() if line.endswith("\\\\")]
    assert len({line.count("&") for line in lines}) == 1


def check_files(files: dict[str, str]) -> None:
    checks = {".md": check_markdown, ".csv": check_csv, ".tex": check_latex, ".html": check_page}
    for path, text in files.items():
        assert re.fullmatch(r"(tables/)?[A-Za-z0-9.=-]{1,200}(_published\.csv)?", path)
        checks[Path(path).suffix](text)


def with_texts(folder: Path, record: Record, texts: dict[tuple[Any, ...], str]) -> Record:
    """Write the record anew with other texts, as somebody who knows of the seal would."""
    (folder / "records" / f"{record.run_id}.json").unlink()
    return record_file.write(folder / "records" / f"{record.run_id}.json", record_file.of(replaced(record.raw, texts)))


def a_run(new_run: NewRun, label: str, hits: int) -> Record:
    notes = {"scoring": ["a note"], "remarks": ["a remark"], "report": "reports/a/report.md"}
    return new_run(label, np.arange(200) < hits, notes=notes, method={"parameters": {"a": "text"}})


def files_of(folder: Path) -> dict[str, str]:
    store = Store(folder)
    return rendered(board_of(accept(store.records(), store), store, Cache()))


def test_every_field_of_a_record_is_text_on_the_boards(folder: Path, new_run: NewRun) -> None:
    one, _ = a_run(new_run, "tree", 150), a_run(new_run, "knn", 50)
    places = [place for place in paths_of(one.raw) if place[0] not in FIXED]
    assert len(places) > 15
    for place in places:
        with_texts(folder, one, {place: HOSTILE})
        check_files(files_of(folder))


@pytest.mark.parametrize("start", STARTS)
def test_all_fields_of_a_record_are_text_wherever_it_is_shown(
    folder: Path,
    new_run: NewRun,
    start: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [a_run(new_run, "tree", 150), new_run("knn", status="error", reason="it broke")]
    for run in runs:
        texts = {place: start + HOSTILE for place in paths_of(run.raw) if place[0] not in FIXED}
        with_texts(folder, run, texts)
    check_files(files_of(folder))
    said = io.StringIO()
    show.print_results(Console(file=said, width=80, highlight=False), Store(folder).records())
    check_terminal(said.getvalue())
    monkeypatch.setenv("COLUMNS", "80")
    names = [run.run_id for run in runs]
    for words in (
        ["ls", "runs"],
        ["compare", *names],
        ["verify", names[0], "--offline"],
        ["verify", names[0], "--rerun"],
    ):
        result = CliRunner().invoke(app, [*words, "--results", str(folder)], color=True)
        check_terminal(result.output)
        assert isinstance(result.exception, XmcError | SystemExit | None)
        check_terminal(escaping.clean_lines(result.exception))
    built = CliRunner().invoke(app, ["board", "build", "--folder", str(folder)], color=True)
    assert built.exit_code == 0, built.output
    check_terminal(built.output)


def test_run_ids_and_names_of_folders_are_text(tmp_path: Path, new_run: NewRun, folder: Path) -> None:
    run = a_run(new_run, "tree", 150)
    name = HOSTILE.replace("/", "")[:80]
    record_file.write(folder / "records" / f"{name}.json", record_file.changed(run, run_id=name))
    (folder / "records" / "broken[bold].json").write_text("{")
    check_files(files_of(folder))
    for at in ("a[/b]x[bold]y", "x\x1b[31m\u202e\n", "=1|`$%"):
        strange = tmp_path / at
        shutil.copytree(folder, strange)
        for words in (
            ["ls", "runs", "--results"],
            ["board", "build", "--folder"],
            ["board", "build", "--check", "--folder"],
        ):
            result = CliRunner().invoke(app, [*words, str(strange)], color=True)
            assert result.exit_code == 0, result.output
            check_terminal(result.output)
        merged = CliRunner().invoke(
            app, ["merge", str(strange), "--into", str(tmp_path / f"into{at}"), "--slim"], color=True
        )
        check_terminal(merged.output)
        assert "broken[bold].json" in merged.output
        if at.isprintable():
            assert at in merged.output


@pytest.mark.parametrize("start", STARTS)
def test_published_values_are_text(folder: Path, new_run: NewRun, start: str) -> None:
    a_run(new_run, "tree", 150)
    store, text = Store(folder), start + HOSTILE
    board = board_of(accept(store.records(), store), store, Cache(), notes=[text])
    row = PublishedRow(text, text, text, {"P@1": 0.5}, "reproduced", text, text, {"P@1": 0.1}, text)
    row = dataclasses.replace(row, protocol=Protocol(encoder=text or None, ranker=text or None, split=text or None))
    alone = dataclasses.replace(board.tables[0], rows=[], title=text, dataset=text, view=text, published=[row])
    table: Table = dataclasses.replace(board.tables[0], title=text, published=[row], failures=[text])
    check_files(rendered(dataclasses.replace(board, tables=[table, alone])))


@pytest.mark.parametrize("start", STARTS)
def test_texts_of_imports_and_plugins_are_text(
    start: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = start + HOSTILE
    counts = {"n_train": 1, "n_test": 1, "n_labels": 1, "n_features": 1}
    imported = Imported(text, text, (text,), (0.5, 0.4), counts, (text,), changes=(text,))
    for as_json in (False, True):
        data_io._print_imported(imported, as_json)
        check_terminal(capsys.readouterr().out)
    check_terminal(as_text(imported_facts(imported)))
    texts = {
        f.name: text for f in dataclasses.fields(Popularity.info) if isinstance(getattr(Popularity.info, f.name), str)
    }
    info = dataclasses.replace(Popularity.info, **texts, presets={text: {text: text}}, needs=(text,), devices=(text,))
    method = type("Hostile", (Popularity,), {"info": info, "__doc__": text})
    check_terminal(as_text(method_facts(method, text)))
    terminal.print_check(False, f"method {text}")
    terminal.print_text(text)
    terminal.say(text)
    terminal.print_table([("a", text), (text, text)], right=("a",))
    check_terminal(capsys.readouterr().out)


@pytest.mark.parametrize(
    "words", [["ls"], ["info"], ["run"], ["ls", "--results"], ["board", "build", "--folder"], ["verify"]]
)
def test_options_and_names_on_the_command_line_are_text(words: list[str], tmp_path: Path) -> None:
    for text in (str(tmp_path / HOSTILE.replace("/", "")), "--" + HOSTILE):
        check_terminal(CliRunner().invoke(app, [*words, text], color=True).output)


METHOD = """
from xmcbench.methods.popularity import Popularity
import dataclasses
TEXT = {text!r}
class Hostile(Popularity):
    info = dataclasses.replace(Popularity.info, name="hostile", summary=TEXT, family="other")
    def fit(self, train, ctx):
        with ctx.phase(TEXT):
            ctx.progress(1, 2, TEXT)
            ctx.notes["remarks"] = [TEXT]
        if {fails}:
            raise ValueError(TEXT)
        super().fit(train, ctx)
    def report(self, folder):
        (folder / "report.md").write_text(TEXT)
"""


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_method_says_in_a_run_is_text(tmp_path: Path, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    file = tmp_path / "mine.py"
    file.write_text(METHOD.format(text=HOSTILE, fails=fails))
    results = tmp_path / "a[/b]x[bold]y\x1b[31m"
    words = ["run", f"{file}:Hostile", "--dataset", "synthetic[rows=50,test=20,labels=60]", "--results", str(results)]
    result = CliRunner().invoke(app, words, color=True)
    assert isinstance(result.exception, SystemExit | None), result.output
    assert result.exit_code == int(fails), result.output
    check_terminal(result.output)
    assert "a[/b]x[bold]y" in result.output.replace("\n", "")


def test_names_of_files_are_plain() -> None:
    for start in STARTS:
        assert re.fullmatch(r"[a-z0-9.=-]{1,200}", file_name(start + HOSTILE, start + HOSTILE))
        assert re.fullmatch(r"[a-z0-9.-]*", escaping.file_name(start + HOSTILE, ".-"))


def test_half_of_a_surrogate_pair_is_shown_as_a_space() -> None:
    for one in (escaping.clean, escaping.safe, escaping.markdown, escaping.code, escaping.latex, escaping.csv_cell):
        one("a\ud800b\udcff").encode()
    escaping.script_json(["\ud800"]).encode()


def test_record_texts_with_half_of_a_surrogate_pair_are_refused(folder: Path, new_run: NewRun) -> None:
    run = new_run("tree", np.arange(200) < 100)
    with pytest.raises(Exception, match="no Unicode text"):
        record_file.changed(run, method=msgspec.structs.replace(run.method, label="\ud800"))
