from __future__ import annotations

import pytest

from xmcbench.errors import (
    DataError,
    Diverged,
    RegressionError,
    TerminalClosed,
    Terminated,
    TimeLimit,
    UsageError,
    XmcError,
    counted,
    explain,
    unknown,
)
from xmcbench.escaping import clean, one_line


def test_exit_codes() -> None:
    codes = {XmcError: 1, TimeLimit: 1, Diverged: 1, UsageError: 2, RegressionError: 3, DataError: 4}
    assert {kind: kind("m").exit_code for kind in codes} == codes


def test_the_hint_stands_on_its_own_line() -> None:
    assert str(XmcError("what", "next")) == "what\n  next"
    assert str(XmcError("what")) == "what"


@pytest.mark.parametrize(
    ("name", "near"), [("elais", "elias"), ("ELIAS", "elias"), ("tre", "tree"), ("PSP@K", "PSP@k"), ("psp@k", "PSP@k")]
)
def test_the_nearest_name_is_offered_whatever_its_case(name: str, near: str) -> None:
    error = unknown("method", name, ["elias", "tree", "PSP@k"])
    assert isinstance(error, UsageError)
    assert error.message == f"unknown method {name!r}"
    assert error.hint == f"Did you mean {near!r}? Known: PSP@k, elias, tree"


def test_nothing_is_offered_where_nothing_is_near() -> None:
    assert "Did you mean" not in unknown("data set", "nothing", ["ding", "elias"]).hint
    assert unknown("method", "zzzz", ["elias"]).hint == "Known: elias"
    assert unknown("method", "zzzz", []).hint == "Known: none"


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("method", "xmcbench ls methods"),
        ("data set", "xmcbench ls datasets"),
        ("metric", "xmcbench ls metrics"),
        ("method, data set or metric", "xmcbench ls"),
        ("parameter of elias", "xmcbench info elias"),
    ],
)
def test_of_many_names_the_nearest_are_offered_and_the_command_that_lists_all(kind: str, command: str) -> None:
    hint = unknown(kind, "name05", (f"name{i:03}" for i in range(100))).hint
    assert hint.startswith("Did you mean 'name0")
    assert hint.count("name0") == 5
    assert hint.endswith(f" `{command}` lists all of them.")
    assert unknown(kind, "zzz", (f"name{i:03}" for i in range(100))).hint == f"`{command}` lists all of them."


def test_a_command_may_be_given() -> None:
    hint = unknown("run in my results on d:", "x", map(str, range(99)), "ls here").hint
    assert hint == "`ls here` lists all of them."


def test_twenty_names_are_all_listed_and_of_more_that_no_command_lists_the_first_twenty() -> None:
    names = [f"name{i:03}" for i in range(100)]
    assert unknown("method", "x", names[:20]).hint == f"Known: {', '.join(names[:20])}"
    assert unknown("label", "x", names).hint == f"Known: {', '.join(names[:20])}, … (100 in all)"


def test_control_characters_of_a_wrong_name_are_escaped() -> None:
    assert "\x1b" not in unknown("method", "\x1b[2J", ["a"]).message


def test_a_stop_says_who_stopped_it_and_how_to_go_on() -> None:
    for stop, name in ((KeyboardInterrupt(), "Ctrl-C"), (Terminated(), "SIGTERM"), (TerminalClosed(), "SIGHUP")):
        status, reason = explain(stop)
        assert (status, name in reason, "the same command" in reason) == ("interrupted", True, True)
    assert "user" not in explain(Terminated())[1]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("no limit\n  Raise it.", "no limit. Raise it."),
        ("what:\n  a\n\n  b ", "what: a. b"),
        ("one  line", "one line"),
        ("", ""),
        ("\n", ""),
    ],
)
def test_message_and_hint_on_one_line_are_sentences(text: str, line: str) -> None:
    assert one_line(text) == line


def test_bytes_of_a_name_that_are_not_utf8_are_shown() -> None:
    assert clean("a\udcff\n\x1bé–") == r"a\udcff  é–"


def test_one_of_a_thing_has_no_s() -> None:
    assert [counted(n, "run") for n in (0, 1, 2000)] == ["0 runs", "1 run", "2,000 runs"]
