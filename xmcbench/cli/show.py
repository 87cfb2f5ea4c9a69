"""Terminal output of runs: the plan, progress and one line per run, and a table of results.

All of it goes to standard error if standard output has JSON.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from xmcbench.cli.tuned import chosen
from xmcbench.context import Reporter

if TYPE_CHECKING:
    from xmcbench.results.record import Record

COLUMNS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@5", "R@100")
NARROW_COLUMNS = ("P@1", "P@5", "nDCG@5", "PSP@5", "R@100")  # fit into 80 characters
WIDE = 110  # width in characters that `COLUMNS` need
STATUS_STYLE = {"ok": "green", "skipped": "yellow", "interrupted": "yellow"}


def make_console(*, stderr: bool = False) -> Console:
    """A console that does not truncate tables if output is a file or a pipe."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=160)


def safe(text: object) -> str:
    """Text from data or plugins, without control characters and with rich markup escaped."""
    return escape("".join(c if c.isprintable() else " " for c in str(text)))


def duration(seconds: float | None) -> str:
    """Format seconds as 8 s, 3 min 20 s or 2 h 5 min; "?" for None."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _TruncatedColumn(TextColumn):
    """A text column that is truncated on a narrow line, so that phase, times and score are always complete."""

    def __init__(self, text: str) -> None:
        super().__init__(text, table_column=Column(overflow="ellipsis"))

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap = True
        return text


class BarReporter(Reporter):
    """One line per run on a terminal: name, phase, bar, elapsed and remaining time, best validation score.

    The remaining time is that of the phase. A narrow terminal shows no bar and no note.
    """

    def __init__(self, console: Console, label: str) -> None:
        wide = console.width >= WIDE
        self.progress_bar = Progress(
            _TruncatedColumn("{task.description}"),
            TextColumn("[cyan]{task.fields[phase]}"),
            *([BarColumn(bar_width=20)] if wide else []),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[best]}"),
            *([_TruncatedColumn("[dim]{task.fields[note]}")] if wide else []),
            console=console,
            transient=True,
        )
        self.console, self.label, self.best = console, label, _Best("best validation " if wide else "best ")
        self.task = self.progress_bar.add_task(safe(label), total=None, phase="", best="", note="")

    def __enter__(self) -> BarReporter:
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
        self.best.add(name, value)
        self.progress_bar.update(self.task, best=self.best.text())


class StatusReporter(Reporter):
    """Progress of fetching and parsing a data set, next to a spinner; silent if output is not a terminal."""

    def __init__(self, status: Status, label: str) -> None:
        self.status, self.label, self.name = status, label, ""

    def phase(self, name: str) -> None:
        self.name = name
        self.status.update(f"{safe(self.label)}: {safe(name)}")

    def progress(self, done: float, total: float, note: str) -> None:
        share = f" {100 * done / total:.0f} %" if total else ""
        self.status.update(f"{safe(self.label)}: {safe(self.name)}{share} {safe(note)}")


class LineReporter(Reporter):
    """Plain lines for files and pipes: one per phase, and its progress every `EVERY` seconds."""

    EVERY = 15.0  # seconds

    def __init__(self, console: Console, label: str) -> None:
        self.console, self.label, self.best = console, label, _Best()
        self.start = self.last_print = time.monotonic()
        self.name = ""

    def __enter__(self) -> LineReporter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def phase(self, name: str) -> None:
        self.name = name
        self._print_line("")

    def progress(self, done: float, total: float, note: str) -> None:
        if time.monotonic() - self.last_print >= self.EVERY:
            share = f"{100 * done / total:.0f} %" if total else ""
            self._print_line(f"{share} {note}")

    def score(self, name: str, value: float) -> None:
        self.best.add(name, value)

    def _print_line(self, text: str) -> None:
        self.last_print = time.monotonic()
        parts = [safe(self.label), safe(self.name), safe(text).strip(), self.best.text()]
        line = " · ".join(p for p in parts if p)
        self.console.print(f"{line} · {duration(self.last_print - self.start)}", soft_wrap=True, highlight=False)


class _Best:
    """The best validation score so far, for the first metric that a method reports."""

    def __init__(self, title: str = "best validation ") -> None:
        self.title, self.name, self.value = title, "", -1.0

    def add(self, name: str, value: float) -> None:
        if self.name in ("", name):
            self.name, self.value = name, max(self.value, value)

    def text(self) -> str:
        return f"{self.title}{safe(self.name)} {100 * self.value:.2f}" if self.name else ""


def reporter(console: Console, label: str) -> BarReporter | LineReporter:
    """A bar on a terminal, plain lines elsewhere."""
    return BarReporter(console, label) if console.is_terminal else LineReporter(console, label)


def print_plan(console: Console, rows: Sequence[tuple[str, str, int, str]], total: str) -> None:
    """Print the plan: rows (method, data set, seed, estimate), one per run, and a summary line."""
    table = Table(title="Plan", title_justify="left", box=None, header_style="bold")
    for name in ("method", "data set", "seed", "estimate"):
        table.add_column(name, no_wrap=True)
    for method, dataset, seed, estimate in rows:
        table.add_row(safe(method), safe(dataset), str(seed), estimate)
    console.print(table)
    console.print(total, highlight=False)


def line(record: Record, reused: bool) -> str:
    """One finished run as one line; `print_results` shows the reason of a failure."""
    status = record.status
    style = STATUS_STYLE.get(status, "red")
    parts = [f"[{style}]{status}[/{style}]", f"{safe(record.method.label)} on {safe(record.dataset.name)}"]
    p1 = record.metric("P@1")
    if p1 is not None:
        parts.append(f"P@1 {100 * p1:.2f}")
    if record.costs.fit_seconds is not None:
        parts.append(f"fit {duration(record.costs.fit_seconds)}")
    if record.costs.tune_seconds is not None:
        parts.append(f"tuning {duration(record.costs.tune_seconds)}")
    if reused:
        parts.append("[dim]already done, not run again[/dim]")
    return " · ".join(parts)


def print_results(console: Console, records: Sequence[Record]) -> None:
    """Print a table of metrics in percent per data set, with the best reachable values and the failed runs below."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        data = record.dataset
        groups.setdefault((f"{data.name} ({data.view})", data.content_hash), []).append(record)
    for (title, _), group in groups.items():
        successful = [r for r in group if r.status == "ok"]
        names = shown_metrics(successful, COLUMNS if console.width >= WIDE else NARROW_COLUMNS)
        table = Table(title=f"{safe(title)}, percent", title_justify="left", box=None, header_style="bold")
        table.add_column("method", overflow="fold")
        table.add_column("seed", justify="right")
        for name in (*names, "fit", "ms/row", "MiB"):
            table.add_column(name, justify="right", no_wrap=True)
        for record in sorted(successful, key=lambda r: -(r.metric(names[0]) or 0.0) if names else 0.0):
            table.add_row(*_cells(record, names))
        if successful:
            best = {one.name: one.best for one in successful[0].metrics}
            table.add_row("[dim]best reachable[/dim]", "", *(f"[dim]{_percent(best.get(n))}[/dim]" for n in names))
            optimum = successful[0].best_reachable
            if optimum:  # synthetic data: the optimum given the generating distribution
                row = (f"[dim]{_percent(optimum[n])}[/dim]" if n in optimum else "" for n in names)
                table.add_row("[dim]knowing the world[/dim]", "", *row)
            console.print(table)
        for record in successful:
            if text := chosen(record):
                seed = "" if record.method.deterministic else f", seed {record.seed}"
                run_name = f"{record.method.label}{seed}"
                console.print(f"{safe(run_name)}: {safe(text)}", soft_wrap=True, highlight=False)
        for record in group:
            if record.status != "ok":
                reason = safe(" ".join((record.reason or "").split()))
                console.print(f"{line(record, False)}: {reason}", soft_wrap=True, highlight=False)
        notes = {note for record in successful for note in [*record.noted("scoring"), *record.noted("remarks")]}
        for note in sorted(notes):
            console.print(f"note: {safe(note)}", soft_wrap=True, highlight=False)


def shown_metrics(records: Sequence[Record], usual: Sequence[str]) -> list[str]:
    """The metrics of `usual` that the records have, else the first metrics of the records."""
    names = [one.name for one in records[0].metrics] if records else []
    return [name for name in usual if name in names] or names[: len(usual)]


def _cells(record: Record, names: Sequence[str]) -> list[str]:
    costs, n_test = record.costs, record.dataset.n_test
    predict = None if costs.predict_seconds is None else 1e3 * costs.predict_seconds / max(n_test, 1)
    size = None if costs.model_bytes is None else costs.model_bytes / 2**20
    return [
        safe(record.method.label),
        "" if record.method.deterministic else str(record.seed),
        *(_percent(record.metric(name)) for name in names),
        duration(costs.fit_seconds),
        "?" if predict is None else f"{predict:.2f}",
        "?" if size is None else f"{size:.1f}",
    ]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"
