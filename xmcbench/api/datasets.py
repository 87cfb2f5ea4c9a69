"""`xmcbench.dataset` and `xmcbench.import_data`: data sets of the catalogue, and those of your own files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmcbench.data.imported import Imported
    from xmcbench.data.spec import Dataset


def dataset(name: str, view: str | None = None, *, offline: bool = False) -> Dataset:
    """A data set by its name, as `xmcbench run --dataset` takes it; the first call fetches and parses it.

    Parameters
    ----------
    name : a name of the catalogue, of an import, or such as "synthetic[labels=100,rows=1000]".
    view : one of its views; None is the default view.
    offline : use no network.

    Raises
    ------
    UsageError : unknown name or view. DataError : a file is unavailable or damaged.

    Examples
    --------
    >>> import xmcbench as xb
    >>> xb.dataset("synthetic[labels=60,rows=100,test=20]").train.labels.shape
    (100, 60)
    """
    from xmcbench.data import load

    return load(name, view, offline=offline)


def import_data(
    name: str,
    texts: str | Path,
    labels: str | Path | None = None,
    *,
    test_texts: str | Path | None = None,
    test_labels: str | Path | None = None,
    text_column: str = "text",
    labels_column: str = "labels",
    label_separator: str = "",
    id_column: str = "",
    delimiter: str = "",
    test_share: float = 0.2,
    replace: bool = False,
) -> Imported:
    """Import your texts and labels as a data set; `xmcbench data import` has more options.

    Parameters
    ----------
    name : of the new data set: lower case letters, digits, dashes.
    texts, labels : files of training rows; without `labels`, `texts` is a table that has both.
    test_texts, test_labels : the same for test rows; without them, a `test_share` of the rows is set aside.
    text_column, labels_column, id_column : of tables. label_separator : between label names, such as "comma"; "" finds
        it. delimiter : of csv columns; "" finds it.
    replace : replace an import of that name.

    Returns
    -------
    Imported : counts, views, and notes on how the files were read.

    Raises
    ------
    UsageError : an invalid or existing name, or options that do not fit. DataError : with file and line.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> import xmcbench as xb
    >>> rows = [{"text": f"ticket {i} {word}", "labels": [word]} for i in range(20) for word in ("phone", "mail")]
    >>> _ = Path("tickets.jsonl").write_text("\\n".join(map(json.dumps, rows)))
    >>> xb.import_data("tickets", "tickets.jsonl").counts["n_labels"]
    2
    """
    from xmcbench.data.importing import Plan, import_files
    from xmcbench.data.table_columns import Reading
    from xmcbench.data.user_files import SplitFiles

    def path(value: str | Path | None) -> Path | None:
        return None if value is None else Path(value)

    reading = Reading(
        separator=label_separator,
        text_column=text_column,
        labels_column=labels_column,
        delimiter=delimiter,
        id_column=id_column,
    )
    plan = Plan(
        train=SplitFiles(path(texts), path(labels)),
        test=SplitFiles(path(test_texts), path(test_labels)),
        reading=reading,
        test_share=test_share,
    )
    return import_files(name, plan, replace=replace)
