"""Print a comparison: the two runs, a table of metrics, and the largest differences."""

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
    """Print which runs A and B are."""
    console = make_console()
    for name, record in (("A", first), ("B", second)):
        data = record.dataset
        seed = "no seed" if record.seed is None else f"seed {record.seed}"
        status = "" if record.status == "ok" else f", status {record.status}"
        console.print(
            f"{name}: {safe(record.method.label)} on {safe(data.name)} ({safe(data.view)}), "
            f"{safe(seed + status)}, {safe(record.run_id)}",
            soft_wrap=True,
        )
        if text := chosen(record):
            console.print(f"   tuned: {safe(text)}", soft_wrap=True)


def print_gaps(verdicts: Sequence[Verdict], gaps: Sequence[Gap], grouped: bool) -> None:
    """Print a table of metrics in percent. `grouped`: near-duplicate rows were resampled and swapped together."""
    console = make_console()
    grouping = ", near-duplicates together" if grouped else ""
    adjustment = ", not adjusted for the number of metrics" if len(verdicts) > 1 else ""
    console.print(
        f"percent; interval: 95 % over the same test rows{grouping}; p: paired randomisation test{adjustment}; "
        "won, lost: rows in which B is better or worse",
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
        difference = "–" if gap.difference is None else f"{100 * gap.difference:+.2f}"
        rows = ["" if x is None else f"{x:,}" for x in (gap.won, gap.lost)] if console.width >= WIDE else []
        verdict = v.verdict + (f" ({v.why})" if v.why else "")
        table.add_row(safe(v.metric), *values, difference, interval, p_value(gap.p), *rows, verdict)
    console.print(table)
    if console.width < WIDE:
        console.print("(no room for rows won and lost; --json has all)", soft_wrap=True)


def p_value(p: float | None) -> str:
    """A p-value with four digits, in scientific notation if smaller; "" for None."""
    if p is None:
        return ""
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.0e}"


def print_differences(differences: Differences) -> None:
    """Print the labels and documents with the largest gains of B, then of A."""
    console = make_console()
    labels = Table(title=f"\nlabels that differ most: test rows with a hit within the first {differences.k}")
    documents = Table(title=f"\ndocuments that differ most: hits within the first {differences.k}")
    for table, columns in (
        (labels, ("label", "train rows", "test rows", "A", "B", "text")),
        (documents, ("test row", "labels", "A", "B", "text")),
    ):
        table.box, table.title_justify, table.title_style = None, "left", ""
        for column in columns:
            text = column == "text"  # the only column that wraps on a narrow terminal
            table.add_column(column, justify="left" if text else "right", no_wrap=not text)
    for label in differences.labels:
        counts = (f"{x:,}" for x in (label.train_rows, label.test_rows, label.a_hits, label.b_hits))
        labels.add_row(str(label.label), *counts, safe(label.text or ""))
    for document in differences.documents:
        counts = (f"{x:,}" for x in (document.true_labels, document.a_hits, document.b_hits))
        documents.add_row(str(document.row), *counts, safe(document.text or ""))
    for table, kind in ((labels, "labels"), (documents, "documents")):
        if table.row_count:
            console.print(table)
        else:
            console.print(f"\n{kind}: both runs have the same hits within the first {differences.k}", soft_wrap=True)
