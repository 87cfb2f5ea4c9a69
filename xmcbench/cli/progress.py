"""Progress of a run or a data set: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Column
from rich.text import Text

from xmcbench.cli.terminal import duration, percent, safe
from xmcbench.context import Reporter

WIDE = 110  # a terminal of this many characters has room for a bar and a note


class RunReporter(Reporter):
    """Keeps the best validation score so far, of the first metric that a method reports; prints nothing."""

    def __init__(self, console: Console, label: str) -> None:
        self.console, self.label, self.metric, self.best = console, safe(label), "", -1.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

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


class BarReporter(RunReporter):
    """One line per run on a terminal: name, phase, bar, elapsed and remaining time, best validation score.

    The remaining time is that of the phase. A narrow terminal shows no bar and no note.
    """

    def __init__(self, console: Console, label: str) -> None:
        super().__init__(console, label)
        self.wide = console.width >= WIDE
        self.progress_bar = Progress(
            _TruncatedColumn("{task.description}"),
            TextColumn("[cyan]{task.fields[phase]}"),
            *([BarColumn(bar_width=20)] if self.wide else []),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[best]}"),
            *([_TruncatedColumn("[dim]{task.fields[note]}")] if self.wide else []),
            console=console,
            transient=True,
        )
        self.task = self.progress_bar.add_task(self.label, total=None, phase="", best="", note="")

    def __enter__(self) -> Self:
        self.progress_bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress_bar.stop()

    def phase(self, name: str) -> None:
        # A new task per phase would restart the elapsed time, so only the counters are reset.
        self.progress_bar.update(self.task, phase=safe(name), completed=0, total=None, note="")

    def progress(self, done: float, total: float, note: str) -> None:
        self.progress_bar.update(self.task, completed=done, total=total, note=safe(note))

    def score(self, name: str, value: float) -> None:
        super().score(name, value)
        best = self.best_score()
        self.progress_bar.update(self.task, best=best if self.wide else best.replace("best validation", "best"))


class LineReporter(RunReporter):
    """Plain lines for files and pipes: one per phase, and its progress every `EVERY` seconds."""

    EVERY = 15.0  # seconds

    def __init__(self, console: Console, label: str) -> None:
        super().__init__(console, label)
        self.start = self.last_print = time.monotonic()
        self.name = ""

    def phase(self, name: str) -> None:
        self.name = safe(name)
        self._print_line("")

    def progress(self, done: float, total: float, note: str) -> None:
        if time.monotonic() - self.last_print >= self.EVERY:
            self._print_line(safe(f"{done / total:.0%} {note}" if total else note))

    def _print_line(self, text: str) -> None:
        self.last_print = time.monotonic()
        parts = [self.label, self.name, text.strip(), self.best_score(), duration(self.last_print - self.start)]
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
