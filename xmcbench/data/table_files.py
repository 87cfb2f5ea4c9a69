"""Rows of a user's table: JSON lines, a JSON array of objects, csv, tsv, and parquet.

Every reader yields (line number from 1, {column: value}). Cells of csv and tsv are texts, others have their types.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, tee
from pathlib import Path

from xmcbench import limits
from xmcbench.data.file_forms import kind_of, text_lines
from xmcbench.errors import DataError, UsageError, XmcError, install_extra
from xmcbench.inputs import open_file, reason

Row = Mapping[str, object]
Lines = Iterator[tuple[int, str]]  # numbers from 1, lines without their ends
DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "bar": "|"}
QUOTED = re.compile(r'"[^"]*(?:""[^"]*)*"')
TSV_CELL = re.compile(rf"(?:^|(?<=\t))(?:{QUOTED.pattern}(?=\t|$)|[^\t]*)")
FIRST_ROWS = 100  # rows that decide between delimiters if line 1 has several
FIRST_LINES = 100_000  # lines at most that are kept for that
BLANK = re.compile(r"[ \t\r\n]*")
JSON_FORMS = "Write one object per line, or an array [{…}, {…}]; in pandas: to_json(orient='records', lines=True)."


def table_rows(path: Path, delimiter: str = "", columns: Sequence[str] = ()) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a table. Blank lines are skipped in JSON, and at the end of csv and tsv.

    `delimiter`: a key of `DELIMITERS` or a character; "" finds the one that occurs in line 1 of a csv (of several, the
    only one that divides all of the first rows alike), and is a tab for tsv. `columns`: the names of the columns of a
    csv or tsv without a header. In parquet, a row's number is its "line".

    Raises
    ------
    DataError : with line and, if it is known, column: a form that is not read, rows of different lengths, a blank line
        between rows of csv, a quote that is not closed, a column or key named twice, values that are not JSON objects.
    UsageError : `delimiter` is not one character, or must be given, or pyarrow is not installed.
    """
    kind = kind_of(path)
    if kind == "parquet":
        yield from _parquet_rows(path)
    else:
        yield from rows_of_lines(path, kind, text_lines(path), delimiter, columns)


def rows_of_lines(
    path: Path, kind: str, lines: Lines, delimiter: str = "", columns: Sequence[str] = ()
) -> Iterator[tuple[int, Row]]:
    """The rows of a table of `kind` "json", "csv" or "tsv", from its lines, which are read once, as by `table_rows`."""
    if kind == "json":
        yield from _json_rows(path, lines)
    else:
        yield from _named_cells(path, kind, lines, delimiter, columns)


def _named_cells(
    path: Path, kind: str, lines: Lines, delimiter: str, columns: Sequence[str]
) -> Iterator[tuple[int, Row]]:
    given, names = bool(columns), list(columns)
    lines, first_lines = tee(lines)  # keeps the lines that decide between delimiters
    separator = _delimiter_of(path, kind, first_lines, delimiter, len(names))
    del first_lines
    is_tsv = kind == "tsv" and separator == "\t"
    rows = _tsv_rows(lines, len(names)) if is_tsv else _csv_rows(path, lines, separator)
    header: list[str] = []
    blank = 0  # line number of the last blank line
    for first, last, cells in rows:
        if not names:
            header, names = cells, [name.strip() for name in cells]
            _check_columns(path, names)
            continue
        if given and [cell.strip().casefold() for cell in cells] == [name.casefold() for name in names]:
            problem = f"{path}, line {last} is a header, and --columns is for files without one"
            raise UsageError(problem, "Leave it out.")
        given = False  # only the first row may be mistaken for a header
        if not cells:
            blank = last
            continue
        if blank:
            hint = 'Remove the line; or, if it is a row of empty cells, write "" for the first of them.'
            raise DataError(f"{path}, line {blank}: a blank line between rows", hint)
        if len(cells) != len(names):
            place = f"line {last}" if first == last else f"lines {first} to {last}, joined by a quote in line {first}"
            hint = 'Put texts with delimiters or newlines between double quotes (""). See --delimiter.'
            if header and len(names) < len(cells) and last <= 3:
                hint = f"Line 1 must be the line of column names, if --columns does not name them. {hint}"
            if is_tsv:
                hint = "Tabs and newlines divide cells. If quotes are to join lines, name it .csv. See --delimiter."
            named_by = "--columns names" if columns else "the first row names"
            raise DataError(f"{path}, {place}: {len(cells)} columns, {named_by} {len(names)}", hint)
        if cells == header and len(cells) > 1:
            raise DataError(f"{path}, line {last}: the header again", "Were files joined? Remove the line.")
        yield last, dict(zip(names, cells, strict=True))


def _check_columns(path: Path, names: Sequence[str]) -> None:
    if names[:1] == ["sep="]:
        raise DataError(f"{path}, line 1 tells Excel the delimiter, and names no columns", "Remove line 1.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        listed = ", ".join(map(repr, names))[:200]
        raise DataError(f"{path}, line 1: a column name occurs twice: {twice[0]!r} in {listed}", "Names must differ.")


def _delimiter_of(path: Path, kind: str, lines: Lines, delimiter: str, n_columns: int) -> str:
    """The delimiter of a csv or tsv: the given one, a tab for tsv, or the one that line 1 has outside of quotes.

    If line 1 has several, the only one that divides the first rows into equally many cells (`n_columns`, if not 0).
    """
    if delimiter:
        character = "\t" if delimiter == "\\t" else DELIMITERS.get(delimiter, delimiter)
        if len(character) != 1 or character in '"\r\n':
            raise UsageError(f"--delimiter {delimiter!r}", f"One of {', '.join(DELIMITERS)}, or one character.")
        return character
    if kind == "tsv":
        return "\t"
    lines, look = tee(lines)
    first_line = next(line for _, line in look)
    present = [name for name, char in DELIMITERS.items() if char in QUOTED.sub("", first_line)]
    if len(present) > 1:
        copies = zip(present, tee(lines, len(present)), strict=True)
        fitting = [name for name, look in copies if _divides_alike(path, look, DELIMITERS[name], n_columns)]
        if len(fitting) == 1:
            return DELIMITERS[fitting[0]]
        hint = f"Give --delimiter {' or '.join(present)}."
        raise UsageError(f"{path}, line 1: its columns may be divided by {' or '.join(present)}", hint)
    return DELIMITERS[present[0]] if present else ","


def _divides_alike(path: Path, lines: Lines, delimiter: str, n_columns: int) -> bool:
    lines = islice(lines, FIRST_LINES)
    try:
        widths = {len(cells) for _, _, cells in islice(_csv_rows(path, lines, delimiter), FIRST_ROWS) if cells}
    except DataError:
        return False
    return widths == {n_columns} if n_columns else len(widths) == 1 and widths != {1}


def _tsv_rows(lines: Lines, n_columns: int) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (line, line, cells). Quotes are characters like others, unless a cell is wholly quoted as in csv.

    Most programs that write tsv do not quote; those that do quote cells with quotes or tabs inside, and double quotes.
    A tab in quotes divides cells unless the line then has more than `n_columns` cells (0: as many as line 1), and
    exactly these without it.
    """
    for number, line in lines:
        cells = line.split("\t") if line else []
        n_columns = n_columns or len(cells)
        if len(cells) > n_columns and '"' in line:
            quoted = TSV_CELL.findall(line)
            cells = quoted if len(quoted) == n_columns else cells
        yield number, number, [c[1:-1].replace('""', '"') if QUOTED.fullmatch(c) else c for c in cells]


def _csv_rows(path: Path, lines: Lines, delimiter: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yield (first line, last line, cells) by the rules of RFC 4180; a blank line has no cells."""
    csv.field_size_limit(limits.WHOLE_TEXT)  # Python's default of 131,072 is too short for some laws
    row_lines: list[str] = []  # of the row that is being read

    def with_ends() -> Iterator[str]:
        for _, line in lines:
            row_lines.append(line)
            yield line + "\n"

    reader = csv.reader(with_ends(), delimiter=delimiter, strict=True)
    cell = rf'(?:{QUOTED.pattern}|[^"\n{re.escape(delimiter)}]*)'
    row_form = re.compile(rf"{cell}(?:{re.escape(delimiter)}{cell})*")
    first = 1
    try:
        for cells in reader:
            row = "\n".join(row_lines)
            if '"' in row:
                _check_quotes(path, first, row, delimiter, row_form)
            yield first, reader.line_num, cells
            first = reader.line_num + 1
            row_lines.clear()
    except csv.Error as error:
        raise _quote_error(path, first, row_lines, delimiter, str(error)) from error


def _check_quotes(path: Path, first: int, row: str, delimiter: str, row_form: re.Pattern[str]) -> None:
    """DataError for a quote within a cell that is not quoted: two such quotes could join rows unseen."""
    found = row_form.match(row)
    end = found.end() if found else 0
    if end < len(row):
        line, column = first + row.count("\n", 0, end), end - row.rfind("\n", 0, end)
        hint = 'Put the cell between double quotes, and write each quote in it twice: "6"" nails".'
        if row[end - 1 : end] == " " and row[:end].rstrip(" ")[-1:] in ("", delimiter):
            problem = "a blank between the delimiter and the quote, so that the quote is within a cell"
            raise DataError(
                f"{path}, line {line}, column {column}: {problem}",
                f"Remove the blank. If it is part of the cell: {hint}",
            )
        raise DataError(f"{path}, line {line}, column {column}: a quote within a cell that is not quoted", hint)


def _quote_error(path: Path, first: int, lines: Sequence[str], delimiter: str, reason: str) -> DataError:
    """The error for a row that starts in line `first`: where a quote opens, and where the reader noticed the fault."""
    row, last = "\n".join(lines), first + len(lines) - 1
    start = end = 0
    while cell := QUOTED.match(row, start) or re.compile(f'(?!")[^{re.escape(delimiter)}]*').match(row, start):
        end = cell.end()
        if row[end : end + 1] != delimiter:
            break
        start = end + 1
    opened, noticed = ((first + row.count("\n", 0, i), i - row.rfind("\n", 0, i)) for i in (start, end))
    quote = f"{path}, line {opened[0]}, column {opened[1]}: the quote that opens here"
    hint = 'A quote inside a quoted cell is written twice (""); a cell that begins with a quote is quoted as a whole.'
    if "end of data" in reason:
        return DataError(f"{quote} is not closed up to the end of the file, line {last}", hint)
    if "field limit" in reason:
        return DataError(f"{quote} is not closed within {limits.WHOLE_TEXT:,} characters", hint)
    if "expected after" in reason and opened[0] < noticed[0]:
        problem = f"{quote} is not closed in its line; noticed in line {noticed[0]}, column {noticed[1]}, at"
        hint = f"Is the closing quote in line {opened[0]} missing? {hint}"
        return DataError(f"{problem} {row[max(start, end - 1) : end + 40]!r}", hint)
    if "expected after" in reason and row[end : end + 1] in (" ", "\t"):
        return DataError(f"{path}, line {noticed[0]}, column {noticed[1]}: a blank after a quoted cell", "Remove it.")
    if "expected after" in reason:
        return DataError(f"{quote} closes in line {last} within a cell: {lines[-1][:60]!r}", hint)
    if "new-line" in reason:
        return DataError(f"{path}, line {last}: a carriage return within a cell", "Put the cell between double quotes.")
    return DataError(f"{path}, line {last}: {reason}", hint)


def _json_rows(path: Path, all_lines: Lines) -> Iterator[tuple[int, Row]]:
    lines = ((number, line) for number, line in all_lines if line.strip())
    first = next(lines, (0, ""))
    if first[1].lstrip().startswith("["):
        yield from _array_rows(path, _whole_array(path, chain([first], all_lines)))
        return
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    for number, line in chain([first] if first[0] else [], lines):
        try:
            value = decoder.decode(line)
        except (ValueError, RecursionError) as error:
            raise _json_error(path, number, error) from error
        yield number, _as_row(path, number, value)


def _whole_array(path: Path, lines: Lines) -> str:
    """The lines of an array as one text, in which a line has its number."""
    parts: list[str] = []
    size = 0
    for number, line in lines:
        parts += [""] * (number - 1 - len(parts))  # blank lines before the array
        parts.append(line)
        size += len(line) + 1
        if size > limits.WHOLE_TEXT:
            problem = f"an array of more than {limits.WHOLE_TEXT:,} characters, which are read at once"
            raise DataError(f"{path}: {problem}", JSON_FORMS)
    return "\n".join(parts)


def _array_rows(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    """Yield (line in which it begins, object) of each element of an array that is the whole of a file."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    number, counted = 1, 0
    position, end = text.index("[") + 1, ""
    try:
        while end != "]":
            position = _after_blanks(text, position)
            if not end and text[position : position + 1] == "]":  # an array without elements
                position += 1
                break
            number += text.count("\n", counted, position)
            counted = position
            value, after = decoder.raw_decode(text, position)
            yield number, _as_row(path, number, value)
            position = _after_blanks(text, after)
            end = text[position : position + 1]
            if end not in (",", "]") or not end:
                raise json.JSONDecodeError("Expecting ',' or ']' after an element of the array", text, position)
            position += 1
        position = _after_blanks(text, position)
        if position < len(text):
            raise json.JSONDecodeError("Text after the array", text, position)
    except (ValueError, RecursionError) as error:
        raise _json_error(path, number, error, in_array=True) from error


def _after_blanks(text: str, position: int) -> int:
    blank = BLANK.match(text, position)
    return blank.end() if blank else position


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A decoded object; ValueError if a key occurs twice, of which Python's decoder keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice in an object")
    return found


def _json_error(path: Path, number: int, error: Exception, *, in_array: bool = False) -> DataError:
    """The error for the JSON text of line `number`, or of a whole file that is an array."""
    if not isinstance(error, json.JSONDecodeError):
        return DataError(f"{path}, line {number}: not JSON that can be read ({reason(error)})", JSON_FORMS)
    where = f"{path}, line {error.lineno if in_array else number}, column {error.colno}"
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated"):
        problem = "the array does not end in this file" if in_array else "the object does not end in this line"
        return DataError(f"{where}: not JSON: {problem}", f"Was the file cut off? {JSON_FORMS}")
    problem = "more text after the object" if error.msg == "Extra data" else error.msg
    return DataError(f"{where}: not JSON ({problem})", JSON_FORMS)


def _as_row(path: Path, number: int, value: object) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{path}, line {number}: expected a JSON object, found {value!r:.40}", JSON_FORMS)
    return value


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        hint = f"{install_extra('parquet')}. Or save the table as .csv or .jsonl."
        raise UsageError(f"{path}: reading parquet needs the package pyarrow", hint) from error
    number = size = 0
    try:
        with open_file(path) as file:
            most = limits.most_unpacked(os.fstat(file.fileno()).st_size)
            table = parquet.ParquetFile(file)
            _check_columns(path, table.schema_arrow.names)
            for batch in table.iter_batches(limits.PARQUET_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    size += sum(len(str(cell)) for cell in row.values())  # parquet stores a text that repeats once
                    if size > most:
                        hint = "If its content is right, save the table as .csv or .jsonl."
                        raise DataError(f"{path}, row {number}: more than {most:,} characters so far", hint)
                    yield number, row
    except XmcError:
        raise
    except Exception as error:  # pyarrow, and the conversion of texts and times, raise many types
        raise DataError(f"{path}: not a whole parquet file ({reason(error)})", "Get the file again.") from error
