"""Progress of a run or a data set: one line that is updated in a terminal or a notebook, a line per phase in a log."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import ControlType, Segment

from xmcbench.amounts import clock, duration, percent
from xmcbench.context import Reporter
from xmcbench.escaping import clean
from xmcbench.running.progress_line import Line, fitted, in_ascii

COMPILING = "compiling, once"  # kernels, on this machine; numba caches them
NOTEBOOK_WIDTH = 100  # characters
ERASE_BELOW = Segment("\x1b[J", None, [(ControlType.ERASE_IN_LINE, 0)])  # from the cursor to the end of the screen
TO_START = Segment("\r", None, [(ControlType.CARRIAGE_RETURN,)])


class RunReporter(Reporter):
    """Keeps the phase, the share of it that is done, and the best validation score of the first metric that a method
    reports; prints nothing.

    Loops within a phase may report shares of their own. A share below the largest one so far would look like a step
    back: the share then counts as unknown.
    """

    def __init__(self, console: Console, name: str, position: str = "") -> None:
        """`name`: what is done, such as "tree on icd10cm". `position`: which run of a plan it is, "run 2 of 5"."""
        self.console, self.name, self.position = console, clean(name), position
        self.phase_name, self.note, self.metric, self.best = "", "", "", -1.0
        self.known: float | None = None  # share of the phase, as last reported
        self.largest, self.first, self.is_compiling = 0.0, 0.0, False
        self.start = self.phase_start = self.first_time = self.compiling_since = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def phase(self, name: str) -> None:
        if clean(name) != self.phase_name:
            self.phase_name, self.note, self.known, self.largest, self.first = clean(name), "", None, 0.0, 0.0
            self.phase_start = self.first_time = time.monotonic()

    def progress(self, done: float, total: float, note: str) -> None:
        self.known, self.note = self.share(done, total), clean(note)

    def share(self, done: float, total: float) -> float | None:
        """The share of the phase that is done, 0 to 1; None if unknown."""
        share = min(1.0, done / total) if total > 0 else 0.0
        if not 0 < share >= self.largest:
            return None
        if self.largest == 0:  # reached earlier, by a run that was stopped or by another phase, at unknown speed
            self.first, self.first_time = share, time.monotonic()
        self.largest = share
        return share

    def left(self) -> float | None:
        """Seconds that remain of the phase at the speed since its first report; None if unknown or just begun."""
        seconds, share = time.monotonic() - self.first_time, self.known
        if share is None or not self.first < share < 1 or seconds < 1:
            return None
        return seconds * (1 - share) / (share - self.first)

    def compiling(self, begins: bool) -> None:
        now = time.monotonic()
        if begins:
            self.compiling_since = now
        else:
            self.first_time += now - self.compiling_since  # the rest of the phase compiles no more
        self.is_compiling = begins

    def score(self, name: str, value: float) -> None:
        if self.metric in ("", name):
            self.metric, self.best = name, max(self.best, value)

    def best_score(self) -> str:
        return f"best validation {clean(self.metric)} {percent(self.best)}" if self.metric else ""

    def line(self) -> Line:
        """What a line shows now."""
        now = time.monotonic()
        left: float | None = None
        if self.is_compiling:
            phase, note, share = COMPILING, "", None
        else:
            phase, note, share, left = self.phase_name, self.note, self.known, self.left()
        return Line(
            name=self.name,
            position=self.position,
            phase=phase,
            note=note,
            share=share,
            elapsed=clock(now - self.phase_start),
            left="" if left is None else f"about {clock(left)} left",
            best=self.best_score(),
            total=f"{clock(now - self.start)} in all",
        )


class LiveReporter(RunReporter):
    """One line in a terminal, from the first phase on: a run that is already done shows none.

    The cursor stays at the start of the line and visible. A terminal that gets narrower may wrap the line, and what
    follows the cursor is then exactly the line; a process that is killed leaves no hidden cursor.
    """

    def __init__(self, console: Console, name: str, position: str = "") -> None:
        super().__init__(console, name, position)
        shown = sys.stdout is not None and sys.stdout.isatty()  # what is printed to a file goes there
        self.live = Live(self, console=console, transient=True, redirect_stdout=shown)

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):  # a line that can't be shown must not end the plan
            self.live.stop()

    def phase(self, name: str) -> None:
        super().phase(name)
        if not self.live.is_started:
            self.live.start()
            self.console.show_cursor(True)
            self.live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = fitted(self.line(), max(1, options.max_width - 1))  # some terminals wrap after the last column
        yield ERASE_BELOW
        yield in_ascii(text) if options.ascii_only else text
        yield TO_START


class LogReporter(RunReporter):
    """Whole lines for files and pipes: one per phase, and while it lasts, how far it is, a line each `EVERY` seconds.

    A phase that comes back, as those of every level of a tree do, has no second line.
    """

    EVERY = 60.0

    def __init__(self, console: Console, name: str, position: str = "") -> None:
        super().__init__(console, name, position)
        self.last_print, self.printed = self.start, set[str]()

    def phase(self, name: str) -> None:
        super().phase(name)
        self._print_once(self.phase_name)

    def progress(self, done: float, total: float, note: str) -> None:
        super().progress(done, total, note)
        if time.monotonic() - self.last_print >= self.EVERY:
            left = self.left()
            share = "" if self.known is None else f"{self.known:.0%}"
            parts = (share, self.note, "" if left is None else f"about {duration(left)} left")
            self._print(self.phase_name, ", ".join(part for part in parts if part))

    def compiling(self, begins: bool) -> None:
        super().compiling(begins)
        if begins:
            self._print_once(COMPILING)

    def _print_once(self, phase: str) -> None:
        if phase not in self.printed:
            self.printed.add(phase)
            self._print(phase, "")

    def _print(self, phase: str, text: str) -> None:
        self.last_print = time.monotonic()
        name = f"{self.name}, {self.position}" if self.position else self.name
        best = self.best_score()
        new = "" if best in self.printed else best
        self.printed.add(best)
        parts = [name, phase, text, new, duration(self.last_print - self.start)]
        text = " · ".join(part for part in parts if part)
        self.console.print(text, soft_wrap=True, markup=False, emoji=False, highlight=False)


class NotebookReporter(RunReporter):
    """One line below the cell of a notebook, which is gone at the end."""

    EVERY = 0.5  # seconds between updates

    def __init__(self, console: Console, name: str, position: str = "") -> None:
        super().__init__(console, name, position)
        self.handle: Any = None
        self.last_update = 0.0

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            if self.handle is not None:
                self.handle.update({"text/plain": ""}, raw=True)

    def phase(self, name: str) -> None:
        super().phase(name)
        self._show()

    def progress(self, done: float, total: float, note: str) -> None:
        super().progress(done, total, note)
        if time.monotonic() - self.last_update >= self.EVERY:
            self._show()

    def _show(self) -> None:
        from IPython.display import display  # a notebook has it

        self.last_update = time.monotonic()
        content = {"text/plain": fitted(self.line(), NOTEBOOK_WIDTH).plain}
        if self.handle is None:
            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)


def is_live(console: Console) -> bool:
    """Whether a line can be updated in place: FORCE_COLOR makes a terminal of no pipe."""
    return console.is_interactive and console.file.isatty()


def reporter(console: Console, name: str, position: str = "") -> RunReporter:
    """The reporter for where `console` prints. `name` and `position`: as of `RunReporter`."""
    if console.is_jupyter:
        return NotebookReporter(console, name, position)
    return (LiveReporter if is_live(console) else LogReporter)(console, name, position)


def loading(console: Console, name: str) -> RunReporter:
    """The reporter of fetching and parsing a data set."""
    return reporter(console, f"data set {name}")
