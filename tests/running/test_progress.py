"""What reporters know of a phase, and what they print in a terminal, in a log and in a notebook."""

from __future__ import annotations

import sys
from io import StringIO
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from xmcbench.running import progress
from xmcbench.running.progress import LiveReporter, LogReporter, NotebookReporter, RunReporter, loading, reporter
from xmcbench.running.progress_line import Line, fitted

NAME = "tree[tune] on synthetic[labels=500,rows=4000]"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The reporters' clock in seconds, which a test sets."""
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    return seconds


def silent() -> RunReporter:
    return RunReporter(Console(file=StringIO()), NAME, "run 2 of 5")


def log(width: int = 80) -> LogReporter:
    return LogReporter(Console(file=StringIO(), width=width), NAME, "run 2 of 5")


def lines_of(reporter: RunReporter) -> list[str]:
    return reporter.console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_remaining_time_follows_the_elapsed_one_and_only_if_it_is_known(now: list[float]) -> None:
    run = silent()
    run.phase("encode")
    now[0] = 100.0
    run.phase("train")
    assert (run.line().elapsed, run.line().left) == ("0:00", "")
    run.progress(1, 8, "")
    now[0] = 112.0
    run.progress(2, 8, "")
    assert (run.line().elapsed, run.line().left) == ("0:12", "about 1:12 left"), "six times as long as one eighth took"
    run.progress(8, 8, "")
    assert (run.line().elapsed, run.line().left) == ("0:12", "")
    now[0] = 3700.0
    assert (run.line().elapsed, run.line().total) == ("1:00:00", "1:01:40 in all")


def test_a_phase_that_begins_far_on_was_not_that_fast(now: list[float]) -> None:
    run = silent()
    run.phase("train")
    now[0] = 1.0
    run.progress(6, 10, "resumed")
    now[0] = 3.0
    assert run.left() is None
    run.progress(7, 10, "")
    assert run.left() == pytest.approx(6.0), "two seconds a tenth"


def test_a_share_never_falls_within_a_phase() -> None:
    run = silent()
    run.phase("stage 1")
    shares = [run.share(done, total) for done, total in ((1, 10), (2, 10), (1, 100), (0, 10), (5, 0), (3, 10))]
    assert shares == [0.1, 0.2, None, None, None, 0.3]
    run.phase("stage 1")
    assert run.share(1, 10) is None, "the phase goes on"
    run.phase("stage 2")
    assert run.share(1, 10) == 0.1


def test_compilation_is_a_phase_of_its_own_that_enters_no_remaining_time(now: list[float]) -> None:
    run = silent()
    run.phase("predict")
    run.progress(1, 4, "rows")
    run.compiling(True)
    assert (run.line().phase, run.line().note, run.line().share) == ("compiling, once", "", None)
    now[0] = 100.0
    run.compiling(False)
    assert (run.line().phase, run.line().note) == ("predict", "rows")
    now[0] = 102.0
    run.progress(1, 2, "rows")
    assert run.line().left == "about 0:04 left"


def test_the_best_score_of_the_first_metric_is_kept() -> None:
    run = silent()
    run.phase("train")
    for name, value in (("nDCG@5", 0.5), ("nDCG@5", 0.8184), ("nDCG@5", 0.7), ("P@1", 0.9)):
        run.score(name, value)
    assert run.line() == Line(
        NAME, "run 2 of 5", "train", "", None, "0:00", "", "best validation nDCG@5 81.84", "0:00 in all"
    )


def test_names_of_plugins_cannot_control_the_terminal() -> None:
    run = RunReporter(Console(file=StringIO()), "a\x1b[2Jb\nc")
    run.phase("x\ry")
    run.progress(1, 2, "n\n[red]o[/] :smile:")
    assert fitted(run.line(), 79).plain.startswith("a [2Jb c · x y · n [red]o[/] :smile: ▓")


def test_a_log_has_one_unwrapped_line_per_phase_and_news_once(now: list[float]) -> None:
    run = log()
    run.phase("cluster")
    run.phase("train")
    run.phase("cluster")
    for _ in range(3):
        run.compiling(True)
        run.compiling(False)
    run.score("nDCG@5", 0.5)
    now[0] = 84.0
    run.phase("train")
    run.phase("a phase with a long name, which no width of a terminal may wrap")
    run.score("nDCG@5", 0.4)
    run.phase("predict [red]")
    begin = f"{NAME}, run 2 of 5 · "
    assert lines_of(run) == [
        begin + "cluster · 0.0 s",
        begin + "train · 0.0 s",
        begin + "compiling, once · 0.0 s",
        begin + "a phase with a long name, which no width of a terminal may wrap · best validation nDCG@5 50.00"
        " · 1 min 24 s",
        begin + "predict [red] · 1 min 24 s",
    ]


def test_a_log_says_each_minute_how_far_a_long_phase_is(now: list[float]) -> None:
    run = log()
    run.phase("train")
    for second in range(0, 131, 5):
        now[0] = float(second)
        run.progress(second, 240, "epoch 1/2")
    assert [line.split(" · ", 1)[1] for line in lines_of(run)] == [
        "train · 0.0 s",
        "train · 25%, epoch 1/2, about 3 min 0 s left · 1 min 0 s",
        "train · 50%, epoch 1/2, about 2 min 0 s left · 2 min 0 s",
    ]


def test_a_terminal_gets_a_line_that_ends_where_it_began() -> None:
    console = Console(file=Terminal(), width=60, force_terminal=True, color_system=None)
    with LiveReporter(console, NAME) as run:
        assert console.file.getvalue() == "", "a run that is already done shows no line"  # type: ignore[attr-defined]
        run.phase("train")
        assert run.live.is_started
        run.live.refresh()
        console.print("a line above")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert not run.live.is_started
    updates = [part.split("\r")[0] for part in text.split("\x1b[J")[1:]]
    assert len(updates) >= 4
    assert {update.partition("0:")[0] for update in updates} == {"tree[tune] on synthetic · train "}
    assert text.count("\n") == 2, "the printed line, and one that rich goes down and up again"
    assert text.endswith("\x1b[1A\x1b[2K"), "nothing is left"
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown"


def test_a_line_that_cannot_be_taken_away_ends_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    with LiveReporter(Console(file=Terminal(), width=60, force_terminal=True), NAME) as run:
        run.phase("train")
        stop = run.live.stop
        monkeypatch.setattr(run.live, "stop", lambda: (stop(), 1 / 0))
    assert not run.live.is_started


@pytest.mark.parametrize(
    ("file", "settings", "kind"),
    [
        (Terminal(), {"force_terminal": True}, LiveReporter),
        (Terminal(), {"force_terminal": True, "force_interactive": False}, LogReporter),
        (StringIO(), {}, LogReporter),
        (StringIO(), {"force_terminal": True}, LogReporter),
        (StringIO(), {"force_jupyter": True}, NotebookReporter),
    ],
    ids=["terminal", "dumb terminal", "pipe", "pipe with FORCE_COLOR", "notebook"],
)
def test_where_the_console_prints_decides(file: StringIO, settings: dict[str, Any], kind: type[RunReporter]) -> None:
    console = Console(file=file, width=80, **settings)
    assert type(reporter(console, NAME)) is kind
    assert loading(console, "mine").name == "data set mine"


def test_a_notebook_gets_one_output_that_is_updated_and_empty_in_the_end(
    monkeypatch: pytest.MonkeyPatch, now: list[float]
) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, content: dict[str, str], *, raw: bool) -> None:
            assert raw
            shown.append(content["text/plain"])

    def display(content: dict[str, str], **options: bool) -> Handle:
        assert not shown, "displayed once"
        assert options == {"raw": True, "display_id": True}
        Handle().update(content, raw=True)
        return Handle()

    module = ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    with NotebookReporter(Console(file=StringIO()), "tree on mine") as run:
        run.phase("train")
        run.progress(1, 4, "")
        now[0] = 2.0
        run.progress(2, 4, "epoch 1/2")
    assert shown == [
        "tree on mine · train 0:00 · 0:00 in all",
        f"tree on mine · train · epoch 1/2 {'▓' * 10}{'░' * 10} 0:02, about 0:04 left · 0:02 in all",
        "",
    ]
    with NotebookReporter(Console(file=StringIO()), "tree on mine"):
        pass  # a run that was done before
    assert len(shown) == 3
