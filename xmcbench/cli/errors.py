"""`xmcbench errors RUN`: the documents and the labels in which a run was wrong, worst first."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli import completion
from xmcbench.cli.options import LARGEST_ID, ONLY_DATASET, RESULTS, RUN, AsJson, Offline, Results, check_output_file
from xmcbench.cli.terminal import PROSE, columns, make_console, percent, print_table, print_text, say, styled
from xmcbench.errors import UsageError, counted
from xmcbench.escaping import clean, csv_cell

if TYPE_CHECKING:
    from xmcbench.comparison.mistakes import Document, LabelMistakes, Mistakes

ROWS = 10
UNSEEN = "never in training"


def errors(
    name: Annotated[str, typer.Argument(**RUN, metavar="RUN")],
    labels: Annotated[bool, typer.Option("--labels", help="Labels instead of documents, most missed first.")] = False,
    top: Annotated[
        int, typer.Option("--top", "--at", min=1, max=LARGEST_ID, help="First ranks that are shown and counted.")
    ] = 5,
    by: Annotated[
        str,
        typer.Option(
            autocompletion=completion.metrics, help="Metric that orders documents. Default: nDCG at the same ranks."
        ),
    ] = "",
    rows: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST_ID, help="How many. Default: 10 on screen, all with --csv or --json."),
    ] = None,
    dataset: Annotated[str | None, ONLY_DATASET] = None,
    to_csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a CSV file.")] = None,
    results: Results = RESULTS,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Show the documents or labels that a run got wrong.

    Documents come with true and predicted labels, labels with what was predicted instead of them. Documents without a
    true label are left out. A missed label that no training row has is named as such. --json prints
    one object per line.

    Examples: `xmcbench errors elias` · `xmcbench errors elias --labels --csv labels.csv`
    """
    from xmcbench.comparison.mistakes import Mistakes, data_of
    from xmcbench.records.store import Store
    from xmcbench.running.progress import loading

    if labels and by:
        raise UsageError("--by orders documents, and --labels shows labels", "Leave out one of them.")
    if as_json and to_csv is not None:
        raise UsageError("--json and --csv are two forms of output", "Give one of them.")
    check_output_file("--csv", to_csv)
    store = Store(results)
    record = store.find(name, dataset)
    with loading(make_console(stderr=True), record.dataset.name) as progress:
        data = data_of(record, offline=offline, progress=progress)
    found = Mistakes.of(record, store, data, top, by)
    limit = ROWS if rows is None and not as_json and to_csv is None else rows
    shown: Iterable[Document] | Iterable[LabelMistakes]
    shown = islice(found.labels(), limit) if labels else found.documents(found.order[:limit])
    if as_json:
        for one in shown:
            print(json.dumps(_as_object(one), ensure_ascii=True, allow_nan=False))
    elif to_csv is not None:
        count = _write_csv(to_csv, _csv_rows(found, shown, labels=labels))
        say(f"{to_csv}: {counted(count, 'label' if labels else 'document')}")
    else:
        print_text(f"{record.method.label} on {data.name} ({data.view}), run {record.run_id}")
        if labels:
            _print_labels(found, list(shown))  # type: ignore[arg-type]
        else:
            _print_documents(found, shown)  # type: ignore[arg-type]


def _as_object(value: object) -> object:
    """Named tuples as JSON objects."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {key: _as_object(item) for key, item in value._asdict().items()}
    return [_as_object(item) for item in value] if isinstance(value, list) else value


def _write_csv(path: Path, rows: Iterator[Sequence[object]]) -> int:
    """Write rows, the first of them titles, one by one; returns the number of the others."""
    from xmcbench.files import atomic

    count = -1
    with atomic(path) as file:
        out = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
        writer = csv.writer(out, lineterminator="\r\n")
        for row in rows:
            writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in row])
            count += 1
        out.detach()
    return count


def _csv_rows(
    found: Mistakes, shown: Iterable[Document] | Iterable[LabelMistakes], *, labels: bool
) -> Iterator[Sequence[object]]:
    from xmcbench.comparison.mistakes import Document, LabelMistakes
    from xmcbench.data.spec import title_of

    if labels:
        yield LabelMistakes._fields
    else:
        yield ("row", "id", found.by, "text", "predicted", "missed")
    for one in shown:
        if isinstance(one, Document):
            predicted = " | ".join(
                f"{_mark(p.is_true)} {title_of(p.name, p.text)} {p.score:.4g}" for p in one.predicted
            )
            yield one.row, one.id, one.value, one.text, predicted, " | ".join(_missed(one))
        else:
            yield *one[:-1], " | ".join(f"{title_of(c.name, c.text)} ({c.rows})" for c in one.confusions)


def _mark(is_true: bool) -> str:
    return "✓" if is_true else "✗"


def _missed(document: Document) -> list[str]:
    """The missed labels of a document; those that no training row has are named as such."""
    from xmcbench.data.spec import title_of

    missed = [t for t in document.true if not t.rank]
    return [title_of(t.name, t.text) + ("" if t.trained else f" ({UNSEEN})") for t in missed]


def _print_documents(found: Mistakes, shown: Iterable[Document]) -> None:
    from xmcbench.data.spec import title_of

    left_out = found.truth.n_rows - len(found.order)
    missed, unseen = found.never_trained
    rule = f"worst first: the documents with the lowest {found.by} (percent), ties by row"
    print_text(rule + (f"; {counted(left_out, 'document')} without a value left out" if left_out else ""))
    print_text(f"{missed:,} true labels are not in the first {found.k} ranks; {unseen:,} of them {UNSEEN}")
    width = min(PROSE, make_console().width)
    longest = 3 * (width - 20)  # characters of a label's name
    for document in shown:
        title = f"row {document.row}" if document.id is None else f"{_short(document.id, 40)} (row {document.row})"
        typer.echo()
        make_console().print(styled(f"{title} · {found.by} {percent(document.value)}", "bold"))
        if document.text is not None:
            text = _short(document.text, 2 * width - 8) or "(empty text)"
            typer.echo(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="  "))
        cells: list[tuple[object, str, str]] = []
        for p in document.predicted:
            mark = styled(_mark(p.is_true), "green" if p.is_true else "red")
            cells.append((mark, f"{p.score:.4g}", _short(title_of(p.name, p.text), longest)))
        cells += [("–", "missed", _short(text, longest)) for text in _missed(document)[:ROWS]]
        if (more := len(_missed(document)) - ROWS) > 0:
            cells.append(("–", "missed", f"and {more} more"))
        typer.echo(columns(cells, "  "))


def _print_labels(found: Mistakes, shown: Sequence[LabelMistakes]) -> None:
    print_text(f"within the first {found.k} ranks; worst first: most missed rows (support × share missed), ties by id")
    from xmcbench.data.spec import title_of

    titles = ("label", "support", "missed", "P", "R", "F1", "predicted instead (rows)")
    rows = []
    for one in shown:
        instead = ", ".join(f"{_short(title_of(c.name, c.text), 30)} ({c.rows})" for c in one.confusions)
        instead = instead if one.trained else f"{UNSEEN}; {instead}"
        scores = (percent(value) for value in (one.precision, one.recall, one.f1))
        rows.append((_short(title_of(one.name, one.text), 60), str(one.support), str(one.missed), *scores, instead))
    print_table([titles, *rows], right=titles[1:-1], drop=("P", "F1"))


def _short(text: str, length: int) -> str:
    plain = " ".join(clean(text[: 4 * length]).split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"
