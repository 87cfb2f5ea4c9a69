"""The page as text: one file that loads nothing, says what the board says, and keeps texts from outside harmless."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.board import sample
from xmcbench.board.cells import percent
from xmcbench.board.html import page
from xmcbench.board.html_text import identity, number, rounded
from xmcbench.board.model import Board, Value
from xmcbench.board.protocol import Protocol
from xmcbench.escaping import clean

LIMIT = 1_500_000  # bytes, of a page of a thousand records
VOID = {"meta", "link", "input", "wbr"}  # elements that end at once


class Reader(HTMLParser):
    """What a browser would make of the page: tags with attributes, texts by tag; elements must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[list[str]] = []  # tag, text
        self.open: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append([tag, ""])
            self.texts.append(self.open[-1])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.open[-1][1] += data

    def of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    return page(sample.board())


@pytest.fixture(scope="module")
def read(text: str) -> Reader:
    return Reader(text)


def data_of(text: str) -> Any:
    return json.loads(text.split('<script id="data" type="application/json">')[1].split("</script>")[0])


def with_label(label: str) -> Board:
    """A board of one table with one row of that name."""
    table = sample.board().tables[2]
    row = dataclasses.replace(table.rows[0], label=label, flags=[label], family=label)
    return Board([dataclasses.replace(table, rows=[row], title=label, failures=[label])], 1, "0" * 64)


def test_it_loads_nothing_and_runs_nothing_but_its_own_scripts(text: str, read: Reader) -> None:
    assert read.open == []
    for tag, attributes in read.tags:
        assert tag not in ("img", "iframe", "object", "embed", "base", "svg"), tag
        assert not {"src", "srcset", "style", "action"} & attributes.keys(), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert attributes.get("href", "#").startswith(("#", "data:,")), (tag, attributes)
    outside = text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert not [bad for bad in ("http", "url(", "@import", "import(", "fetch(") if bad in outside]
    assert ".innerHTML" not in text
    assert "insertAdjacentHTML" not in text


def test_its_policy_names_its_style_and_scripts(text: str, read: Reader) -> None:
    policy = next(a["content"] for _, a in read.tags if a.get("http-equiv") == "Content-Security-Policy") or ""
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    scripts = text.split("<script>")[1:]
    parts = [text.split("<style>")[1].split("</style>")[0], *(part.split("</script>")[0] for part in scripts)]
    assert len(parts) == 3
    for part in parts:
        assert base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() in policy


def test_equal_boards_give_equal_pages_and_a_thousand_records_stay_small(text: str) -> None:
    assert page(sample.board()) == text
    board = sample.large()
    assert board.records == sum(len(row.runs) for table in board.tables for row in table.rows) >= 1000
    assert len(page(board).encode()) < LIMIT


@pytest.mark.parametrize("character", ["\u202e", "\u2028", "\u0000", "\ud800", "<img", "</script><script>"])
def test_texts_from_outside_stay_texts(character: str) -> None:
    made = page(with_label(f"a{character}b"))
    assert character not in made.partition("</script>")[2].partition('<script id="data"')[0]
    read = Reader(made)
    assert len([tag for tag, _ in read.tags if tag == "script"]) == 3
    assert data_of(made)["tables"][0]["rows"][0]["label"] == clean(f"a{character}b")
    made.encode()


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_any_label_can_be_read_back(label: str) -> None:
    read = Reader(page(with_label(label)))
    assert f"{clean(label)}, bow" in read.of("h2")
    assert clean(label) in read.of("li")
    assert data_of(page(with_label(label)))["tables"][0]["rows"][0]["flags"] == [clean(label)]


def test_the_data_hold_what_the_tables_show(text: str) -> None:
    """Both are made from the same numbers: what a reader sees is what the scripts sort, draw and list."""
    board, made = sample.board(), data_of(text)
    table, row = made["tables"][0], made["tables"][0]["rows"][0]
    ours = board.tables[0].rows[0]
    assert row["label"] == ours.label
    value = ours.values["P@1"]
    assert [f"{part:.2f}" for part in row["values"][1][:3]] == [
        percent(value.value),
        percent(value.low),
        percent(value.high),
    ]
    assert f"<td>{percent(value.value)}</td>" in text
    assert table["metrics"][: table["shown"]] == ["nDCG@5", "P@1", "PSP@5", "R@100", "P@3", "P@5", "PSP@1", "MacroF1@5"]
    assert [table["metrics"][i] for i in table["tested"]] == sample.TESTED
    assert [[part, [table["metrics"][i] for i in places]] for part, places in table["parts"]] == [
        [part, names] for part, names in sample.SLICES.items()
    ]
    assert len(row["runs"]) == len(ours.runs)
    assert row["runs"][0][:4] == [ours.runs[0].run_id, 0, "2026-11-10T04:28:02Z", "5b020e999bcb"]


def test_rows_without_a_rank_stand_last_and_say_why(text: str) -> None:
    table = sample.board().tables[0]
    turned = dataclasses.replace(table, rows=table.rows[::-1])  # whatever order they come in
    for made in (text, page(Board([turned], 1, "0"))):
        ranked, unranked = made.split("<tbody class=unranked>")[:2]
        assert "<th scope=row><span>ovr</span>" in ranked
        assert (
            "not ranked: parameters or epochs were chosen on the test rows, according to its author</small>" in unranked
        )
        assert data_of(made)["tables"][0]["rows"][-1]["name"] == clean(sample.NASTY.split("[")[0])


def test_ceilings_floor_published_values_and_failures(text: str, read: Reader) -> None:
    assert '<th scope="row">Best reachable</th><td>100.00</td><td>100.00</td>' in text
    assert "<td>95.12</td>" in text
    assert "<tr class=floor><td>11</td><th scope=row><span>popularity</span>" in text
    assert "<td>82.25<small>ours −0.41</small></td>" in text
    for verdict in ("not reproduced", "other data", "wrong at its source", "not run here"):
        assert verdict in read.of("td")
    assert "pecos did not run: it wants numpy < 2 (`xmcbench peers install pecos`)" in read.of("li")


def test_the_data_has_the_protocol_of_each_published_row() -> None:
    made = sample.board()
    row = made.tables[0].published[0]
    protocol = Protocol(encoder="<b>", tokens=32, split="theirs")
    made.tables[0].published[0] = dataclasses.replace(row, protocol=protocol)
    data = data_of(page(made))
    (first, *rest) = data["tables"][0]["protocols"]
    assert dict(zip(data["protocol"], first, strict=True)) == {
        **dict.fromkeys(("million_parameters", "models", "ranker", "psp")),
        "encoder": "<b>",
        "tokens": 32,
        "split": "theirs",
    }
    assert len(rest) == len(made.tables[0].published) - 1


def test_each_source_is_written_once_and_named_by_number(text: str, read: Reader) -> None:
    assert text.partition('<script id="data"')[0].count(sample.XCR) == 1
    notes = {attributes["id"] for tag, attributes in read.tags if tag == "li" and "id" in attributes}
    links = {(attributes["href"] or "")[1:] for tag, attributes in read.tags if "&note=" in str(attributes.get("href"))}
    assert links == notes == {f"table=eurlex-4.3k/bow&note={n}" for n in range(1, 8)}
    table = sample.board().tables[0]
    bare = dataclasses.replace(table, published=[dataclasses.replace(table.published[0], source="", data_version="")])
    made = page(Board([bare], 1, "0"))
    assert "not reproduced" in made
    assert "&amp;note=" not in made
    assert "Data versions and sources</h4>" not in made


def test_titles_name_the_view_and_ids_are_of_one_table(read: Reader) -> None:
    titles = ["EURLEX-4.3K, bow", "EURLEX-4.3K, title", "SYNTHETIC, bow"]
    assert read.of("h2")[-3:] == titles
    table = sample.board().tables[2]
    pairs = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a", "b%2Fc"), ("a b", "c")]
    found = [identity(dataclasses.replace(table, dataset=a, view=b)) for a, b in pairs]
    assert found == ["a%2Fb/c", "a/b%2Fc", "a%252Fb/c", "a/b%252Fc", "a%20b/c"]


def test_it_says_which_intervals_draw_near_duplicates_together(text: str) -> None:
    assert "the metrics that rank (P@1, P@5, nDCG@5, PSP@5, R@100) are of the mean over seeds" in text
    assert "the metrics that rank (none here)" in page(Board([sample.board().tables[2]], 2, "0"))


def test_a_board_without_tables_a_table_without_rows_a_row_without_values() -> None:
    assert "There are no records yet." in page(Board([], 0, ""))
    table = sample.board().tables[0]
    assert "No method has a record on this data set." in page(Board([dataclasses.replace(table, rows=[])], 0, ""))
    row = dataclasses.replace(table.rows[0], values={"P@1": Value(None)}, costs=[], ranks={}, runs=[])
    made = page(Board([dataclasses.replace(table, rows=[row])], 0, ""))
    assert "not ranked: the tests have no numbers for it" in made
    assert data_of(made)["tables"][0]["rows"][0]["values"] == [None] * (len(sample.METRICS) + 2 * len(sample.PARTS))


def test_numbers_are_three_digits_without_exponent() -> None:
    shown = [number(rounded(value)) for value in (0.0013645, 0.2, 21.46, 999.6, 25_349.0, 0.0, None, float("nan"))]
    assert shown == ["0.00136", "0.200", "21.5", "1,000", "25,300", "0", "–", "–"]
