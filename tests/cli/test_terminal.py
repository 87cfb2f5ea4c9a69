from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcbench.cli import plain

ROWS = [
    ("name", "method", "data set", "P@1"),
    ("20261124T002646-elias-bibtex-92a1fc60", "elias[beam=10,width=3]", "bibtex (bow)", "50.00 %"),
    ("20261124T002818-tree-bibtex-3270a991", "tree", "bibtex (bow)", "–"),
]
SHORT = {"name": lambda text: text[-8:]}


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(plain, "room", lambda: request.param)


@pytest.mark.parametrize("wide", [None, 84], indirect=True)
@pytest.mark.usefixtures("wide")
def test_with_room_or_in_a_pipe_all_is_there() -> None:
    lines = plain.table(ROWS, short=SHORT, drop=("data set",)).splitlines()
    assert [line.split() for line in lines] == [" ".join(row).split() for row in ROWS]
    assert lines[0].index("method") == lines[1].index("elias[") == lines[2].rindex("tree ")


@pytest.mark.parametrize("wide", [55], indirect=True)
@pytest.mark.usefixtures("wide")
def test_cells_are_shortened_before_columns_are_dropped() -> None:
    said = plain.table(ROWS, short=SHORT, drop=("data set",))
    assert "bibtex (bow)" in said
    assert "92a1fc60  elias[beam=10,width=3]" in said
    assert "20261124" not in said


@pytest.mark.parametrize("wide", [45], indirect=True)
@pytest.mark.usefixtures("wide")
def test_a_dropped_column_is_named() -> None:
    lines = plain.table(ROWS, short=SHORT, drop=("data set",)).splitlines()
    assert lines[0].split() == ["name", "method", "P@1"]
    assert lines[-1] == "(no room for: data set; --json has all)"


@pytest.mark.parametrize("wide", [48], indirect=True)
@pytest.mark.usefixtures("wide")
def test_then_the_widest_inner_cells_are_cut_and_the_first_column_stays() -> None:
    lines = plain.table([ROWS[0], *((row[0][-8:], *row[1:]) for row in ROWS[1:])]).splitlines()
    assert [len(line) <= 48 for line in lines] == [True] * 3
    assert lines[1].startswith("92a1fc60  elias[")
    assert "…" in lines[1]


@pytest.mark.parametrize("wide", [40], indirect=True)
@pytest.mark.usefixtures("wide")
def test_a_last_column_is_wrapped_between_words_under_itself() -> None:
    said = plain.table([("name", "summary"), ("P@k", "share of the first k ranks that are true, misses counted")])
    assert said.splitlines() == [
        "name  summary",
        "P@k   share of the first k ranks that",
        "      are true, misses counted",
    ]


@pytest.mark.parametrize("wide", [30], indirect=True)
@pytest.mark.usefixtures("wide")
def test_running_text_keeps_to_the_terminal() -> None:
    text = "one two three four five six seven eight nine ten"
    for said in (plain.paragraph(text), "1234567" + plain.hanging(text, 7)):
        assert max(map(len, said.splitlines())) <= 31
        assert said.split()[-9:] == text.split()[-9:]
    assert plain.hanging("a\x1bb", 0) == "a b"


@given(
    st.integers(60, 200),
    st.lists(st.tuples(st.text("ab[=], ", max_size=12), *[st.text("ab[=], ", max_size=50)] * 3), max_size=5),
)
def test_no_line_is_longer_than_the_terminal(width: int, rows: list[tuple[str, ...]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "room", lambda: width)
        words = [tuple(" ".join(part[:20] for part in cell.split()) for cell in row) for row in rows]
        lines = plain.table([("name", "one", "two", "three"), *words], drop=("two",)).splitlines()
    assert max(map(len, lines)) <= width
