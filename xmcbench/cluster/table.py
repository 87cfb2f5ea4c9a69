"""The progress of all runs of a cluster: a table that is updated in a terminal, a line per event in a log."""

from __future__ import annotations

import time
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from xmcbench.amounts import clock, duration
from xmcbench.cluster.node import State
from xmcbench.errors import counted
from xmcbench.escaping import safe
from xmcbench.running.progress import is_live
from xmcbench.running.progress_line import fitted, in_ascii

SPARE = 3  # lines of the terminal that the table leaves free
EVERY = 60.0  # seconds between lines of a log about the same run, as on one machine


class ProgressTable:
    """Counts of runs, and a line for each that a node executes.

    A terminal never wraps a line, and shows as many as it has room for.
    """

    def __init__(self, console: Console) -> None:
        self.console, self.start = console, time.monotonic()
        self.total = self.done = self.waiting = 0
        self.states: dict[int, State] = {}
        self.names: dict[int, str] = {}  # of the tasks
        self.attempts: dict[int, str] = {}  # the newest one of each task that was announced
        self.printed: dict[int, float] = {}  # when a log got the newest line about a task
        self.live = Live(self, console=console, transient=True) if is_live(console) else None

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def report(self, number: int, state: State) -> None:
        """A node sent its state; the first one of an attempt is an event. A log tells how far it is each `EVERY`."""
        self.states[number] = state
        if self.attempts.get(number) != state.attempt:
            again = "again " if number in self.attempts else ""
            self.attempts[number] = state.attempt
            self._log(number, f"started {again}on {state.node}: {self.names[number]}")
        elif time.monotonic() - self.printed.get(number, self.start) >= EVERY:
            line = state.line
            share = "" if line.share is None else f"{line.share:.0%}"
            parts = (f"{line.name}, {line.position}", line.phase, share, line.note, line.left)
            self._log(number, " · ".join(part for part in parts if part))

    def _log(self, number: int, text: str) -> None:
        """Print a line about a task where no table shows it."""
        self.printed[number] = time.monotonic()
        if self.live is None:
            self.note(text)

    def ended(self, number: int) -> None:
        """No node executes the task any more."""
        self.states.pop(number, None)

    def node(self, number: int) -> str:
        """The name of the node that executes the task; "" if none is known to."""
        state = self.states.get(number)
        return "" if state is None else state.node

    def note(self, text: str) -> None:
        """Print an event; in a log with the time since the start."""
        since = f" · {duration(time.monotonic() - self.start)}" if self.live is None else ""
        self.console.print(safe(text) + since, soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(1, options.max_width - 1)  # some terminals wrap after the last column
        lines = [self._counts(), *(fitted(state.line, width) for _, state in sorted(self.states.items()))]
        room = max(1, console.height - SPARE)
        if len(lines) > room:
            lines[room - 1 :] = [Text(f"and {counted(len(lines) - room + 1, 'run')} more")]
        for line in lines:
            line.truncate(width, overflow="ellipsis")
            line.end = "\n"
            yield in_ascii(line) if options.ascii_only else line

    def _counts(self) -> Text:
        executed = len(self.states)
        parts = [f"{self.done} of {counted(self.total, 'run')} done", f"{executed} executed now"]
        if self.waiting:
            parts.append(f"{self.waiting} waiting for another process that executes the same runs")
        return Text(" · ".join([*parts, clock(time.monotonic() - self.start)]), "bold", end="\n", no_wrap=True)
