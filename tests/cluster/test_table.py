"""Progress of all runs: a table that never wraps and fits the terminal, a line per event in a log."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from xmcbench.cluster.node import State
from xmcbench.cluster.table import ProgressTable
from xmcbench.running.progress_line import Line


def state(number: int, attempt: str = "1", name: str = "") -> State:
    line = Line(
        name=name or f"elias[beam={number}] on icd10cm, seed {number}",
        position=f"on node-{number}",
        phase="stage 1",
        note="epoch 3/8, loss 0.12",
        share=0.4,
        elapsed="1:24",
        left="about 0:40 left",
        best="best validation P@1 61.20",
        total="6:10 in all",
    )
    return State(f"node-{number}", attempt, line)


def shown(width: int, height: int, states: list[State], *, ascii_only: bool = False) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii" if ascii_only else "utf-8")
    console = Console(file=file, width=width, height=height, legacy_windows=False)
    table = ProgressTable(console)
    table.total, table.done, table.waiting = 40, 3, 1
    table.names = {number: "a run" for number in range(len(states))}
    table.states = dict(enumerate(states))
    console.print(table)
    file.flush()
    return file.buffer.getvalue().decode().splitlines()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
@pytest.mark.parametrize("name", ["", "名" * 200, "a" * 300])
def test_no_line_is_as_wide_as_the_terminal(width: int, name: str) -> None:
    lines = shown(width, 24, [state(number, name=name) for number in range(5)])
    assert len(lines) == 6
    assert all(cell_len(line) < width for line in lines)


def test_the_table_has_counts_and_a_line_per_task() -> None:
    lines = shown(120, 40, [state(0), state(1)])
    assert lines[0].startswith("3 of 40 runs done · 2 executed now · 1 waiting for another process")
    assert lines[1].startswith("elias[beam=0] on icd10cm, seed 0, on node-0 · stage 1 · epoch 3/8")
    assert "▓" in lines[1]


@pytest.mark.parametrize("height", [3, 10, 24])
def test_the_table_is_never_higher_than_the_terminal(height: int) -> None:
    lines = shown(80, height, [state(number) for number in range(100)])
    assert len(lines) <= max(1, height - 3)
    if height > 4:
        assert lines[-1] == f"and {100 - len(lines) + 2} runs more"


def test_a_terminal_without_unicode_shows_ascii() -> None:
    assert all(line.isascii() for line in shown(80, 24, [state(0)], ascii_only=True))


def test_a_log_has_a_line_per_attempt_and_event() -> None:
    file = io.StringIO()
    table = ProgressTable(Console(file=file, width=200))
    table.names[0] = "tree on \x1b[31micd10cm[/red]"
    with table:
        for attempt in ("1", "1", "2"):
            table.report(0, state(7, attempt))
        table.note("node \x1b[1mleft[/] left the cluster")
        assert table.node(0) == "node-7"
        table.ended(0)
        assert table.node(0) == ""
    lines = [line.rpartition(" · ")[0] for line in file.getvalue().splitlines()]
    assert len(lines) == 3
    assert lines[0].startswith("started on node-7: tree on ")
    assert lines[1].startswith("started again on node-7: tree on ")
    assert "left the cluster" in lines[2]
    assert "\x1b" not in file.getvalue()


def test_a_log_tells_each_minute_how_far_a_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    file, clock = io.StringIO(), [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    table = ProgressTable(Console(file=file, width=200))
    table.names[0] = "elias"
    with table:
        for clock[0] in range(0, 130, 2):
            table.report(0, state(7))
    lines = file.getvalue().splitlines()
    told = "elias[beam=7] on icd10cm, seed 7, on node-7 · stage 1 · 40% · epoch 3/8, loss 0.12 · about 0:40 left · "
    assert lines == ["started on node-7: elias · 0.0 s", told + "1 min 0 s", told + "2 min 0 s"]
