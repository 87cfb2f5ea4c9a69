"""Progress of a run or a data set: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.status import Status
from rich.table import Column
from rich.text import Text

from xmcbench.amounts import duration, percent
from xmcbench.context import Reporter
from xmcbench.escaping import safe

WIDE = 110  # a terminal of this many characters has room for a bar and a note
COMPILING = "compiling, once"  # kernels, on this machine; numba caches them


class RunReporter(Reporter):
    """Keeps the phase, the share of it that is done, and the best validation score of the first metric that a method
    reports; prints nothing.

    Loops within a phase may report shares of their own. A share below the largest one so far would look like a step
    back: the share then counts as unknown.
    """

    def __init__(self, console: Console, label: str) -> None:
        self.console, self.label, self.metric, self.best = console, safe(label), "", -1.0
        self.name, self.largest, self.first = "", 0.0, 0.0
        self.first_time = self.compiling_since = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def phase(self, name: str) -> None:
        if safe(name) != self.name:
            self.name, self.largest, self.first, self.first_time = safe(name), 0.0, 0.0, time.monotonic()

    def share(self, done: float, total: float) -> float | None:
        """The share of the phase that is done, 0 to 1; None if unknown."""
        share = min(1.0, done / total) if total > 0 else 0.0
        if not 0 < share >= self.largest:
            return None
        if self.largest == 0:  # reached earlier, by a run that was stopped or by another phase, at unknown speed
            self.first, self.first_time = share, time.monotonic()
        self.largest = share
        return share

    def left(self, share: float | None) -> str:
        """The remaining time of the phase at the speed since its first report; "" if that is unknown or just began."""
        seconds = time.monotonic() - self.first_time
        if share is None or not self.first < share < 1 or seconds < 1:
            return ""
        return f"{duration(seconds * (1 - share) / (share - self.first))} left"

    def compiling(self, begins: bool) -> None:
        now = time.monotonic()
        if begins:
            self.compiling_since = now
        else:
            self.first_time += now - self.compiling_since  # the rest of the phase compiles no more

    def score(self, name: str, value: float) -> None:
        if self.metric in ("", name):
            self.metric, self.best = name, max(self.best, value)

    def best_score(self) -> str:
        return f"best validation {safe(self.metric)} {percent(self.best)}" if self.metric else ""


class _TruncatedColumn(TextColumn):
    """A text column that is truncated on a narrow line, so that phase, times and score are always complete."""

    def __init__(self, text: str) -> None:
        super().__init__(text, table_column=Column(overflow="ellipsis"))

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap = True  # not that of the column, which rich would then not make narrower
        return text


class _TimesColumn(ProgressColumn):
    """Elapsed time of the run, then the remaining time of the phase if it is known."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        elapsed, left = timedelta(seconds=int(task.elapsed or 0)), task.fields["left"]
        return Text(f"{elapsed}, {left}" if left else f"{elapsed}")


class BarReporter(RunReporter):
    """One line per run on a terminal: name, phase, bar, elapsed time of the run, remaining time of the phase, best
    validation score.

    The line appears with the first phase, so that a run that is already done shows none. A narrow terminal shows no
    bar and no note.
    """

    def __init__(self, console: Console, label: str) -> None:
        super().__init__(console, label)
        self.wide = console.width >= WIDE
        self.progress_bar = Progress(
            _TruncatedColumn("{task.description}"),
            TextColumn("[cyan]{task.fields[phase]}"),
            *([BarColumn(bar_width=20)] if self.wide else []),
            _TimesColumn(),
            TextColumn("{task.fields[best]}"),
            *([_TruncatedColumn("[dim]{task.fields[note]}")] if self.wide else []),
            console=console,
            transient=True,
        )
        task = self.progress_bar.add_task(self.label, total=None, phase="", left="", best="", note="")
        self.task = next(one for one in self.progress_bar.tasks if one.id == task)

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):  # a bar that can't be shown must not end the plan
            self.progress_bar.stop()

    def phase(self, name: str) -> None:
        super().phase(name)
        self._show(None, phase=self.name, note="")
        self.progress_bar.start()

    def progress(self, done: float, total: float, note: str) -> None:
        self._show(self.share(done, total), note=safe(note))

    def compiling(self, begins: bool) -> None:
        super().compiling(begins)
        self._show(None, phase=COMPILING if begins else self.name)

    def _show(self, share: float | None, **fields: Any) -> None:
        # A new task per phase would restart the elapsed time, and `update` ignores a total of None.
        self.task.total = None if share is None else 1.0
        self.progress_bar.update(self.task.id, completed=share or 0.0, left=self.left(share), **fields)

    def score(self, name: str, value: float) -> None:
        super().score(name, value)
        best = self.best_score()
        self.progress_bar.update(self.task.id, best=best if self.wide else best.replace("best validation", "best"))


class LineReporter(RunReporter):
    """Plain lines for files and pipes: one per phase, and its progress every `EVERY` seconds."""

    EVERY = 15.0  # seconds

    def __init__(self, console: Console, label: str) -> None:
        super().__init__(console, label)
        self.start = self.last_print = time.monotonic()
        self.compiled = False

    def phase(self, name: str) -> None:
        super().phase(name)
        self._print_line(self.name, "")

    def progress(self, done: float, total: float, note: str) -> None:
        share = self.share(done, total)
        if time.monotonic() - self.last_print >= self.EVERY:
            parts = ("" if share is None else f"{share:.0%}", safe(note), self.left(share))
            self._print_line(self.name, " ".join(part for part in parts if part))

    def compiling(self, begins: bool) -> None:
        super().compiling(begins)
        if begins and not self.compiled:  # kernels are compiled one by one: a line for each would say nothing more
            self.compiled = True
            self._print_line(COMPILING, "")

    def _print_line(self, phase: str, text: str) -> None:
        self.last_print = time.monotonic()
        parts = [self.label, phase, text, self.best_score(), duration(self.last_print - self.start)]
        self.console.print(" · ".join(part for part in parts if part))


def reporter(console: Console, label: str) -> RunReporter:
    """A bar on a terminal, plain lines elsewhere."""
    return BarReporter(console, label) if console.is_terminal else LineReporter(console, label)


class StatusReporter(Reporter):
    """Progress of fetching and parsing a data set, next to a spinner; silent if output is not a terminal."""

    def __init__(self, status: Status, label: str) -> None:
        self.status, self.label, self.name = status, safe(label), ""

    def phase(self, name: str) -> None:
        self.name = safe(name)
        self.status.update(f"{self.label}: {self.name}")

    def progress(self, done: float, total: float, note: str) -> None:
        share = f" {done / total:.0%}" if total else ""
        self.status.update(f"{self.label}: {self.name}{share} {safe(note)}")


@contextmanager
def loading(console: Console, name: str) -> Iterator[StatusReporter]:
    """A spinner with the progress of fetching and parsing a data set."""
    with console.status(f"data set {safe(name)}") as status:
        yield StatusReporter(status, f"data set {name}")
