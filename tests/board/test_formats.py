"""Markdown, CSV and LaTeX of one table: the same numbers, and text that stays text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xmcbench import escaping
from xmcbench.board import csv_table, latex, markdown
from xmcbench.board.accepting import accept
from xmcbench.board.build import rendered
from xmcbench.board.model import Board, PublishedRow, Table
from xmcbench.board.pairs import Cache
from xmcbench.board.protocol import Protocol
from xmcbench.board.tables import board_of
from xmcbench.records.record import Record
from xmcbench.records.store import Store

NewRun = Callable[..., Record]
NASTY = (
    "<img src=x onerror=alert(1)>",
    "=HYPERLINK(1)",
    "a|b`c`",
    "x_1 & 50 % {y}",
    "@SUM(A1)",
    "two\nlines\x1b[31m",
    "+1",
)


@pytest.fixture
def board(folder: Path, new_run: NewRun) -> Board:
    for i, label in enumerate(NASTY):
        outside = {
            "seed": None,
            "environment": {},
            "method": {"family": "external", "name": label, "deterministic": True},
        }
        new_run(label, np.arange(200) < 100 + i, **outside)
    new_run("tree[beam=5]", np.arange(200) < 160, method={"family": "tree", "name": "tree"})
    new_run("slow", status="timeout", reason="<b>after</b> 60 s")
    store = Store(folder)
    return board_of(accept(store.records(), store), store, Cache())


@pytest.fixture
def table(board: Board) -> Table:
    values = {"P@1": 0.79, "R@9": 0.5}, "reproduced", "within half a point", "tree", {"P@1": 0.01}
    protocol = Protocol(encoder="BERT<b>", models=3, split="mine")
    published = PublishedRow("Tree*", "Table <2>", "=other split", *values, protocol=protocol)
    return replace(board.tables[0], published=[published])


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown_has_one_cell_for_each_column_whatever_the_names(table: Table) -> None:
    lines = markdown.table(table).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("| rank"))
    rows = [cells(line) for line in lines[head : head + 2 + len(table.rows) + 1]]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert rows[2][:3] == ["1", r"tree\[beam=5\]", "80.00"]
    assert rows[-1][1:3] == ["*best reachable*", "100.00"]
    head = lines.index("## Intervals and ranks") + 2
    rows = [cells(line) for line in lines[head : head + 2 + len(table.rows)]]
    assert {len(row) for row in rows} == {1 + 2 * len(table.tested)}
    assert rows[2][0] == r"tree\[beam=5\]"
    assert re.fullmatch(r"7\d\.\d\d–8\d\.\d\d", rows[2][1])
    text = "\n".join(lines)
    assert "<img" not in text
    assert "<b>" not in text
    assert "\x1b" not in text
    assert "slow: timeout (&lt;b&gt;after&lt;/b&gt; 60 s)" in text
    assert "`xmcbench run 'tree[beam=5]' --dataset toy --view bow`" in text
    assert (
        r"| Tree\* | P@1 79.00, R@9 50.00 | BERT&lt;b&gt;; 3 models; not known: length | mine | Table &lt;2&gt; "
        "| =other split | reproduced | P@1 +1.00 | within half a point |"
    ) in text


@pytest.mark.parametrize(("text", "shown"), [("a|b", "`a|b`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("", "``")])
def test_code_can_be_copied_as_it_is(text: str, shown: str) -> None:
    assert escaping.code(text) == shown


def test_csv_is_numbers_as_numbers_and_no_formula(table: Table) -> None:
    text = csv_table.table(table)
    head, *rows = csv.reader(io.StringIO(text))
    assert {len(row) for row in rows} == {len(head)}
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert float(found[0]["P@1"]) == 0.8
    assert (found[0]["rank P@1"], found[0]["rank to P@1"]) == ("1", "1")
    assert float(found[0]["fit_seconds"]) == 2.0
    assert (found[0]["machine"], found[0]["threads"], found[0]["busy"]) == ("A CPU, 2 cores, 8 GiB", "2", "0")
    assert {row["method"] for row in found} >= {"'=HYPERLINK(1)", "'@SUM(A1)", "'+1", "two lines [31m"}
    for row in rows:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)


def test_published_values_as_csv_with_their_protocol(table: Table) -> None:
    (found,) = csv.DictReader(io.StringIO(csv_table.published(table)))
    assert (found["method"], found["encoder"], found["models"], found["split"]) == ("Tree*", "BERT<b>", "3", "mine")
    assert (found["tokens"], found["psp"], found["ranker"]) == ("", "", "")
    assert (found["P@1"], found["P@1 ours minus published"]) == ("0.79", "0.01")
    assert (found["R@9"], found["R@9 ours minus published"]) == ("0.5", "")
    assert found["data"] == "'=other split"
    assert found["our method"] == "tree"


@pytest.mark.parametrize(
    "text", ["=1", "+1", "-1", "@x", " =1", "\t=1", "\r=1", "\n@x", "\uff1d1", "\uff0b1", "\uff20x"]
)
def test_no_text_begins_a_formula(text: str) -> None:
    assert escaping.csv_cell(text).startswith("'")


def test_latex_escapes_what_is_special(table: Table) -> None:
    text = latex.table(table)
    assert r"x\_1 \& 50 \% \{y\}" in text
    assert r"tree[beam=5] & 80.00" in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {2 + len(table.metrics)}
    assert escaping.latex("\\~^") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}"


def test_latex_of_a_table_without_tested_metrics_says_so(table: Table) -> None:
    untested = latex.table(replace(table, tested=[]))
    assert "No metric was tested" in untested
    assert ", ," not in untested
    assert f"the interval of places by {table.by} that paired" in latex.table(table)


def test_the_index_links_to_every_table(board: Board) -> None:
    text = markdown.index(board, ["toy--bow"])
    assert "Made from 9 records" in text
    assert "[md](tables/toy--bow.md), [csv](tables/toy--bow.csv), [tex](tables/toy--bow.tex)" in text
    assert r"tree\[beam=5\]" in text
    assert "_published.csv" not in text


def test_the_index_links_to_published_values(board: Board, table: Table) -> None:
    text = markdown.index(replace(board, tables=[table]), ["toy--bow"])
    assert "[published](tables/toy--bow_published.csv)" in text
    assert "tables/toy--bow_published.csv" in rendered(replace(board, tables=[table]))
