"""What a run looks like: a plan first, one line a run while it works, a table at the end.

All of it goes to standard error when standard output carries JSON.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from xmcbench.cli.tuned import chosen
from xmcbench.context import Reporter
from xmcbench.results.record import metric

if TYPE_CHECKING:
    from xmcbench.results.record import Record

COLUMNS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@5", "R@100")
NARROW_COLUMNS = ("P@1", "P@5", "nDCG@5", "PSP@5", "R@100")  # what fits into 80 characters
WIDE = 110  # characters that the usual columns need
STATUS_STYLE = {"ok": "green", "skipped": "yellow", "interrupted": "yellow"}


def make_console(*, stderr: bool = False) -> Console:
    """A console that does not cut tables where output is a file or a pipe."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=160)


def safe(text: object) -> str:
    """Text from data or plugins, without control characters and with rich's markup neutralised."""
    return escape("".join(c if c.isprintable() else " " for c in str(text)))


def duration(seconds: float | None) -> str:
    """Seconds as people say them: 8 s, 3 min 20 s, 2 h 5 min; "?" where unknown."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class _Yielding(TextColumn):
    """Text that is cut where a line has no room for all: phase, times and score stand whole beside it."""

    def __init__(self, text: str) -> None:
        super().__init__(text, table_column=Column(overflow="ellipsis"))

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap = True
        return text


class BarReporter(Reporter):
    """One line a run on a terminal: name, phase, bar, elapsed, remaining in this phase, best validation score.

    A narrow terminal goes without the bar and the note.
    """

    def __init__(self, console: Console, label: str) -> None:
        wide = console.width >= WIDE
        self.progress_bar = Progress(
            _Yielding("{task.description}"),
            TextColumn("[cyan]{task.fields[phase]}"),
            *([BarColumn(bar_width=20)] if wide else []),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[best]}"),
            *([_Yielding("[dim]{task.fields[note]}")] if wide else []),
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
        # A fresh task a phase would restart "elapsed"; resetting only the counters keeps the run's own clock.
        self.progress_bar.update(self.task, phase=safe(name), completed=0, total=None, note="")

    def progress(self, done: float, total: float, note: str) -> None:
        self.progress_bar.update(self.task, completed=done, total=total, note=safe(note))

    def score(self, name: str, value: float) -> None:
        self.best.add(name, value)
        self.progress_bar.update(self.task, best=self.best.text())


class StatusReporter(Reporter):
    """Where fetching and parsing a data set is, beside a spinner; nothing where output is no terminal."""

    def __init__(self, status: Status, label: str) -> None:
        self.status, self.label, self.name = status, label, ""

    def phase(self, name: str) -> None:
        self.name = name
        self.status.update(f"{safe(self.label)}: {safe(name)}")

    def progress(self, done: float, total: float, note: str) -> None:
        share = f" {100 * done / total:.0f} %" if total else ""
        self.status.update(f"{safe(self.label)}: {safe(self.name)}{share} {safe(note)}")


class LineReporter(Reporter):
    """Plain lines for files and pipes: each phase once, and every so often how far it is."""

    EVERY = 15.0  # seconds

    def __init__(self, console: Console, label: str) -> None:
        self.console, self.label, self.best = console, label, _Best()
        self.start = self.said = time.monotonic()
        self.name = ""

    def __enter__(self) -> LineReporter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def phase(self, name: str) -> None:
        self.name = name
        self._say("")

    def progress(self, done: float, total: float, note: str) -> None:
        if time.monotonic() - self.said >= self.EVERY:
            share = f"{100 * done / total:.0f} %" if total else ""
            self._say(f"{share} {note}")

    def score(self, name: str, value: float) -> None:
        self.best.add(name, value)

    def _say(self, text: str) -> None:
        self.said = time.monotonic()
        parts = [safe(self.label), safe(self.name), safe(text).strip(), self.best.text()]
        line = " · ".join(p for p in parts if p)
        self.console.print(f"{line} · {duration(self.said - self.start)}", soft_wrap=True, highlight=False)


class _Best:
    """The best validation score so far, of the first metric a method reports."""

    def __init__(self, title: str = "best validation ") -> None:
        self.title, self.name, self.value = title, "", -1.0

    def add(self, name: str, value: float) -> None:
        if self.name in ("", name):
            self.name, self.value = name, max(self.value, value)

    def text(self) -> str:
        return f"{self.title}{safe(self.name)} {100 * self.value:.2f}" if self.name else ""


def reporter(console: Console, label: str) -> BarReporter | LineReporter:
    """The reporter that fits where output goes."""
    return BarReporter(console, label) if console.is_terminal else LineReporter(console, label)


def print_plan(console: Console, rows: Sequence[tuple[str, str, int, str]], total: str) -> None:
    """What will be done: (method, data set, seed, estimate) a run, before anything starts."""
    table = Table(title="Plan", title_justify="left", box=None, header_style="bold")
    for name in ("method", "data set", "seed", "estimate"):
        table.add_column(name, no_wrap=True)
    for method, dataset, seed, estimate in rows:
        table.add_row(safe(method), safe(dataset), str(seed), estimate)
    console.print(table)
    console.print(total, highlight=False)


def line(record: Record, already: bool) -> str:
    """One finished run in one line; why it is not ok stands below the final table."""
    status = record["status"]
    style = STATUS_STYLE.get(status, "red")
    parts = [f"[{style}]{status}[/{style}]", f"{safe(record['method']['label'])} on {safe(record['dataset']['name'])}"]
    p1 = metric(record, "P@1")
    if p1 is not None:
        parts.append(f"P@1 {100 * p1:.2f}")
    if record["costs"]["fit_seconds"] is not None:
        parts.append(f"fit {duration(record['costs']['fit_seconds'])}")
    if record["costs"].get("tune_seconds") is not None:  # records of older versions have no such key
        parts.append(f"tuning {duration(record['costs']['tune_seconds'])}")
    if already:
        parts.append("[dim]done before, not run again[/dim]")
    return " · ".join(parts)


def print_results(console: Console, records: Sequence[Record]) -> None:
    """A table a data set: our metrics in percent, best reachable values below, then what was left out and why."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        data = record["dataset"]
        groups.setdefault((f"{data['name']} ({data['view']})", data["content_hash"]), []).append(record)
    for (title, _), group in groups.items():
        done = [r for r in group if r["status"] == "ok"]
        names = shown_metrics(done, COLUMNS if console.width >= WIDE else NARROW_COLUMNS)
        table = Table(title=f"{safe(title)}, percent", title_justify="left", box=None, header_style="bold")
        table.add_column("method", overflow="fold")
        table.add_column("seed", justify="right")
        for name in (*names, "fit", "ms/row", "MiB"):
            table.add_column(name, justify="right", no_wrap=True)
        for record in sorted(done, key=lambda r: -(metric(r, names[0]) or 0.0) if names else 0.0):
            table.add_row(*_cells(record, names))
        if done:
            best = {entry["name"]: entry["best"] for entry in done[0]["metrics"]}
            table.add_row("[dim]best reachable[/dim]", "", *(f"[dim]{_percent(best.get(n))}[/dim]" for n in names))
            planted = done[0]["dataset"]["extra"].get("best_reachable", {})
            if planted:  # synthetic data: what whoever knows the world could reach
                row = (f"[dim]{_percent(planted[n])}[/dim]" if n in planted else "" for n in names)
                table.add_row("[dim]knowing the world[/dim]", "", *row)
            console.print(table)
        for record in done:
            if text := chosen(record):
                seed = "" if record["method"]["deterministic"] else f", seed {record['seed']}"
                who = f"{record['method']['label']}{seed}"
                console.print(f"{safe(who)}: {safe(text)}", soft_wrap=True, highlight=False)
        for record in group:
            if record["status"] != "ok":
                why = safe(" ".join(record["reason"].split()))
                console.print(f"{line(record, False)}: {why}", soft_wrap=True, highlight=False)
        notes = {note for record in done for kind in ("scoring", "remarks") for note in record["notes"].get(kind, [])}
        for note in sorted(notes):
            console.print(f"note: {safe(note)}", soft_wrap=True, highlight=False)


def shown_metrics(records: Sequence[Mapping[str, Any]], usual: Sequence[str]) -> list[str]:
    """The usual columns as far as the records have them, else the first they have."""
    have = [entry["name"] for entry in records[0]["metrics"]] if records else []
    return [name for name in usual if name in have] or have[: len(usual)]


def _cells(record: Record, names: Sequence[str]) -> list[str]:
    costs, n_test = record["costs"], record["dataset"]["n_test"]
    predict = None if costs["predict_seconds"] is None else 1e3 * costs["predict_seconds"] / max(n_test, 1)
    size = None if costs["model_bytes"] is None else costs["model_bytes"] / 2**20
    return [
        safe(record["method"]["label"]),
        "" if record["method"]["deterministic"] else str(record["seed"]),
        *(_percent(metric(record, name)) for name in names),
        duration(costs["fit_seconds"]),
        "?" if predict is None else f"{predict:.2f}",
        "?" if size is None else f"{size:.1f}",
    ]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f}"
