"""Map label names to ids: one label space for all splits of a user's files.

Names that differ only by their Unicode form, or by spaces and invisible characters at their ends, are one label: see
`canonical`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from xmcbench.data.file_forms import kind_of
from xmcbench.data.recipes import label_matrix
from xmcbench.data.table_columns import Columns, Reading, unread_note
from xmcbench.data.user_files import Names, SplitRows, read_label_texts
from xmcbench.errors import DataError

# Soft hyphen, zero-width space, marks of writing direction, word joiner, byte order mark. Joiners (U+200C, U+200D) are
# no part of this: they change how letters and emoji look.
INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff"
_ENDS = re.compile(rf"^[\s{INVISIBLE}]+|[\s{INVISIBLE}]+$")
_EACH_LABEL = "Each label needs a line there: its text, NAME<TAB>TEXT, or ids that count lines from 0."
_SURROGATE = re.compile("[\ud800-\udfff]")
_WHITESPACE, _INSIDE = re.compile(r"\s+"), re.compile(f"[{INVISIBLE}]")


@dataclass(frozen=True)
class LabelSpace:
    """Label matrices (n, L) by split, label texts or None, notes about decisions, and short names next to texts."""

    matrices: Mapping[str, sp.csr_matrix]
    texts: Sequence[str] | None
    notes: Sequence[str]
    names: Sequence[str] | None = None


@dataclass(frozen=True)
class Vocabulary:
    """The labels of a label file: texts, name → id, notes, and the names if they are no texts."""

    texts: Sequence[str]
    ids: Mapping[str, int]
    notes: Sequence[str]
    names: Sequence[str] | None = None


def canonical(name: str) -> str:
    """The name in Unicode's form NFC, without whitespace and invisible characters at its ends."""
    return unicodedata.normalize("NFC", _trimmed(name))


def _trimmed(name: str) -> str:
    plain = name.isascii() and name.isprintable() and name == name.strip(" ")  # most names, and fast to see
    return name if plain else _ENDS.sub("", name)


def _visible(form: str) -> str:
    """What a reader sees of a name: invisible characters left out, each run of whitespace as one space."""
    plain = form.isascii() and form.isprintable() and "  " not in form
    return form if plain else _INSIDE.sub("", _WHITESPACE.sub(" ", form))


def label_space(splits: Mapping[str, SplitRows], label_texts: Path | None, reading: Reading) -> LabelSpace:
    """Assign ids to labels.

    Without `label_texts`, the labels are the names in all splits in sorted order (numerically if all are whole
    numbers), including names without a training row, and each name is its label's text. With `label_texts`, line i (or
    row i of jsonl, csv) is the text of label i. Names in the splits must then be texts of that file, or, if every line
    of it is `name<TAB>text`, the names before the tab, or those of another column of a table, or else ids that count
    its lines from 0. A label may be in no row; a label that a row names twice counts once.

    Raises
    ------
    DataError : a name that is not in `label_texts` (with file and line), matrices of different widths, matrices in some
        splits and names in others, or no label at all.
    """
    as_read = {which: rows.names for which, rows in splits.items() if rows.names is not None}
    if as_read and len(as_read) < len(splits):
        split_without_names = next(which for which in splits if which not in as_read)
        raise DataError(
            f"labels of {', '.join(as_read)} are names, those of {split_without_names} a matrix", "Give both alike."
        )
    if not as_read:
        return _from_matrices(splits, label_texts, reading)
    names, notes = _canonical_names(as_read)
    used_names = {name for part in names.values() for row in (*part.rows, part.column_labels) for name in row}
    if label_texts is None:
        if not used_names:
            path = next(iter(names.values())).path
            raise DataError(
                f"{path}: no row has a label",
                "All its lines or cells of labels are empty. Is it the right file or column?",
            )
        texts = in_order(used_names)
        labels = Vocabulary(texts, {name: i for i, name in enumerate(texts)}, [])
    else:
        labels = vocabulary(label_texts, used_names, names, reading)
    matrices = {
        which: label_matrix([[labels.ids[n] for n in row] for row in p.rows], len(labels.texts))
        for which, p in names.items()
    }
    notes = [*_twice(names), *notes, *labels.notes, *_unused(matrices)]
    return LabelSpace(matrices, labels.texts, notes, labels.names)


def in_order(names: set[str]) -> list[str]:
    """Sort by code points, or numerically if every name is a whole number without leading zeros."""
    if all(name.isascii() and name.isdigit() and str(int(name[:300])) == name for name in names):
        return sorted(names, key=int)
    return sorted(names)


def vocabulary(path: Path, used_names: set[str], splits: Mapping[str, Names], reading: Reading) -> Vocabulary:
    """The labels of a label file; see `label_space`."""
    table = read_label_texts(path, reading)
    lines, numbered = table.texts, list(zip(table.lines, table.texts, strict=True))
    by_lines = kind_of(path) == "lines"  # a text of csv or jsonl may have tabs
    named = by_lines and bool(lines) and all("\t" in line for line in lines)
    texts = [line.partition("\t")[2] for line in lines] if named else lines
    by_name: dict[str, int] = {}
    repeated = ""
    for i, (number, line) in enumerate(numbered):
        name = canonical(line.partition("\t")[0] if named else line)
        first = by_name.setdefault(name, i)
        if named and not name:
            raise DataError(f"{path}, line {number}: no name before the tab", "Each line is NAME<TAB>TEXT.")
        if first != i and name:  # no row can name a label by an empty text
            repeated = repeated or f"{path}, line {number}: {name[:80]!r} is already in line {numbered[first][0]}"
    if named and repeated:
        raise DataError(repeated, "Names must differ.")
    names = list(by_name) if named else None
    notes = [*_texts_notes(path, texts, table.lines), *unread_note(table)]
    base = int("labels" in reading.one_based)
    unknown = used_names - by_name.keys()
    if not unknown and not base:
        if repeated:
            raise DataError(f"{repeated}: label texts repeat, so they do not identify labels", "Use ids as labels.")
        found_as = "names before the tab" if named else "texts"
        return Vocabulary(texts, by_name, [*notes, f"labels are {found_as} of {path.name}"], names)
    if not base and (column := _column_of_names(table, used_names)):
        title, ids = column
        table.others.pop(title, None)  # the column is read
        notes = [*_texts_notes(path, texts, table.lines), *unread_note(table)]
        label_of = {i: name for name, i in ids.items()}
        names = [label_of.get(i, "") for i in range(len(texts))]
        return Vocabulary(texts, ids, [*notes, f"labels are the column {title!r} of {path.name}"], names)
    without_tab = [number for number, line in numbered if "\t" not in line]
    heads = {canonical(line.partition("\t")[0]) for line in lines if "\t" in line}
    if by_lines and without_tab and used_names & heads:
        message = f"{path}, line {without_tab[0]}: no tab, but rows name labels by what other lines have before a tab"
        raise DataError(message, "Each line is NAME<TAB>TEXT, or each line is a text.")
    # Labels that are partly texts of the file and partly numbers are no ids: a guess could renumber all labels.
    if not base and (unknown != used_names or not all(name.isascii() and name.isdigit() for name in used_names)):
        odd = {name for name in unknown if not (name.isascii() and name.isdigit())}  # the others may be ids
        part, number, name = _first_row(splits, odd if odd and unknown == used_names else unknown)
        hint = f"{_EACH_LABEL} That file has {len(by_name)} different labels."
        hint += "" if by_lines else " Names with other texts may also be a column of the table."
        raise DataError(f"{part.path}, line {number}: label {name[:80]!r} is not in {path}", hint)
    note = f"labels are ids, which count the lines of {path.name} from {base}"
    note += "" if str(base) in used_names else f"; no row has label {base}"
    return Vocabulary(texts, _ids(path, texts, base, used_names, splits), [*notes, note], names)


def _column_of_names(table: Columns, used_names: set[str]) -> tuple[str, dict[str, int]] | None:
    """(column, name → id) of the column of a table of label texts, not its texts, that has all labels of rows.

    DataError if the labels may also be another column or the numbers of the rows, and would then be other labels.
    """
    ways: list[tuple[str, dict[str, int]]] = []
    for column, cells in {table.id_column: table.ids, **table.others}.items():
        names = [canonical(cell) for cell in cells]
        ids = {name: i for i, name in enumerate(names) if name}
        if used_names <= ids.keys() and len(ids) == sum(map(bool, names)):
            ways.append((column, ids))
    rows = {str(i): i for i in range(len(table.texts))}
    all_ways = [*((f"the column {column!r}", ids) for column, ids in ways), ("the numbers of rows from 0", rows)]
    possible = [(way, [ids[name] for name in used_names]) for way, ids in all_ways if used_names <= ids.keys()]
    if ways and any(ids != possible[0][1] for _, ids in possible):
        columns = " or ".join(way for way, _ in possible)
        hint = "Write lines NAME<TAB>TEXT into a .txt file, or remove the columns that do not name labels."
        raise DataError(f"{table.path}: the labels of rows may be {columns}", hint)
    return ways[0] if ways and not used_names <= rows.keys() else None


def _ids(
    path: Path, texts: Sequence[str], base: int, used_names: set[str], splits: Mapping[str, Names]
) -> dict[str, int]:
    """Name → id of labels that are line numbers from `base`; DataError for a number without a line, or ids from 1."""
    ids = {str(i + base): i for i in range(len(texts))}
    from_one = "" if base or "0" in used_names else " The ids seem to count from 1: see --one-based labels."
    if unknown := used_names - ids.keys():
        part, number, name = _first_row(splits, unknown)
        hint = f"{_EACH_LABEL} That file has {len(texts)} lines." + (from_one if name == str(len(texts)) else "")
        raise DataError(f"{part.path}, line {number}: label {name[:80]!r} is not in {path}", hint)
    return ids


def _first_row(splits: Mapping[str, Names], wanted: set[str]) -> tuple[Names, int, str]:
    """(split, line number, name) of the first row that has one of the wanted names; line 1 if only a column has it."""
    return next(
        (part, number, name)
        for part in splits.values()
        for number, row in [*zip(part.lines, part.rows, strict=True), (1, part.column_labels)]
        for name in row
        if name in wanted
    )


def _from_matrices(splits: Mapping[str, SplitRows], label_texts: Path | None, reading: Reading) -> LabelSpace:
    matrices = {which: rows.labels for which, rows in splits.items() if rows.labels is not None}
    widths = {which: int(matrix.shape[1]) for which, matrix in matrices.items()}
    if len(set(widths.values())) > 1:
        description = ", ".join(f"{which} {width}" for which, width in widths.items())
        raise DataError(f"the label matrices differ in width: {description}", "All splits need one label space.")
    if label_texts is None:
        return LabelSpace(matrices, None, _unused(matrices))
    width = next(iter(widths.values()))
    table = read_label_texts(label_texts, reading, width)
    texts = table.texts
    if len(texts) != width:
        hint = "Each column of the label matrices needs one line, in the same order."
        raise DataError(f"{label_texts}: {len(texts)} label texts for {width} labels", hint)
    notes = [*_texts_notes(label_texts, texts, table.lines), *unread_note(table)]
    if texts and all("\t" in text for text in texts):
        notes.append(f"label texts are whole lines of {label_texts.name} with their tabs, since labels are matrices")
    return LabelSpace(matrices, texts, [*notes, *_unused(matrices)])


def _canonical_names(splits: Mapping[str, Names]) -> tuple[dict[str, Names], list[str]]:
    """The names of each split in their canonical form, and notes about the names that this changed.

    DataError, with file and line, if a name has half of a surrogate pair, which no utf-8 text can hold.
    """
    labels = {name for part in splits.values() for row in (*part.rows, part.column_labels) for name in row}
    forms = {name: canonical(name) for name in labels}
    if broken := {name for name in forms if _SURROGATE.search(name)}:
        part, number, name = _first_row(splits, broken)
        message = f"{part.path}, line {number}: label {name[:80]!r} has half of a surrogate pair"
        raise DataError(message, "Write the character itself, or both halves of its escape.")
    spellings: dict[str, set[str]] = defaultdict(set)
    alike: dict[str, set[str]] = defaultdict(set)
    for name, form in forms.items():
        spellings[form].add(_trimmed(name))
        alike[_visible(form)].add(form)
    trimmed = sorted(name for name in forms if _trimmed(name) != name)
    merged = sorted(form for form, several in spellings.items() if len(several) > 1)
    pairs = sorted(sorted(several) for several in alike.values() if len(several) > 1)
    notes = []
    if trimmed:
        notes.append(f"spaces and invisible characters at the ends of label names are left out: {_escaped(trimmed)}")
    if merged:
        notes.append(f"names in several Unicode forms are one label each: {_escaped(merged)}")
    if pairs:
        examples = "; ".join(_escaped(several) for several in pairs[:3])
        notes.append(f"different labels although only spaces or invisible characters inside differ: {examples}")
    rows = {w: [[form for name in row if (form := forms[name])] for row in part.rows] for w, part in splits.items()}
    columns = {w: tuple(form for name in part.column_labels if (form := forms[name])) for w, part in splits.items()}
    return {w: replace(part, rows=rows[w], column_labels=columns[w]) for w, part in splits.items()}, notes


def _escaped(names: Sequence[str]) -> str:
    """The first names, with escapes for characters that are not visible."""
    return ", ".join(repr(name[:80]) for name in names[:3]) + (f", … ({len(names):,} in all)" if len(names) > 3 else "")


def _texts_notes(path: Path, texts: Sequence[str], numbers: Sequence[int]) -> list[str]:
    empty = [number for text, number in zip(texts, numbers, strict=True) if not canonical(text)]
    lines = f"line{'s' * (len(empty) > 1)} {', '.join(map(str, empty[:5]))}{', …' if len(empty) > 5 else ''}"
    return [f"texts of {len(texts)} labels" + (f", {len(empty)} of them empty ({path.name}, {lines})" if empty else "")]


def _twice(splits: Mapping[str, Names]) -> list[str]:
    places = [
        f"{part.path.name}, line {number}"
        for part in splits.values()
        for number, row in zip(part.lines, part.rows, strict=True)
        if len(set(row)) < len(row)
    ]
    return [f"{len(places)} rows name a label twice; it counts once (first: {places[0]})"] if places else []


def _unused(matrices: Mapping[str, sp.csr_matrix]) -> list[str]:
    parts: Iterable[sp.csr_matrix] = matrices.values()
    used = np.unique(np.concatenate([np.unique(matrix.indices) for matrix in parts]))
    n_labels = int(next(iter(matrices.values())).shape[1])
    return (
        [f"{n_labels - len(used):,} of {n_labels:,} labels are in no row; they are kept"]
        if len(used) < n_labels
        else []
    )
