"""What stands on a run's line, whatever the width of the terminal, and in the plain lines of a file."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from xmcbench.api import progress
from xmcbench.api.progress import BarReporter, LineReporter, RunReporter
from xmcbench.cli import show
from xmcbench.records.record import Costs

LABEL = "tree[tune] on synthetic[labels=500,rows=4000]"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The reporters' clock in seconds, which a test sets."""
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    return seconds


def line_of(reporter: BarReporter) -> str:
    """The line that a bar shows, without colours."""
    shown = Console(file=StringIO(), width=reporter.console.width, color_system=None, force_terminal=True)
    with shown.capture() as text:
        shown.print(reporter.progress_bar.get_renderable(), end="")
    (line,) = [line for line in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.get()).splitlines() if line.strip()]
    return line


def bar(width: int = 160) -> BarReporter:
    return BarReporter(Console(file=StringIO(), width=width, force_terminal=True), LABEL)


@pytest.mark.parametrize("width", [80, 110, 160])
def test_phase_and_score_stand_whole_on_one_line_and_the_name_gives_way(width: int) -> None:
    with bar(width) as reporter:
        reporter.phase("tuning 3 of 6: cost=0.3 beam=10")
        reporter.progress(1, 2, "train level 1 of 2")
        reporter.score("nDCG@5", 0.8184)
        line = line_of(reporter)
    assert "tuning 3 of 6: cost=0.3 beam=10" in line
    assert "nDCG@5 81.84" in line
    assert line.startswith("tree[tun"), "enough of the name is left"


def test_the_remaining_time_follows_the_elapsed_one_and_only_if_it_is_known(now: list[float]) -> None:
    with bar() as reporter:
        reporter.phase("train")
        assert "left" not in line_of(reporter)
        assert "--" not in line_of(reporter)
        reporter.progress(1, 8, "")
        now[0] = 12.0
        reporter.progress(2, 8, "")
        assert re.search(r"0:00:0\d, 1 min 12 s left", line_of(reporter)), "six times as long as one eighth took"
        reporter.progress(8, 8, "")
        assert "left" not in line_of(reporter)


def test_a_phase_that_begins_far_on_was_not_that_fast(now: list[float]) -> None:
    with bar() as reporter:
        reporter.phase("train")
        now[0] = 1.0
        reporter.progress(6, 10, "resumed")
        now[0] = 3.0
        assert "left" not in line_of(reporter)
        reporter.progress(7, 10, "")
        assert "6.0 s left" in line_of(reporter), "two seconds a tenth"


@pytest.mark.parametrize("make", [RunReporter, BarReporter])
def test_a_share_never_falls_within_a_phase(make: type[RunReporter]) -> None:
    reporter = make(Console(file=StringIO()), LABEL)
    reporter.phase("stage 1")
    shares = [reporter.share(done, total) for done, total in ((1, 10), (2, 10), (1, 100), (0, 10), (5, 0), (3, 10))]
    assert shares == [0.1, 0.2, None, None, None, 0.3]
    reporter.phase("stage 1")
    assert reporter.share(1, 10) is None, "the phase goes on"
    reporter.phase("stage 2")
    assert reporter.share(1, 10) == 0.1


def test_the_elapsed_time_goes_on_after_a_phase_is_done() -> None:
    with bar() as reporter:
        reporter.phase("train")
        reporter.progress(1, 1, "")
        reporter.phase("predict")
        reporter.task.start_time = (reporter.task.start_time or 0.0) - 75
        assert "0:01:15" in line_of(reporter)


def test_a_run_that_is_done_opens_no_bar() -> None:
    reporter = bar()
    with reporter:
        assert not reporter.progress_bar.live.is_started
        reporter.phase("train")
        assert reporter.progress_bar.live.is_started
    assert not reporter.progress_bar.live.is_started


def test_compilation_is_a_phase_of_its_own_that_enters_no_remaining_time(now: list[float]) -> None:
    with bar() as reporter:
        reporter.phase("predict")
        reporter.progress(1, 4, "")
        reporter.compiling(True)
        assert "compiling, once" in line_of(reporter)
        now[0] = 100.0
        reporter.compiling(False)
        assert "predict" in line_of(reporter)
        assert "compiling" not in line_of(reporter)
        now[0] = 102.0
        reporter.progress(1, 2, "")
        assert "4.0 s left" in line_of(reporter)


def test_plain_lines_name_compilation_once(now: list[float]) -> None:
    console = Console(file=StringIO(), width=200)
    reporter = LineReporter(console, LABEL)
    reporter.phase("predict")
    for _ in range(3):
        reporter.compiling(True)
        reporter.compiling(False)
    reporter.progress(1, 8, "rows")
    now[0] = 20.0
    reporter.progress(2, 8, "rows")
    reporter.progress(1, 0, "rows")
    lines = [line.split(" · ")[1:] for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines == [["predict", "0.0 s"], ["compiling, once", "0.0 s"], ["predict", "25% rows 2 min 0 s left", "20 s"]]


def test_a_finished_run_names_its_compilation() -> None:
    from tests.minimal import minimal_raw
    from xmcbench.records import record_file

    def line(**costs: Any) -> str:
        return show.line(record_file.of(minimal_raw(costs=costs)))

    assert line(fit_seconds=1.0, compile_seconds=12.0).endswith("fit 1.0 s · compiling 12 s, once")
    assert "compiling" not in line(fit_seconds=1.0, compile_seconds=0.0)
    assert Costs().compile_excluded is False, "records that lack the field include compilation in their times"


def test_a_note_names_its_runs_unless_it_is_of_all() -> None:
    from tests.minimal import minimal_raw
    from xmcbench.records import record_file

    method = minimal_raw("r", "tree")["method"] | {"deterministic": False}

    def run(seed: int, *notes: str) -> Any:
        return record_file.of(minimal_raw(f"r{seed}", seed=seed, method=method, notes={"scoring": list(notes)}))

    console = Console(file=StringIO(), width=200)
    show.print_results(console, [run(0, "12 rows tie", "few labels"), run(1, "15 rows tie", "few labels")])
    said = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line for line in said if line.startswith("note: ")] == [
        "note: tree, seed 0: 12 rows tie",
        "note: few labels",
        "note: tree, seed 1: 15 rows tie",
    ]
