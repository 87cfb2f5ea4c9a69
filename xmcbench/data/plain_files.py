"""Files of plain lines: one text or the labels of one row per line, and fastText's, which has both in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from xmcbench.data.documents import lines_of
from xmcbench.data.file_forms import check_plain, kind_of, text_lines
from xmcbench.data.formats import NPY, NPZ, OTHER, SVMLIGHT, form_of
from xmcbench.data.label_cells import LabelCells, checked_text
from xmcbench.data.label_names import FASTTEXT
from xmcbench.data.table_columns import Reading
from xmcbench.errors import DataError

FASTTEXT_LABEL = re.compile(rf"(?:^|(?<=[ \t])){FASTTEXT}([^ \t]*)[ \t]*")
NUMBERED = re.compile(r"(\d{1,9})\s*[,;:|. ]\s*\S")  # an id and a text without a tab between them
PAIR = re.compile(r"\d+:")
COLUMN_NAMES = {"text", "texts", "title", "content", "body", "document", "sentence", "comment", "abstract"}
LABEL_COLUMNS = {"label", "labels", "tag", "tags", "category", "categories", "class", "classes", "target", "topics"}
LABEL_COLUMNS |= {"name", "names", "label_name", "label_text"}


def plain_texts(path: Path, reading: Reading) -> list[str]:
    """The lines of a file; DataError as from `text_lines` and `checked_text`, or if line 1 is a JSON object."""
    texts = []
    for number, line in text_lines(path):
        if number == 1 and not reading.cells.literal:
            check_plain(path, line)
        texts.append(checked_text(line, f"{path}, line {number}", reading.cells))
    return texts


def blank_tail(lines: Sequence[object]) -> int:
    """The number of empty lines at the end."""
    return sum(1 for _ in takewhile(lambda line: not str(line).strip(), reversed(lines)))


def labels_in_texts(path: Path, texts: list[str]) -> LabelCells | None:
    """Take the labels of fastText's form, `__label__a __label__b text`, out of `texts`; None if most lines have none.

    fastText takes each word that begins with `__label__` for a label, wherever it is. Rows may have no label.
    """
    lines_with_words = sum(not text.isspace() and text != "" for text in texts)
    if 2 * sum(FASTTEXT in text for text in texts) <= lines_with_words:
        return None
    tail = blank_tail(texts)
    cells: list[list[str] | str] = [FASTTEXT_LABEL.findall(text) for text in texts]
    texts[:] = [FASTTEXT_LABEL.sub("", text) for text in texts]
    return LabelCells(path, list(range(1, len(texts) + 1)), cells, blank_tail=tail)


def check_headers(texts_path: Path, texts: Sequence[str], labels: LabelCells) -> None:
    """DataError if line 1 of a file of texts and line 1 of its labels are names of columns."""
    first = str(labels.cells[0]) if labels.cells else ""
    if texts and _bare(texts[0]) in COLUMN_NAMES and _bare(first) in LABEL_COLUMNS:
        problem = f"{texts_path}, line 1: {texts[0]!r}, and {labels.path}, line 1: {first!r} look like names of columns"
        raise DataError(problem, "Remove both lines, or name the files .csv. --literal takes them as a row.")


def check_label_lines(path: Path, texts: Sequence[str]) -> None:
    """DataError if line 1 of a file of label texts names a column, or if the lines begin with numbers of their own.

    Either would give texts to other labels, or texts with numbers in them.
    """
    if texts and _bare(texts[0]) in LABEL_COLUMNS:
        hint = "Remove the line, or name the file .csv and give --text-column. --literal takes it as a label."
        raise DataError(f"{path}, line 1: {texts[0]!r} looks like the name of a column, not like a label", hint)
    numbers = [int(found[1]) for text in texts if (found := NUMBERED.match(text))]
    if len(texts) > 1 and sorted(numbers) in (list(range(len(texts))), list(range(1, len(texts) + 1))):
        hint = "Write the texts alone in the order of ids, or lines NUMBER<TAB>TEXT. --literal takes lines as texts."
        raise DataError(f"{path}, line 1: {texts[0][:60]!r}: the lines begin with ids of their own", hint)


def _bare(text: str) -> str:
    return text.strip().strip("\"'").casefold()


def where_labels_may_be(path: Path | None) -> str:
    """A hint for texts without labels, by what line 1 of the file of texts looks like."""
    hint = "Give --labels FILE (--test-labels, --dev-labels), or texts and labels in one table (.csv, .jsonl, …)."
    if path is None or kind_of(path) != "lines":
        return hint
    if is_matrix(path):
        return f"{path.name} looks like a matrix: give it with --features. {hint}"
    first = next(line for _, line in text_lines(path))
    has_names = COLUMN_NAMES.intersection(map(_bare, re.split("[\t,;|]", first)))
    if "\t" in first or has_names:
        ending = ".tsv" if "\t" in first else ".csv"
        columns = "" if has_names else ", and name its columns, as in --columns labels,text"
        return f"If {path.name} is a table, name it {ending}{columns}. {hint}"
    return hint


def is_matrix(path: Path) -> bool:
    """Whether a file is npz, npy, svmlight, or text with two or three whole numbers in line 1 and id:value pairs after.

    DataError if it is of a form that is never read.
    """
    form = form_of(path)
    if form in (NPZ, NPY):
        return True
    if kind_of(path) != "lines" or form == OTHER:
        return False
    if form == SVMLIGHT:
        return True
    for number, line in lines_of(path):
        words = line.split()
        if number == 1 and not all(word.isdigit() for word in words):
            return False
        if number > 1 and ":" in line:
            return all(PAIR.match(word) for word in words[1:]) and bool(PAIR.match(words[-1]))
    return False
