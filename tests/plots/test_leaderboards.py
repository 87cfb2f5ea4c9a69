"""Figures of the committed leaderboards: the values of their tables, and no name over a point. Slow: a minute."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.plots.conftest import check_labels
from xmcbench.board.build import file_name
from xmcbench.plots import groups, learning, quality, recall
from xmcbench.plots.selection import select
from xmcbench.records.record import Record
from xmcbench.records.store import Store

FOLDER = Path(__file__).resolve().parents[2] / "leaderboards"
TABLES = sorted({path.stem for path in (FOLDER / "tables").glob("*.csv")})

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("styled")]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return Store(FOLDER).records()


@pytest.mark.parametrize("name", TABLES)
def test_a_table(records: list[Record], name: str) -> None:
    data = next(r.dataset for r in records if file_name(r.dataset.name, r.dataset.view) == name)
    selection = select(Store(FOLDER), records, (), data.name, data.view)
    with (FOLDER / "tables" / f"{name}.csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    for one in selection.shown:
        for metric in ("P@1", "nDCG@5", "R@100"):
            value, cells = one.row.values[metric], [rows[one.row.label][metric + end] for end in ("", " low", " high")]
            assert [value.value, value.low, value.high] == [float(cell) if cell else None for cell in cells]
    assert check_labels(quality.draw(selection)) >= len(selection.shown)  # in three panels
    for kind in (groups, learning, recall):
        check_labels(kind.draw(selection))  # type: ignore[attr-defined]
