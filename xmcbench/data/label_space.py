"""Map label names to ids: one label space for all splits of a user's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import scipy.sparse as sp

from xmcbench.data.recipes import label_matrix
from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import Names, SplitRows, read_label_texts
from xmcbench.errors import DataError


@dataclass(frozen=True)
class LabelSpace:
    """Label matrices (n, L) by split, the label texts or None, and the number of rows with a repeated label."""

    matrices: Mapping[str, sp.csr_matrix]
    texts: Sequence[str] | None
    rows_naming_twice: int


def label_space(splits: Mapping[str, SplitRows], label_texts: Path | None, reading: Reading) -> LabelSpace:
    """Assign ids to labels.

    Without `label_texts`, the labels are the names in all splits in sorted order (numerically if all are whole
    numbers), including names without a training row, and each name is its label's text. With `label_texts`, line i (or
    row i of jsonl, csv) is the text of label i. Names in the splits must then be ids, or texts of that file, or, if
    every line of it is `name<TAB>text`, the names before the tab.

    Raises
    ------
    DataError : a name that is not in `label_texts` (with file and line), matrices of different widths, matrices in some
        splits and names in others, or no label at all.
    """
    with_names = {which: rows.names for which, rows in splits.items() if rows.names is not None}
    if with_names and len(with_names) < len(splits):
        split_without_names = next(which for which in splits if which not in with_names)
        raise DataError(
            f"labels of {', '.join(with_names)} are names, those of {split_without_names} a matrix", "Give both alike."
        )
    if not with_names:
        return _from_matrices(splits, label_texts, reading)
    if label_texts is None:
        used_names = {name for names in with_names.values() for row in names.rows for name in row}
        if not used_names:
            raise DataError(f"{next(iter(with_names.values())).path}: no row has a label", "See --label-separator.")
        texts = in_order(used_names)
        ids = {name: i for i, name in enumerate(texts)}
    else:
        texts, ids = vocabulary(label_texts, with_names, reading)
    matrices = {
        which: label_matrix(_rows_of_ids(names, ids, label_texts), len(texts)) for which, names in with_names.items()
    }
    rows_naming_twice = sum(len(set(row)) < len(row) for names in with_names.values() for row in names.rows)
    return LabelSpace(matrices, texts, rows_naming_twice)


def in_order(names: set[str]) -> list[str]:
    """Sort by code points, or numerically if every name is a whole number without leading zeros."""
    if all(name.isascii() and name.isdigit() and str(int(name[:300])) == name for name in names):
        return sorted(names, key=int)
    return sorted(names)


def vocabulary(path: Path, splits: Mapping[str, Names], reading: Reading) -> tuple[list[str], dict[str, int]]:
    """(label texts, name → id) of a label file; see `label_space`."""
    lines = read_label_texts(path, reading)
    named = bool(lines) and all("\t" in line for line in lines)
    names = [line.partition("\t")[0] for line in lines] if named else lines
    texts = [line.partition("\t")[2] for line in lines] if named else lines
    by_name: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        first = by_name.setdefault(name.strip(), number - 1)
        if named and first != number - 1:
            raise DataError(f"{path}, line {number}: {name!r} is already in line {first + 1}", "Names must differ.")
    used_names = {name for split_names in splits.values() for row in split_names.rows for name in row}
    base = int("labels" in reading.one_based)
    if not base and used_names <= by_name.keys():
        if len(by_name) < len(lines):
            raise DataError(f"{path}: label texts repeat, so they do not identify labels", "Use ids as labels.")
        return texts, by_name
    if all(name.isascii() and name.isdigit() for name in used_names):
        return texts, {str(i + base): i for i in range(len(lines))}
    return texts, by_name


def _rows_of_ids(names: Names, ids: Mapping[str, int], label_texts: Path | None) -> list[list[int]]:
    rows = []
    for number, row in zip(names.lines, names.rows, strict=True):
        for name in row:
            if name not in ids:
                raise DataError(
                    f"{names.path}, line {number}: label {name[:80]!r} is not in {label_texts}",
                    f"Each label needs a line there: its text, NAME<TAB>TEXT, or ids that count lines from 0 "
                    f"(from 1 with --one-based labels). "
                    f"That file has {len(ids)} different labels.",
                )
        rows.append([ids[name] for name in row])
    return rows


def _from_matrices(splits: Mapping[str, SplitRows], label_texts: Path | None, reading: Reading) -> LabelSpace:
    matrices = {which: rows.labels for which, rows in splits.items() if rows.labels is not None}
    widths = {which: int(matrix.shape[1]) for which, matrix in matrices.items()}
    if len(set(widths.values())) > 1:
        description = ", ".join(f"{which} {width}" for which, width in widths.items())
        raise DataError(f"the label matrices differ in width: {description}", "All splits need one label space.")
    texts = None if label_texts is None else read_label_texts(label_texts, reading, max(widths.values()))
    return LabelSpace(matrices, texts, 0)
