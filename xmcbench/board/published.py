"""Published values, listed separately from our rows.

`leaderboards/published/NAME.toml`, one file per data set of the catalogue:

    [sources]
    KEY = "publication, with table or commit"
    [versions]
    KEY = { data = "our data set with the same rows, or other", text = "description of the data version" }
    [[values]]
    method = "Parabel"                  # name in the source
    version = "KEY"
    source = "KEY"
    percent = { "P@1" = 82.25 }         # published values under our names of the metrics
    costs = { train_hours = 0.02, model_gb = 0.03, device = "CPU" }    # as published; optional
    ours = ["parabel"]                  # labels of our rows that should reproduce the values; optional
    views = ["bow"]                     # our views with the same inputs; optional, default any
    wrong = "why"                       # reason, if the values are known to be wrong at their source; optional
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

NEAR = 0.005  # difference in P@1 up to which values count as reproduced: the spread over seeds of a label tree
UNCOMPARED = ("other data lineage", "external predictions")  # flags of our rows that reproduce nothing


@dataclass(frozen=True)
class Published:
    """One published row.

    Attributes
    ----------
    dataset : data set of the file, whose table lists the row. data : data set of the test rows, or "other".
    version, source : texts. values : metric → fraction. costs : as published, the key has the unit.
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
    """All published values of `folder`, file by file.

    Raises
    ------
    DataError : no such folder, or a file with faults, which are reported together: an unknown or missing key, data set,
        view or metric; a value outside 0 to 100; values that break an identity and aren't marked wrong; a duplicate.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "It comes with the repository, as leaderboards/published.")
    return [entry for path in sorted(folder.glob("*.toml")) for entry in _read(path)]


def beside(dataset: str, view: str, rows: Sequence[Row], published: Sequence[Published]) -> list[PublishedRow]:
    """The published values for one table, each with a verdict from the comparison with our rows."""
    return [_row(p, dataset, view, rows) for p in published if dataset in (p.dataset, p.data)]


def published_alone(dataset: str, published: Sequence[Published]) -> Table:
    """The table of a data set without records; its counts are from the catalogue."""
    from xmcbench.data.catalogue import entry

    catalogue_entry = entry(dataset)
    rows = beside(dataset, catalogue_entry.default_view, (), published)
    names = {name for row in rows for name in row.values}
    counts = ("n_train", "n_test", "n_features", "n_labels")
    return Table(
        key=f"{dataset}/{catalogue_entry.default_view}",
        dataset=dataset,
        view=catalogue_entry.default_view,
        title=catalogue_entry.title,
        facts={**{name: catalogue_entry.expected.get(name) for name in counts}, "revision": catalogue_entry.revision},
        metrics=[name for name in METRICS if name in names],
        tested=[],
        slices={},
        ceilings={},
        rows=[],
        published=rows,
        failures=[],
    )


def _row(entry: Published, dataset: str, view: str, rows: Sequence[Row]) -> PublishedRow:
    candidates = [row for label in entry.ours for row in rows if row.label == label]
    comparable = [row for row in candidates if not {*row.flags} & {*UNCOMPARED}]
    ours, gaps = None, None
    if entry.wrong:
        verdict, why = "wrong at its source", entry.wrong
    elif entry.data != dataset:
        verdict, why = "other data", "measured on other data than this table"
    elif entry.views and view not in entry.views:
        verdict, why = "other data", f"the same rows, but read as our view {' or '.join(entry.views)}"
    elif gaps := _gaps(entry, comparable[0]) if comparable else None:
        ours = comparable[0].label
        verdict, why = _compared(ours, gaps)
    else:
        verdict, why = "not run here", f"would be repeated by {entry.ours[0]}" if entry.ours else "none of our methods"
    printed = (entry.method, entry.source, entry.version, dict(entry.values))
    return PublishedRow(*printed, verdict, why, ours, gaps or None, dict(entry.costs))


def _gaps(entry: Published, row: Row) -> dict[str, float]:
    """Our value minus the published value, for the metrics that both have, in the published order."""
    our_values = {name: value.value for name, value in row.values.items()}
    return {
        name: our_value - value
        for name, value in entry.values.items()
        if (our_value := our_values.get(name)) is not None
    }


def _compared(label: str, gaps: Mapping[str, float]) -> tuple[str, str]:
    """Verdict and reason, from the first published metric."""
    name, gap = next(iter(gaps.items()))
    points = f"{100 * abs(gap):.2f} points of {name}"
    if abs(gap) <= NEAR + 1e-9:  # published values are rounded
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
        raise DataError(f"{path}: " + "; ".join(problems), "xmcbench/board/published.py explains the format.")
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
