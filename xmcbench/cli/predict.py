"""`xmcbench predict MODEL`: the labels of new texts or rows of features."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from xmcbench.cli.data_io import ColumnNames, Delimiter, Literal, Missing, one_based_of
from xmcbench.cli.model import MODEL, DatasetName, say_if_replaced
from xmcbench.cli.options import LARGEST_ID, RESULTS, Results, check_output_file
from xmcbench.cli.output import is_lost
from xmcbench.cli.terminal import PROSE, columns, make_console, say, styled
from xmcbench.errors import DataError, UsageError, counted, unknown
from xmcbench.escaping import clean

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.data.spec import Naming
    from xmcbench.data.table_columns import Reading
    from xmcbench.method import Inputs
    from xmcbench.models.model import Model, Predictions
    from xmcbench.running.progress import RunReporter

BOTH = "Give both for each row, in the same order."
EPILOG = """
Examples:

  xmcbench predict tree --text "no dial tone"

  xmcbench predict model-folder --texts new.csv --text-column body --to labels.csv

  zcat new.jsonl.gz | xmcbench predict model-folder --texts - --texts-format jsonl --top 1 | head

In jsonl, a line is one row: {"id": …, "labels": [{"label": 7, "name": "phone", "score": 0.9}]}. In csv and tsv, a line
is one label: id, rank, label, name, score. Where labels have short names, their "text" is given too. The id is that of
the file (--id-column, or a column id), else the number of the row, from 0.
"""
File = Path | None
TEXT_COLUMN = "Column or key of the text, or several. Default: those of the model's own texts."
WAITING = 2  # batches that are read and not yet written


class Rows(NamedTuple):
    """Rows to predict, and the share of all rows that is read with them; 0 if unknown."""

    ids: list[str | int]
    texts: list[str] | None
    make: Callable[[], Inputs]
    share: float


class Counts:
    """Rows so far, those of which a model knows nothing, and those that got no label."""

    rows = empty = unknown = unlabelled = 0

    def add(self, texts: list[str] | None, inputs: Inputs) -> None:
        self.rows += inputs.n_rows
        empty = 0 if texts is None else sum(not text.strip() for text in texts)
        self.empty += empty
        if inputs.features is not None:
            self.unknown += int((inputs.features.indptr[1:] == inputs.features.indptr[:-1]).sum()) - empty


def predict(
    model: Annotated[str, MODEL],
    text: Annotated[list[str] | None, typer.Option(help="A text; may be given several times.")] = None,
    texts: Annotated[File, typer.Option(help="Lines, .csv, .tsv, .jsonl, .parquet; - is standard input.")] = None,
    features: Annotated[File, typer.Option(help="Features: npz, npy, XMC text; read at once.")] = None,
    top: Annotated[int, typer.Option(min=1, max=LARGEST_ID, help="Labels of each row; all if there are fewer.")] = 5,
    above: Annotated[float | None, typer.Option(help="Only labels with a score above this.")] = None,
    to: Annotated[File, typer.Option(metavar="FILE", help="Write .jsonl, .csv or .tsv, by the name.")] = None,
    form: Annotated[str, typer.Option("--format", help="Of the output: jsonl, csv, tsv.")] = "",
    texts_format: Annotated[str, typer.Option(help="Of --texts, if not by the name: lines, csv, tsv, jsonl.")] = "",
    text_column: Annotated[str, typer.Option(help=TEXT_COLUMN)] = "",
    id_column: Annotated[str, typer.Option(help="Column or key of the ids of rows. Default: id, if there.")] = "",
    delimiter: Delimiter = "",
    column_names: ColumnNames = "",
    missing: Missing = "",
    literal: Literal = False,
    one_based: Annotated[str, typer.Option(help="`features`: their ids in XMC text start at 1.")] = "",
    dataset: DatasetName = None,
    results: Results = RESULTS,
) -> None:
    """Predict labels of new texts, or of features, with a fitted model.

    A model of rows that have texts, and features that were not made from them, may need both. Texts are read, predicted
    and written in batches, so that files and pipes may be of any length. A file of --to is written whole or not at all.
    """
    from xmcbench.data.label_cells import CellRules
    from xmcbench.data.table_columns import Reading
    from xmcbench.models.folder import find_model
    from xmcbench.records.store import Store
    from xmcbench.running.progress import reporter

    _check_one_source(text, texts, features, one_based)
    form = _output_form(to, form)
    check_output_file("--to", to, texts or features)
    fitted = find_model(model, Store(results), dataset)
    say_if_replaced(model, fitted.card)
    reading = Reading(
        text_column=text_column or _columns_of(fitted, texts, texts_format),
        id_column=id_column,
        delimiter=delimiter,
        columns=tuple(name.strip() for name in column_names.split(",")) if column_names else (),
        one_based=one_based_of(one_based),
        cells=CellRules(missing, literal),
    )
    if above is not None:
        fitted.check_above()
    if features is None:
        rows = _rows_of_texts(fitted, text, texts, reading, texts_format)
    elif texts is not None:
        rows = _rows_of_both(fitted, texts, features, reading, texts_format)
    else:
        rows = _rows_of_features(fitted, features, reading)
    counts = Counts()
    with ExitStack() as stack:
        write = _print_rows if form == "table" else _lines_to(stack, to, form, fitted.naming)
        progress = None
        if form != "table" and text is None:
            progress = stack.enter_context(reporter(make_console(stderr=True), fitted.card.method.label))
        _predict_all(fitted, rows, top, above, write, counts, progress, to_file=to is not None)
    _say_counts(counts, to)


def _lines_to(stack: ExitStack, to: Path | None, form: str, naming: Naming) -> Callable[[Rows, Predictions], None]:
    """What writes lines of `form` to a file, which is replaced when `stack` is closed, or to standard output."""
    from xmcbench.files import atomic
    from xmcbench.models.prediction_files import header, lines

    file = None if to is None else stack.enter_context(atomic(to))
    written = lines(form, naming)

    def out(text: str) -> None:
        if file is not None:
            file.write(text.encode())
        else:
            sys.stdout.write(text)
            sys.stdout.flush()  # here, since Ctrl-C could cut a line if the first thread wrote it

    out(header(form, naming))
    return lambda batch, found: out(written(batch.ids, found.topk))


def _predict_all(
    model: Model,
    rows: Iterator[Rows],
    top: int,
    above: float | None,
    write: Callable[[Rows, Predictions], None],
    counts: Counts,
    progress: RunReporter | None,
    *,
    to_file: bool,
) -> None:
    """Predict batches in a second thread and write them in a third, while this one reads the next.

    Ctrl-C is raised in the first thread alone: a batch that is being written gets written.
    """

    from xmcbench.topk import PAD

    def found_in(batch: Rows) -> Predictions:
        inputs = batch.make()
        counts.add(batch.texts, inputs)
        found = model.predict_inputs(inputs, top, above)
        counts.unlabelled += int((found.topk.ids[:, 0] == PAD).sum())  # the others' best label stands first
        return found

    with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(1) as predictor:
        running: list[tuple[Rows, Future[Predictions]]] = []
        writing: Future[None] | None = None
        for batch in chain(rows, repeat(None, WAITING)):  # the last ones only wait for what is running
            if batch is not None:
                running.append((batch, predictor.submit(found_in, batch)))
            if not running or (batch is not None and len(running) < WAITING):
                continue
            done, future = running.pop(0)
            found = future.result()
            if writing is not None:
                writing.result()
            if not to_file and is_lost():  # as by `| head`
                break
            writing = writer.submit(write, done, found)
            if progress is not None and done.share < 1:  # one batch alone is too short to report
                if not progress.phase_name:
                    progress.phase("predicting")
                progress.progress(done.share, 1.0, counted(counts.rows, "row"))
        if writing is not None:
            writing.result()


def _check_one_source(text: list[str] | None, texts: Path | None, features: Path | None, one_based: str) -> None:
    given = [name for name, value in (("--text", text), ("--texts", texts), ("--features", features)) if value]
    if len(given) != 1 and given != ["--texts", "--features"]:  # the model knows whether its rows have both
        problem = f"{' and '.join(given)} are given" if given else "nothing to predict"
        raise UsageError(
            problem,
            "Give one of --text, --texts FILE (- is standard input) and --features FILE; or --texts and --features, if "
            "rows of the data set have texts, and features that were not made from them.",
        )
    if one_based not in ("", "features"):
        raise UsageError(f"--one-based {one_based}: there are no labels to read", "--one-based features, or none.")
    if one_based and features is None:
        raise UsageError("--one-based is for --features", "Leave it out.")


def _output_form(to: Path | None, form: str) -> str:
    """The form of the output: a table in a terminal, unless --format or the name of the file says another."""
    from xmcbench.models.prediction_files import FORMATS

    ending = "" if to is None else to.suffix.lower().lstrip(".")
    if form and form not in FORMATS:
        raise unknown("format", form, FORMATS)
    if to is not None and not form and ending not in FORMATS:
        raise UsageError(f"--to {to}: no format is known by this name", "End it in .jsonl, .csv or .tsv.")
    if form and ending in FORMATS and ending != form:
        raise UsageError(f"--to {to} and --format {form} say different forms", "Leave out --format.")
    return form or ending or ("table" if sys.stdout.isatty() else "jsonl")


def _columns_of(model: Model, texts: Path | None, texts_format: str) -> str:
    """The columns of a table that the model's own texts were in; "text" for other files, or where that is unknown."""
    from xmcbench.data.text_stream import form_of

    known = model.card.text_column
    if known in ("", "text") or texts is None or form_of(texts, texts_format) == "lines":
        return "text"
    say(f"texts are read from {known}, as those of the model were (--text-column)", err=True)
    return known


def _rows_of_texts(
    model: Model, given: list[str] | None, path: Path | None, reading: Reading, texts_format: str
) -> Iterator[Rows]:
    from xmcbench.data.text_stream import STDIN, Batch, batches

    model.inputs([])  # whether it reads texts, before a pipe is read
    if path is None:
        stream: Any = [(Batch(given or [], list(range(len(given or [])))), 1.0)]
    else:
        if path == STDIN and sys.stdin.isatty():
            say("Type or paste texts, one per line; Ctrl-D at the beginning of a line ends them.", err=True)
        stream = batches(path, reading, texts_format)
    for batch, share in stream:
        yield Rows(batch.ids, batch.texts, lambda texts=batch.texts: model.inputs(texts), share)  # type: ignore[misc]


def _rows_of_both(model: Model, texts: Path, features: Path, reading: Reading, texts_format: str) -> Iterator[Rows]:
    """Rows whose texts and features are in two files, in the same order."""
    from xmcbench.data.text_stream import batches

    matrix, first = _features(model, features, reading), 0
    model.inputs([], features=matrix[:0])  # whether its rows have both
    for batch, share in batches(texts, reading, texts_format):
        last = first + len(batch.texts)
        if last > matrix.shape[0]:
            raise DataError(f"{texts}: more texts than {features} has rows ({matrix.shape[0]:,})", BOTH)
        part = matrix[first:last]
        yield Rows(batch.ids, batch.texts, lambda t=batch.texts, f=part: model.inputs(t, features=f), share)  # type: ignore[misc]
        first = last
    if first < matrix.shape[0]:
        raise DataError(f"{texts}: {counted(first, 'text')}, and {features} has {matrix.shape[0]:,} rows", BOTH)


def _rows_of_features(model: Model, path: Path, reading: Reading) -> Iterator[Rows]:
    from xmcbench.data.text_stream import ROWS

    matrix = _features(model, path, reading)
    model.inputs(features=matrix[:0])  # whether it reads features of this width
    n = matrix.shape[0]
    for first in range(0, n, ROWS):
        part = matrix[first : first + ROWS]
        ids: list[str | int] = list(range(first, first + part.shape[0]))
        yield Rows(ids, None, lambda part=part: model.inputs(features=part), (first + len(ids)) / n)  # type: ignore[misc]


def _features(model: Model, path: Path, reading: Reading) -> sp.csr_matrix:
    """The rows of a file of features, of the model's width where the file does not say one."""
    import scipy.sparse as sp

    from xmcbench.data.formats import SVMLIGHT, form_of
    from xmcbench.data.user_files import read_features

    matrix, _ = read_features(path, reading)
    n, width = matrix.shape
    wanted = model.card.dataset.n_features or 0
    if width < wanted and form_of(path) == SVMLIGHT:  # has no width: that of the largest id in it
        matrix = sp.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=(n, wanted))
    if not n:
        raise DataError(f"{path}: the file has no rows", "Is it the right file?")
    return matrix


def _print_rows(rows: Rows, found: Predictions) -> None:
    """Each row with its labels, as people read them; texts are shortened to two lines."""
    from xmcbench.data.spec import title_of

    console = make_console()
    width = min(PROSE, console.width)
    for number, (row_id, labels) in enumerate(zip(rows.ids, found, strict=True)):
        title = f"row {row_id}" if isinstance(row_id, int) else _short(row_id, width)
        console.print(styled(title, "bold"))
        if rows.texts is not None:
            text = _short(rows.texts[number], 2 * width - 24) or "(empty text)"
            typer.echo(textwrap.fill(text, width, initial_indent="  ", subsequent_indent="  "))
        cells = [(f"{label.score:.4g}", _short(title_of(label.name, label.text), 3 * (width - 14))) for label in labels]
        typer.echo(columns(cells, "  ") if cells else "  no label")
        typer.echo()


def _short(text: str, length: int) -> str:
    plain = " ".join(clean(text[: 4 * length]).split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def _say_counts(counts: Counts, to: Path | None) -> None:
    if counts.empty:
        say(
            f"note: empty texts: {counts.empty:,} of {counts.rows:,}; they get the labels of a row without features",
            err=True,
        )
    if counts.unknown:
        say(f"note: without a known word or feature: {counts.unknown:,} of {counted(counts.rows, 'row')}", err=True)
    if counts.unlabelled:
        say(f"note: without a label: {counts.unlabelled:,} of {counted(counts.rows, 'row')}", err=True)
    if to is not None:
        say(f"{to}: {counted(counts.rows, 'row')}", err=True)
