from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from xmcbench.cli import terminal

ROWS = [
    ("name", "method", "data set", "P@1"),
    ("20261124T002646-elias-bibtex-92a1fc60", "elias[beam=10,width=3]", "bibtex (bow)", "50.00"),
    ("20261124T002818-tree-bibtex-3270a991", "tree", "bibtex (bow)", "–"),
]
SHORT = {"name": lambda text: text[-8:]}
DROP = ("data set",)


def table(rows: list[tuple[str, ...]], width: int, **layout: object) -> list[str]:
    """The lines that a terminal of this width shows."""
    console = Console(width=width, file=StringIO())
    terminal.print_table(rows, console=console, **layout)  # type: ignore[arg-type]
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(terminal, "make_console", lambda: Console(width=request.param))


@pytest.mark.parametrize("width", [terminal.PIPE_WIDTH, 84])
def test_with_room_or_in_a_pipe_all_is_there(width: int) -> None:
    lines = table(ROWS, width, short=SHORT, drop=DROP, right=("P@1",))
    assert [line.split() for line in lines] == [" ".join(row).split() for row in ROWS]
    assert lines[0].index("method") == lines[1].index("elias[") == lines[2].rindex("tree ")
    assert len({len(line) for line in lines}) == 1, "the last column is aligned at the right"


def test_a_pipe_gets_no_colours_and_no_spaces_at_the_ends(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_table([("name", "state"), ("a", terminal.styled("[bad]\x1b", "red")), ("b" * 300, "")])
    assert capsys.readouterr().out.splitlines() == ["name" + " " * 298 + "state", "a" + " " * 301 + "[bad]", "b" * 300]


def test_cells_are_shortened_before_columns_are_dropped() -> None:
    said = "\n".join(table(ROWS, 55, short=SHORT, drop=DROP))
    assert "bibtex (bow)" in said
    assert "92a1fc60  elias[beam=10,width=3]" in said
    assert "20261124" not in said


def test_a_dropped_column_is_named() -> None:
    lines = table(ROWS, 45, short=SHORT, drop=DROP)
    assert lines[0].split() == ["name", "method", "P@1"]
    assert lines[-1] == "(no room for: data set; --json has all)"


def test_then_the_widest_texts_wrap_and_numbers_and_short_columns_stay_whole() -> None:
    lines = table([ROWS[0], *((row[0][-8:], *row[1:]) for row in ROWS[1:])], 40, right=("P@1",))
    assert max(map(len, lines)) <= 40
    assert lines[1].startswith("92a1fc60  elias[")
    assert lines[1].endswith("50.00")
    assert "elias[beam=10,width=3]" in "".join(line[10:20].strip() for line in lines[1:4])


def test_a_last_column_is_wrapped_between_words_under_itself() -> None:
    assert table([("name", "summary"), ("P@k", "share of the first k ranks that are true, misses counted")], 40) == [
        "name  summary",
        "P@k   share of the first k ranks that",
        "      are true, misses counted",
    ]


def test_no_number_is_cut_and_no_short_word_broken() -> None:
    """A command that names no column to drop loses numbers from the right before one of them is cut."""
    rows = [("metric", "A", "B", "B − A", "verdict"), ("P@1:seen-labels", "71.84", "68.77", "-3.08", "not decided yet")]
    assert table(rows, 45, right=("A", "B", "B − A"))[1:] == [
        "P@1:seen-labels  71.84  68.77  -3.08  not",
        " " * 38 + "decided",
        " " * 38 + "yet",
    ]
    assert table(rows, 32, right=("A", "B", "B − A")) == [
        "metric               A  verdict",
        "P@1:seen-labels  71.84  not",
        "                        decided",
        "                        yet",
        "(no room for: B − A, B; --json has all)",
    ]


@pytest.mark.parametrize("narrow", [30], indirect=True)
@pytest.mark.usefixtures("narrow")
def test_running_text_keeps_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = "one two three four five six seven eight nine ten"
    terminal.print_check(False, f"{text}\na\x1bb")
    checked = capsys.readouterr().out
    assert checked.startswith("FAILED one two")
    assert checked.endswith("\n       a b\n")
    for said in (terminal.paragraph(text), terminal.columns([("12345", text)], "  "), checked):
        assert max(map(len, said.splitlines())) <= 30
        assert set(text.split()) <= set(said.split())


@given(
    st.integers(60, 200),
    st.lists(st.tuples(st.text("ab[=], ", max_size=12), *[st.text("ab[=], ", max_size=50)] * 3), max_size=5),
)
def test_no_line_is_longer_than_the_terminal_and_no_word_is_lost(width: int, rows: list[tuple[str, ...]]) -> None:
    words = [tuple(" ".join(cell.split()) for cell in row) for row in rows]
    lines = table([("name", "one", "two", "three"), *words], width, drop=("two",))
    assert max(map(len, lines)) <= width
    letters = sum(len(cell.replace(" ", "")) for row in words for i, cell in enumerate(row) if i != 2)
    assert len("".join(lines[1:]).replace(" ", "")) >= letters


@pytest.mark.parametrize(
    ("fraction", "shown", "with_sign"),
    [
        (0.12345, "12.35", "+12.35"),
        (-0.5, "-50.00", "-50.00"),
        (0.0, "0.00", "+0.00"),
        (1e-6, "1.0e-04", "+1.0e-04"),
        (1e-17, "0.00", "+0.00"),
        (None, "–", "–"),
    ],
)
def test_percent(fraction: float | None, shown: str, with_sign: str) -> None:
    assert (terminal.percent(fraction), terminal.percent(fraction, sign=True)) == (shown, with_sign)


def test_counts_of_checks() -> None:
    assert terminal.checks_hold([True, None, False]) == "1 of 3 checks hold, 1 not made"
    assert terminal.checks_hold([True]) == "1 of 1 checks hold"
