"""Values somebody printed, shown beside ours and never among them.

`leaderboards/published/NAME.toml`, one file a data set of the catalogue:

    [sources]
    KEY = "where it is printed, with table or commit"
    [versions]
    KEY = { data = "data set of ours whose rows these are, or other", text = "the same in words" }
    [[values]]
    method = "Parabel"                  # as its source calls it
    version = "KEY"
    source = "KEY"
    percent = { "P@1" = 82.25 }         # as printed, under our names of the metrics
    costs = { train_hours = 0.02, model_gb = 0.03, device = "CPU" }    # as printed; may be missing
    ours = ["parabel"]                  # labels of our rows that should repeat it; may be missing
    views = ["bow"]                     # those of our views that hold the same inputs; missing: any
    wrong = "why"                       # where it is known to be wrong at its source
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcbench.board.model import METRICS, PublishedRow, Row, Table
from xmcbench.board.published_form import faults
from xmcbench.errors import DataError

NEAR = 0.005  # in P@1: seeds of a label tree move it by 0.2 to 0.5 points, docs/linear.md
UNCOMPARED = ("other data lineage", "external predictions")  # flags of our rows that repeat nothing


@dataclass(frozen=True)
class Published:
    """One printed row.

    Attributes
    ----------
    dataset : whose file it stands in: the table it is shown beside. data : whose rows it was measured on, or "other".
    version, source : in words. values : metric → fraction. costs : as printed, unit in the key.
    """

    dataset: str
    method: str
    data: str
    version: str
    source: str
    values: Mapping[str, float]
    costs: Mapping[str, Any]
    ours: tuple[str, ...]
    views: tuple[str, ...]
    wrong: str


def load(folder: Path) -> list[Published]:
    """Every value of `folder`, file by file.

    Raises
    ------
    DataError : no such folder, or, all of a file's faults together, anything but the form above: an unknown or missing
        key, data set, view or metric; a value outside 0 to 100; values that break an identity and aren't marked wrong;
        a value that stands twice.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "It comes with the repository, as leaderboards/published.")
    return [entry for path in sorted(folder.glob("*.toml")) for entry in _read(path)]


def beside(dataset: str, view: str, rows: Sequence[Row], published: Sequence[Published]) -> list[PublishedRow]:
    """What was published for this table, each with a verdict on what our rows make of it."""
    return [_row(p, dataset, view, rows) for p in published if dataset in (p.dataset, p.data)]


def published_alone(dataset: str, published: Sequence[Published]) -> Table:
    """The table of a data set that no record is of; its counts are the catalogue's."""
    from xmcbench.data.catalogue import entry

    known = entry(dataset)
    rows = beside(dataset, known.default_view, (), published)
    named = {name for row in rows for name in row.values}
    counts = ("n_train", "n_test", "n_features", "n_labels")
    return Table(
        key=f"{dataset}/{known.default_view}",
        dataset=dataset,
        view=known.default_view,
        title=known.title,
        facts={**{name: known.expected.get(name) for name in counts}, "revision": known.revision},
        metrics=[name for name in METRICS if name in named],
        tested=[],
        slices={},
        ceilings={},
        rows=[],
        published=rows,
        failures=[],
    )


def _row(entry: Published, dataset: str, view: str, rows: Sequence[Row]) -> PublishedRow:
    mine = [row for label in entry.ours for row in rows if row.label == label and not {*row.flags} & {*UNCOMPARED}]
    ours, gaps = None, None
    if entry.wrong:
        verdict, why = "wrong at its source", entry.wrong
    elif entry.data != dataset:
        verdict, why = "other data", "measured on other data than this table"
    elif entry.views and view not in entry.views:
        verdict, why = "other data", f"the same rows, but read as our view {' or '.join(entry.views)}"
    elif gaps := _gaps(entry, mine[0]) if mine else None:
        ours = mine[0].label
        verdict, why = _compared(ours, gaps)
    else:
        verdict, why = "not run here", f"would be repeated by {entry.ours[0]}" if entry.ours else "none of our methods"
    printed = (entry.method, entry.source, entry.version, dict(entry.values))
    return PublishedRow(*printed, verdict, why, ours, gaps or None, dict(entry.costs))


def _gaps(entry: Published, row: Row) -> dict[str, float]:
    """Ours minus published, for the metrics both have, in the order they are printed."""
    have = {name: value.value for name, value in row.values.items()}
    return {name: mine - printed for name, printed in entry.values.items() if (mine := have.get(name)) is not None}


def _compared(label: str, gaps: Mapping[str, float]) -> tuple[str, str]:
    """Verdict and why, by the first metric printed, which is P@1 wherever it is there."""
    name, gap = next(iter(gaps.items()))
    points = f"{100 * abs(gap):.2f} points of {name}"
    if abs(gap) <= NEAR + 1e-9:  # printed values are rounded, and so is their difference
        return "reproduced", f"{label} is within {100 * NEAR:g} points of {name}"
    if gap > 0:
        return "reproduced", f"{label} is above by {points}"
    return "not reproduced", f"{label} is {points} below"


def _read(path: Path) -> list[Published]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # no UTF-8 and no TOML are ValueErrors
        raise DataError(f"{path}: {error}") from error
    if problems := faults(path.stem, tables):
        raise DataError(f"{path}: " + "; ".join(problems), "The form is explained in xmcbench/board/published.py.")
    return [_entry(path.stem, table, tables["sources"], tables["versions"]) for table in tables["values"]]


def _entry(name: str, table: Mapping[str, Any], sources: Mapping[str, str], versions: Mapping[str, Any]) -> Published:
    version = versions[table["version"]]
    return Published(
        dataset=name,
        method=table["method"],
        data=version["data"],
        version=version["text"],
        source=sources[table["source"]],
        values={metric: value / 100 for metric, value in table["percent"].items()},
        costs=table.get("costs", {}),
        ours=tuple(table.get("ours", [])),
        views=tuple(table.get("views", [])),
        wrong=table.get("wrong", ""),
    )
