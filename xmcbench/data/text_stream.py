"""Texts of a user's file or pipe in batches, read once from beginning to end, in memory that does not grow."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xmcbench.data.file_forms import HEAD, KINDS, check_plain, kind_of, pipe_lines
from xmcbench.data.label_cells import checked_text
from xmcbench.data.reading import opened
from xmcbench.data.table_columns import Reading, check_options, id_of, text_of
from xmcbench.data.table_files import Row, rows_of_lines, table_rows
from xmcbench.errors import DataError, UsageError, cannot_read, unknown

STDIN = Path("-")
ROWS, CHARACTERS = 4096, 1 << 22  # most rows of a batch, and about the most characters
STREAMED = {"lines": "lines", "csv": "csv", "tsv": "tsv", "jsonl": "json"}  # kinds that need no seeking, by their names


@dataclass
class Batch:
    """Texts of consecutive rows, and the id of each: that of the file, or the row's number, which starts at 0."""

    texts: list[str] = field(default_factory=list)
    ids: list[str | int] = field(default_factory=list)


Share = Callable[[], float]  # how much of a file is read, 0 to 1; 0 if that is unknown


def batches(path: Path, reading: Reading, kind: str = "") -> Iterator[tuple[Batch, float]]:
    """Yield (batch, share of the file that is read, 0 if unknown); each row is read once, as `data import` reads it.

    Parameters
    ----------
    path : lines, csv, tsv, JSON lines or parquet, by its name; compressed or a pipe too; "-" is standard input.
    reading : columns and delimiter. Without `id_column`, a column of the name id, if there is one, has the ids.
    kind : a key of `STREAMED`, instead of what the name says.

    Raises
    ------
    UsageError : no such kind; an option that the file does not use.
    DataError : with file and line, the first row that can't be read; an empty file.
    """
    form = form_of(path, kind)
    name = Path("standard input") if path == STDIN else path
    _check_reading(reading, form)
    batch, size, n_rows = Batch(), 0, 0
    for text, row_id, share in _rows(path, name, form, reading):
        batch.texts.append(text)
        batch.ids.append(n_rows if row_id is None else row_id)
        size, n_rows = size + len(text), n_rows + 1
        if len(batch.texts) == ROWS or size >= CHARACTERS:
            yield batch, share()
            batch, size = Batch(), 0
    if batch.texts:
        yield batch, 1.0
    if not n_rows:
        raise DataError(f"{name}: the file has no rows", "Is it the right file?")


def form_of(path: Path, kind: str = "") -> str:
    """The kind of a file of texts, see `xmcbench.data.file_forms.KINDS`; UsageError for an unknown `kind`."""
    if kind and kind not in STREAMED:
        raise unknown("format of texts", kind, STREAMED)
    return STREAMED[kind] if kind else kind_of(path)


def _check_reading(reading: Reading, form: str) -> None:
    """UsageError for an option that a file of this form does not use."""
    if reading.id_column and form == "lines":
        raise UsageError("--id-column is for tables, and lines have no columns", "Leave it out, or use .csv or .jsonl.")
    if reading.id_column and reading.id_column == reading.text_column:
        raise UsageError(f"the column {reading.id_column!r} can't be texts and ids", "Give --text-column.")
    example = Path("lines" if form == "lines" else next(f"t{ending}" for ending, k in KINDS.items() if k == form))
    labels = [example] if form != "lines" else []  # so that --id-column, which joins tables elsewhere, is allowed
    check_options(reading, [example], labels)


def _rows(path: Path, name: Path, form: str, reading: Reading) -> Iterator[tuple[str, str | None, Share]]:
    """Yield (text, id or None, share of the file read so far)."""
    if form == "parquet":
        for text, row_id in _of_table(name, table_rows(path), reading):
            yield text, row_id, lambda: 0.0
        return
    with opened(name, _pipe(path)) as file:
        size = os.fstat(file.fileno()).st_size

        def share() -> float:
            return min(1.0, os.lseek(file.fileno(), 0, os.SEEK_CUR) / size) if size else 0.0

        lines = pipe_lines(name, file)
        if form == "lines":
            for number, line in lines:
                if number == 1 and not reading.cells.literal:
                    check_plain(name, line)
                yield checked_text(line, f"{name}, line {number}", reading.cells), None, share
        else:
            rows = rows_of_lines(name, form, lines, reading.delimiter, reading.columns)
            for text, row_id in _of_table(name, rows, reading):
                yield text, row_id, share


def _pipe(path: Path) -> io.BufferedReader | None:
    """An open pipe, with a buffer in which `pipe_lines` sees what it is; None for other files and folders."""
    if path == STDIN:
        return io.BufferedReader(io.FileIO(0, closefd=False), HEAD)  # `opened` closes it
    if path.is_file() or path.is_dir() or not path.exists():
        return None
    try:
        return io.BufferedReader(io.FileIO(path), HEAD)
    except OSError as error:
        raise cannot_read(path, error) from error


def _of_table(path: Path, rows: Iterator[tuple[int, Row]], reading: Reading) -> Iterator[tuple[str, str | None]]:
    id_column = reading.id_column
    for count, (number, row) in enumerate(rows):
        where = f"{path}, line {number}"
        if count == 0 and not id_column:
            id_column = next((column for column in row if column.casefold() == "id"), "")
        row_id = id_of(row, id_column, where, needed=bool(reading.id_column)) if id_column else ""
        yield text_of(row, reading, where), row_id or None
