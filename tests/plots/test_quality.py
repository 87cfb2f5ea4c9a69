"""The figure of quality against costs: values of the board, what is left out, and names that are hard to show."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from tests.board.conftest import NewRun
from tests.plots.conftest import check_labels, shown_texts
from xmcbench.board.build import make
from xmcbench.errors import UsageError
from xmcbench.plots.kinds import write
from xmcbench.plots.quality import draw
from xmcbench.plots.selection import Selection, select, store_of
from xmcbench.records.store import Store

BIDI = "\u202eevil"  # turns the direction of what follows


def selected(folder: Path, *names: str) -> Selection:
    store = Store(folder)
    return select(store, store.records(), names)


def hits(share: float) -> np.ndarray:
    return (np.arange(200) < 200 * share).astype(np.float32)


@pytest.mark.usefixtures("styled")
def test_values_and_intervals_are_those_of_the_board(folder: Path, new_run: NewRun) -> None:
    for seed, share in enumerate((0.5, 0.6)):
        new_run("tree", hits(share), seed, costs={"peak_rss_bytes": 2**30})
    new_run("knn", hits(0.3), method={"family": "neighbours"}, costs={"fit_seconds": 40.0})
    selection = selected(folder)
    figure = draw(selection, "P@1")
    points = {one.get_color(): one.get_xydata() for one in figure.axes[0].lines if one.get_gid() == "point"}
    assert len(points) == 2  # a colour for each family
    assert next(iter(points.values()))[0] == pytest.approx([2, 55])
    table = csv.DictReader(io.StringIO(make(folder).files["tables/toy--bow.csv"].decode()))
    row = next(row for row in table if row["method"] == "tree")
    value = next(one.row.values["P@1"] for one in selection.shown if one.name == "tree")
    assert (value.value, value.low, value.high) == tuple(float(row[f"P@1{end}"]) for end in ("", " low", " high"))
    (bar,) = figure.axes[0].collections[0].get_segments()
    assert bar == pytest.approx(np.array([[2, 100 * value.low], [2, 100 * value.high]]))
    assert [axes.get_xlabel() for axes in figure.axes][1:] == [
        "prediction in batch, milliseconds per row",
        "peak memory, GiB",
    ]
    assert check_labels(figure) == 5  # knn has no memory
    assert "No peak memory: knn." in selection.notes


@pytest.mark.usefixtures("styled")
def test_costs_of_another_machine_are_named_and_not_shown(folder: Path, new_run: NewRun) -> None:
    new_run("tree", hits(0.5))
    new_run("knn", hits(0.4))
    other = {"device": "cpu", "machine_class": {"scores": "cpu", "costs": "<b>B</b> CPU"}, "threads": {"given": 8}}
    new_run("ovr", hits(0.6), environment=other)
    new_run("outside", hits(0.6), environment={}, method={"family": "external"})
    figure = draw(selection := selected(folder), "P@1")
    texts = shown_texts(figure)
    assert "ovr" not in texts
    assert any("costs of two machines can't be compared: ovr, on <b>B</b> CPU, 8 threads" in n for n in selection.notes)
    assert "No costs: outside." in selection.notes
    assert any("A CPU, 2 cores, 8 GiB, 2 threads" in text for text in texts)
    with pytest.raises(UsageError, match="no run has costs"):
        draw(selected(folder, "outside"), "P@1")


@pytest.mark.usefixtures("styled")
def test_the_floor_does_not_stretch_the_axis(folder: Path, new_run: NewRun) -> None:
    new_run("popularity", hits(0.01), method={"family": "floor"})
    assert check_labels(draw(selected(folder), "P@1")) == 2  # alone it is shown
    new_run("tree", hits(0.5))
    figure = draw(selection := selected(folder), "P@1")
    assert figure.axes[0].get_ylim()[0] > 30
    assert "The floor is not drawn, by P@1: popularity (1.00)." in selection.notes


@pytest.mark.usefixtures("styled")
def test_200_rows_have_the_names_that_there_is_room_for(folder: Path, new_run: NewRun) -> None:
    rng = np.random.default_rng(0)
    for i in range(200):
        new_run(f"m[{i}]", hits(0.3 + rng.uniform() / 3), costs={"fit_seconds": float(10 ** rng.uniform(0, 3))})
    figure = draw(selected(folder), "P@1")
    assert check_labels(figure) > 40
    assert "of 200 points" in figure.axes[0].get_title(loc="left")
    assert sum(len(one.get_xdata()) for one in figure.axes[0].lines if one.get_gid() == "point") == 200


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_names_that_are_hard_to_show(folder: Path, new_run: NewRun, suffix: str, tmp_path: Path) -> None:
    names = ("long" * 75, "long" * 74 + "lang", "<script>alert(1)</script>&", "$a_1$ $", "שלום", BIDI, "a\x01b", "漢字")
    for i, name in enumerate(names):
        new_run(
            name, hits(0.3 + i / 20), costs={"fit_seconds": 10.0**i}, method={"family": f"<i>{i}"}, run_id=f"run{i}"
        )
    notes = write(selected(folder), "quality", "P@1", tmp_path / f"figure{suffix}")
    content = (tmp_path / f"figure{suffix}").read_bytes()
    assert any("CJK" in note for note in notes)
    if suffix == ".png":
        assert content.startswith(b"\x89PNG")
        return
    root = ET.fromstring(content)  # valid XML
    assert not [element for element in root.iter() if str(element.tag).lower().rpartition("}")[2] in ("script", "i")]
    assert b"<script" not in content
    assert "\u202e" not in content.decode()
    assert b"P@1 against costs: toy (bow)" in content  # the title as text
    write(selected(folder), "quality", "P@1", tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == content


@pytest.mark.usefixtures("styled")
def test_missing_values_and_old_records(folder: Path, new_run: NewRun) -> None:
    new_run("tree", hits(0.5), costs={"fit_seconds": 0.0, "predict_seconds": None})
    new_run("old", hits(0.4), schema=1, seal=None)
    new_run("failed", status="error", reason="it broke")
    selection = selected(folder)
    figure = draw(selection, "P@1")
    assert check_labels(figure) == 2
    assert {"No fit time: tree.", "No prediction in batch: tree.", "Not shown: failed: error (it broke)."} <= {
        *selection.notes
    }
    with pytest.raises(UsageError, match="no run has RPrec"):
        draw(selected(folder), "RPrec")


def test_what_can_not_be_selected(folder: Path, new_run: NewRun) -> None:
    with pytest.raises(UsageError, match="no run in"):
        selected(folder)
    new_run("failed", status="error", reason="it broke")
    with pytest.raises(UsageError, match="has status error"):
        selected(folder)
    new_run("tree", hits(0.5))
    new_run("tree", hits(0.5), dataset={"name": "other"})
    with pytest.raises(UsageError, match=r"several data sets or views: other \(bow\), toy \(bow\)"):
        selected(folder)
    with pytest.raises(UsageError, match="unknown run"):
        selected(folder, "nothing")
    with pytest.raises(UsageError, match="not a results folder"):
        store_of([str(folder / "records")], Path("results"))
    (path, *_) = Store(folder).paths()
    assert store_of([str(path)], Path("results"))[0].folder == folder
    elsewhere = folder.parent / "two" / "records" / path.name
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(path.read_bytes())
    with pytest.raises(UsageError, match="record files of several folders"):
        store_of([str(path), str(elsewhere)], Path("results"))
    with pytest.raises(UsageError, match="is a folder, next to 1 other name"):
        store_of([str(folder), "tree"], Path("results"))


def test_a_row_selected_on_test_rows_is_not_shown(folder: Path, new_run: NewRun) -> None:
    new_run("tree", hits(0.5))
    new_run("cheat", hits(0.9), selection={"split": "test", "rows": 0, "tried": 1, "what": None, "by": None})
    selection = selected(folder)
    assert [one.name for one in selection.shown] == ["tree"]
    assert any(
        note.startswith("Not shown: cheat: parameters or epochs were chosen on the test") for note in selection.notes
    )
    with pytest.raises(UsageError, match="none of the runs can be shown"):
        selected(folder, "cheat")
