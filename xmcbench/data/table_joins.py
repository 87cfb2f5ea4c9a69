"""Rows of tables that belong together: by ids, or row by row if no other column speaks against it."""

from __future__ import annotations

from collections.abc import Mapping

from xmcbench.data.table_columns import Columns, Reading
from xmcbench.errors import DataError


def one_row_per_id(table: Columns, reading: Reading) -> Columns:
    """The table itself, or in the long form one row per id, with the list of the labels of all its lines.

    DataError if an id is in two rows, or in the long form with two texts.
    """
    if not reading.long:
        _line_by_id(table)
        return table
    rows: dict[str, int] = {}
    found = Columns(table.path)
    for line, text, label, name in zip(table.lines, table.texts, table.labels, table.ids, strict=True):
        row = rows.setdefault(name, len(found.ids))
        if row == len(found.ids):
            found.lines.append(line)
            found.texts.append(text)
            found.labels.append([])
            found.ids.append(name)
        if text != found.texts[row]:
            problem = f"{table.path}, line {line}: the id {name!r} has another text than in line {found.lines[row]}"
            raise DataError(problem, "All lines of an id need the same text.")
        labels = found.labels[row]
        if isinstance(labels, list) and label not in (None, ""):
            labels.append(label)
    return found


def joined(texts: Columns, labels: Columns, reading: Reading) -> tuple[list[int], list[object]]:
    """(lines, label cells) of `labels` in the order of the texts.

    Without an id column, row i belongs to row i. In the long form, a cell is the list of all labels of an id.
    DataError for an id that is in one file alone or twice, or if rows that belong together differ in another column.
    """
    if not reading.id_column:
        _check_rows_alike(texts, labels, reading)
        return labels.lines, labels.labels
    rows = _line_by_id(texts)
    found: dict[str, int] = {}  # id → position of its first label cell
    cells: dict[str, list[object]] = {}
    for position, (name, cell) in enumerate(zip(labels.ids, labels.labels, strict=True)):
        if name not in rows:
            place = f"{labels.path}, line {labels.lines[position]}"
            raise DataError(f"{place}: the id {name!r} is not in {texts.path}", "Both files need the same ids.")
        found.setdefault(name, position)
        cells.setdefault(name, []).append(cell)
    if reading.long:
        lines = [labels.lines[found[name]] if name in found else 0 for name in texts.ids]
        return lines, [[c for c in cells.get(name, []) if c not in (None, "")] for name in texts.ids]
    _line_by_id(labels)
    for name, line in rows.items():
        if name not in found:
            hint = "Both files need the same ids; a row without labels has an empty cell."
            raise DataError(f"{texts.path}, line {line}: the id {name!r} is not in {labels.path}", hint)
    positions = [found[name] for name in texts.ids]
    return [labels.lines[i] for i in positions], [labels.labels[i] for i in positions]


def _check_rows_alike(texts: Columns, labels: Columns, reading: Reading) -> None:
    """DataError if a column of both tables has other values in the same row, or the same values in another order.

    Texts of both tables may differ, since those of one may be cleaned, if not only their order does.
    """
    if len(texts.lines) != len(labels.lines):  # the numbers of rows are compared elsewhere
        return
    first, second = ({t.id_column: t.ids, reading.text_column: t.texts, **t.others} for t in (texts, labels))
    by_name = {name.casefold().strip(): name for name, cells in second.items() if len(cells) == len(labels.lines)}
    by_values = {frozenset(cells): name for name, cells in second.items() if len(set(cells)) == len(cells) > 1}
    for name, cells in first.items():
        ids_there = by_values.get(frozenset(cells)) if len(set(cells)) == len(cells) else None
        other = by_name.get(name.casefold().strip(), ids_there)
        if len(cells) < len(texts.lines) or other is None:  # rows of JSON without the key
            continue
        pairs = zip(cells, second[other], texts.lines, labels.lines, strict=True)
        unequal = next((pair for pair in pairs if pair[0].strip() != pair[1].strip()), None)
        if unequal is None or (name == reading.text_column == other and sorted(cells) != sorted(second[other])):
            continue
        column = f"the column {name!r}" if name == other else f"the columns {name!r} and {other!r}"
        place = f"line {unequal[2]} has {unequal[0][:40]!r}, {labels.path}, line {unequal[3]}: {unequal[1][:40]!r}"
        hint = _joining_hint(name, other, joinable=ids_there == other)
        raise DataError(f"{texts.path}, {place}, in {column}: rows would get labels of other rows", hint)


def _joining_hint(name: str, other: str, *, joinable: bool) -> str:
    """What to do about columns of two tables that differ; `joinable`: they are ids of the same rows."""
    if not joinable:
        return "Sort both files alike; or, if the column does not identify rows, remove it from one file."
    if name == other and name:
        return f"Give --id-column {name} to join the files, or sort them alike."
    name = name or other or "id"
    return f"Give the column the name {name!r} in both files, and --id-column {name}; or sort the files alike."


def check_label_ids(table: Columns, base: int) -> None:
    """DataError if a table of label texts has a column of ids that are not those of its rows.

    A column `id` of whole numbers must count the rows from `base`; any other column must not have the numbers of the
    rows, from 0 or from 1, in another order.
    """
    n_rows = len(table.lines)
    columns = [(table.ids, base)] if len(table.ids) == n_rows and all(map(_is_number, table.ids)) else []
    for cells in table.others.values():
        numbers = sorted(int(cell[:30]) for cell in cells if _is_number(cell))
        columns += [(cells, first) for first in (0, 1) if n_rows > 1 and numbers == [*range(first, first + n_rows)]]
    for cells, first in columns:
        for i, (name, line) in enumerate(zip(cells, table.lines, strict=True)):
            if int(name[:30]) != i + first:
                problem = f"the id {name!r}, where the rows counted give the label the id {i + first}"
                hint = "Sort the rows by ids that count from 0 (or 1, with --one-based labels)"
                hint = f"{hint}, or write ID<TAB>TEXT lines into a .txt file. They join by any id."
                raise DataError(f"{table.path}, line {line}: {problem}", hint)


def _is_number(cell: str) -> bool:
    return cell.isascii() and cell.isdigit()


def _line_by_id(table: Columns) -> Mapping[str, int]:
    lines: dict[str, int] = {}
    for name, line in zip(table.ids, table.lines, strict=True):
        if name in lines:
            hint = "Ids must differ. --long is for a file with one line per row and label."
            raise DataError(f"{table.path}, line {line}: the id {name!r} is in line {lines[name]} already", hint)
        lines[name] = line
    return lines
