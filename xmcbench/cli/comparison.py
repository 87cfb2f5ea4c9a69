"""How a comparison looks: the two runs, a line a metric, and where they differ most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from xmcbench.cli.show import WIDE, make_console, safe
from xmcbench.cli.tuned import chosen

if TYPE_CHECKING:
    from xmcbench.comparison.compare import Verdict
    from xmcbench.comparison.differences import Differences
    from xmcbench.comparison.paired import Gap
    from xmcbench.results.record import Record


def print_runs(first: Record, second: Record) -> None:
    """Which runs A and B are."""
    console = make_console()
    for name, record in (("A", first), ("B", second)):
        data = record["dataset"]
        seed = "no seed" if record["seed"] is None else f"seed {record['seed']}"
        status = "" if record["status"] == "ok" else f", status {record['status']}"
        console.print(
            f"{name}: {safe(record['method']['label'])} on {safe(data['name'])} ({safe(data['view'])}), "
            f"{safe(seed + status)}, {safe(record['run_id'])}",
            soft_wrap=True,
        )
        if text := chosen(record):
            console.print(f"   tuned: {safe(text)}", soft_wrap=True)


def print_gaps(verdicts: Sequence[Verdict], gaps: Sequence[Gap], together: bool) -> None:
    """A line a metric, in percent; `together`: near-duplicate rows were drawn and swapped as one."""
    console = make_console()
    near = ", near-duplicates together" if together else ""
    several = ", not adjusted for the number of metrics" if len(verdicts) > 1 else ""
    console.print(
        f"percent; interval: 95 % over the same test rows{near}; p: paired randomisation test{several}; "
        "won, lost: rows in which B has more, or less",
        soft_wrap=True,
    )
    table = Table(box=None)
    for column in ("metric", "A", "B", "B − A", "interval", "p", "won", "lost", "verdict"):
        if column not in ("won", "lost") or console.width >= WIDE:
            table.add_column(column, justify="left" if column in ("metric", "verdict") else "right", no_wrap=True)
    for v, gap in zip(verdicts, gaps, strict=True):
        interval = ""
        if gap.low is not None and gap.high is not None:
            interval = safe(f"[{100 * gap.low:+.2f}, {100 * gap.high:+.2f}]")
        values = ["–" if x is None else f"{100 * x:.2f}" for x in (v.expected, v.got)]
        shown = "–" if gap.difference is None else f"{100 * gap.difference:+.2f}"
        rows = ["" if x is None else f"{x:,}" for x in (gap.won, gap.lost)] if console.width >= WIDE else []
        verdict = v.verdict + (f" ({v.why})" if v.why else "")
        table.add_row(safe(v.metric), *values, shown, interval, p_value(gap.p), *rows, verdict)
    console.print(table)
    if console.width < WIDE:
        console.print("(no room for rows won and lost; --json has all)", soft_wrap=True)


def p_value(p: float | None) -> str:
    """Four digits, or the order of magnitude where those would be zeros; nothing for None."""
    if p is None:
        return ""
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.0e}"


def print_differences(found: Differences) -> None:
    """The labels and documents in which B gains most, then those in which A does."""
    console = make_console()
    labels = Table(title=f"\nlabels where they differ most: test rows in which each finds them within {found.k}")
    documents = Table(title=f"\ndocuments where they differ most: labels each finds within {found.k}")
    for table, columns in (
        (labels, ("label", "train rows", "test rows", "A", "B", "text")),
        (documents, ("test row", "labels", "A", "B", "text")),
    ):
        table.box, table.title_justify, table.title_style = None, "left", ""
        for column in columns:
            text = column == "text"  # which alone gives way where a terminal is narrow
            table.add_column(column, justify="left" if text else "right", no_wrap=not text)
    for label in found.labels:
        counts = (f"{x:,}" for x in (label.train_rows, label.test_rows, label.a_hits, label.b_hits))
        labels.add_row(str(label.label), *counts, safe(label.text or ""))
    for document in found.documents:
        counts = (f"{x:,}" for x in (document.true_labels, document.a_hits, document.b_hits))
        documents.add_row(str(document.row), *counts, safe(document.text or ""))
    for table, what in ((labels, "labels"), (documents, "documents")):
        if table.row_count:
            console.print(table)
        else:
            console.print(f"\n{what}: both find the same within {found.k}", soft_wrap=True)
