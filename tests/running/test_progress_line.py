"""What a progress line shows in the width of a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.running.progress_line import Line, fitted, in_ascii

LINE = Line("elias on icd10cm", "run 2 of 5", "stage 1", "epoch 3/8", 0.61, "1:24", "about 0:40 left", "", "")
LONG = replace(
    LINE,
    name="elias[effort=0.05] on synthetic[rows=1000,labels=100]",
    note="epoch 3/8, loss 0.1234",
    best="best validation nDCG@5 82.60",
    total="6:10 in all",
)


def shown(line: Line, width: int) -> str:
    return fitted(line, width).plain


def test_the_line_as_documented() -> None:
    assert shown(LINE, 79) == "elias on icd10cm, run 2 of 5 · stage 1 · epoch 3/8 ▓▓▓░░ 1:24, about 0:40 left"


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (200, "elias[effort=0.05] on synthetic[rows=1000,labels=100], run 2 of 5 · stage 1 · epoch 3/8, loss 0.1234 "
            "▓▓▓▓▓▓▓▓▓▓▓▓░░░░░░░░ 1:24, about 0:40 left · best validation nDCG@5 82.60 · 6:10 in all"),
        (120, "elias[effort=0.05] on synthetic, run 2 of 5 · stage 1 · epoch 3/8, loss 0.1234 ▓▓▓░░ "
            "1:24, about 0:40 left · 6:10 in all"),
        (100, "elias on synthetic, run 2 of 5 · stage 1 · epoch 3/8, loss 0.1234 ▓▓▓░░ 1:24, about 0:40 left"),
        (79, "elias on synthet…, run 2 of 5 · stage 1 · epoch 3/8 ▓▓▓░░ 1:24, about 0:40 left"),
        (70, "elias on synthetic, run 2 of 5 · stage 1 ▓▓▓░░ 1:24, about 0:40 left"),
        (60, "elias on synthe…, run 2 of 5 · stage 1 1:24, about 0:40 left"),
        (50, "elias on synthet…, run 2 of 5 · stage 1 ▓▓▓░░ 1:24"),
    ],
)  # fmt: skip
def test_a_name_is_shortened_before_parts_are_left_out(width: int, expected: str) -> None:
    assert shown(LONG, width) == expected


def test_without_a_plan_a_share_or_a_note_nothing_stands_in_their_place() -> None:
    line = replace(LINE, position="", note="", share=None, elapsed="0:03", left="")
    assert shown(line, 79) == "elias on icd10cm · stage 1 0:03"


def test_a_long_phase_gives_way_to_the_time_and_a_tiny_terminal_cuts_the_rest() -> None:
    line = replace(LINE, phase="waiting for another process that executes the same run", note="")
    assert shown(line, 79) == "elias on icd10cm, run 2 of 5 · waiting for another process that executes… 1:24"
    assert shown(line, 12) == "elias on ic…"


def test_terminals_without_unicode_get_as_many_characters() -> None:
    text = fitted(replace(LINE, name="kürzer und länger als alles"), 79)
    plain, width = text.plain, len(text.plain)
    ascii_ = in_ascii(text).plain
    assert "…" in plain
    assert ascii_.isascii()
    assert len(ascii_) == width
    assert "k?rzer" in ascii_
    assert "- epoch 3/8 ###.. 1:24" in ascii_


texts = st.text("aé猫字ש🐈[]., ·", max_size=60)


@settings(deadline=None)
@given(
    st.builds(
        Line, texts, texts, texts, texts, st.none() | st.floats(0, 1), st.text("0:", max_size=9), texts, texts, texts
    ),
    st.integers(1, 150),
)
def test_no_line_is_wider_than_the_terminal(line: Line, width: int) -> None:
    text = fitted(line, width)
    assert text.cell_len <= width
    assert "\n" not in text.plain
