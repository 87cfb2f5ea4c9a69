"""Figures with lines: recall, deciles, learning curves and query parameters, of runs on a small synthetic data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.board.conftest import NewRun
from tests.plots.conftest import check_labels, shown_texts
from xmcbench.api.run import run
from xmcbench.comparison.rescoring import dataset_of
from xmcbench.errors import UsageError
from xmcbench.plots import curve, deciles, groups, learning, recall
from xmcbench.plots.curve import Point, pareto
from xmcbench.plots.selection import Selection, select
from xmcbench.records.merging import merge
from xmcbench.records.store import Store

DATA = "synthetic[rows=300,test=60,labels=60]"

pytestmark = pytest.mark.usefixtures("styled")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines") / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder.parent / "home"))
        run(["knn[neighbours=5|20]", "ovr", "popularity"], dataset=DATA, results=folder, threads=1, progress=False)
    return folder


def selected(folder: Path, *names: str) -> Selection:
    store = Store(folder)
    return select(store, store.records(), names)


def lines(figure: object) -> list[np.ndarray]:
    return [line.get_xydata() for line in figure.axes[0].lines]  # type: ignore[attr-defined]


def test_recall_from_predictions_is_that_on_record(results: Path) -> None:
    selection = selected(results)
    figure = recall.draw(selection)
    best = max(selection.shown, key=lambda one: one.row.values["R@100"].value or 0)
    first = lines(figure)[0]
    assert first[:, 0].tolist() == [1, 2, 3, 5, 10, 20, 50]  # there are 60 labels
    assert first[4, 1] == pytest.approx(100 * best.row.values["R@10"].value)
    assert (np.diff(first[:, 1]) >= 0).all()
    assert any(note.startswith("The floor is not drawn, by R@100: popularity") for note in selection.notes)
    check_labels(figure)


def test_recall_of_a_slim_copy_has_the_cut_offs_on_record(results: Path, tmp_path: Path) -> None:
    list(merge(Store(results), Store(tmp_path), slim=True))
    selection = selected(tmp_path)
    assert lines(recall.draw(selection))[0][:, 0].tolist() == [10, 100]
    assert any(
        note.startswith("Only at the cut-offs on record, since predictions are not kept") for note in selection.notes
    )
    with pytest.raises(UsageError, match="no run has its predictions"):
        deciles.draw(selection)


def test_deciles_add_up_to_the_recall_of_all_occurrences(results: Path) -> None:
    selection = selected(results, "ovr")
    figure = deciles.draw(selection)
    values = lines(figure)[0][:, 1]
    topk = selection.store.predictions(selection.shown[0].runs[0])
    dataset = dataset_of(selection.shown[0].runs[0], offline=True)
    true = dataset.test.labels.tocoo()
    hits = sum(label in topk.ids[row, :10] for row, label in zip(true.row, true.col, strict=True))
    assert values.mean() == pytest.approx(100 * hits / true.nnz)  # parts have equally many occurrences
    assert len(figure.axes) == 2
    assert selection.about[-1].endswith("first k predictions of their row, one seed.")
    assert selection.drawn == ["ovr"]


def test_groups_have_a_bar_for_each_row(results: Path) -> None:
    selection = selected(results)
    figure = groups.draw(selection)
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        f"P@1, {part} labels, percent" for part in ("head", "torso", "tail")
    ]
    best = max(selection.shown, key=lambda one: one.row.values["nDCG@5"].value or 0)
    (bar,) = [patch for patch in figure.axes[5].patches if patch.get_y() < 0]
    assert bar.get_width() == pytest.approx(100 * best.row.values["R@100:tail"].value)
    check_labels(figure)


def test_values_that_are_missing_are_said_to_be_unknown(folder: Path, new_run: NewRun) -> None:
    new_run("tree", np.ones(200))
    texts = shown_texts(groups.draw(selected(folder)))
    assert texts.count(" unknown") == 2  # P@1 of head and torso; the tail has a value
    assert " 25.0" in texts
    for kind, match in ((recall, "no run has recall"), (learning, "no learning curve"), (curve, "several values")):
        with pytest.raises(UsageError, match=match):
            kind.draw(selected(folder))  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="can't be read"):
        deciles.draw(selected(folder))


def test_too_many_lines(folder: Path, new_run: NewRun) -> None:
    for i in range(25):
        new_run(f"m[{i}]", np.ones(200), metrics=[{"name": "R@10", "value": 0.5, "version": 1}], board=None)
    with pytest.raises(UsageError, match=r"25 lines in one figure can't be told apart: at most 24"):
        recall.draw(selected(folder))


def test_curves_of_fits_that_differ_in_query_parameters_alone(results: Path) -> None:
    selection = selected(results)
    figure = curve.draw(selection, "P@1")
    texts = shown_texts(figure)
    assert "knn" in texts
    assert "One setting, so no line: ovr, popularity." in selection.notes
    assert check_labels(figure) == 2
    assert {"5", "20"} <= {*texts}
    assert any("knn: neighbours" in text for text in texts)


def test_pareto_points_by_hand() -> None:
    points = [Point(x, y, None, f"{x}") for x, y in ((1.0, 50), (2.0, 40), (3.0, 60), (3.0, 55), (4.0, 60))]
    assert [(p.x, p.y) for p in pareto(points)] == [(1.0, 50), (3.0, 60)]
    assert pareto([]) == []


def test_learning_curves_and_what_is_no_history(folder: Path, new_run: NewRun) -> None:
    epochs = [
        {"stage": "one", "loss": 0.5, "validation nDCG@5": 0.25},
        {"stage": "two", "loss": 0.25, "validation nDCG@5": None},
        {"stage": "two", "loss": True},
        "no epoch",
    ]
    for seed in (0, 1):
        new_run("net", np.ones(200), seed, notes={"epochs": epochs})
    new_run("other", np.ones(200), notes={"epochs": {"a": 1}})
    selection = selected(folder)
    figure = learning.draw(selection)
    marked = [line.get_xydata().tolist() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert marked[0] == marked[2] == [[1, 0.5]]  # the first stage of both seeds
    assert marked[1][0] == [2, 0.25]
    assert "No learning curve, since the method notes none: other." in selection.notes
    assert {"one", "two", "net: validation nDCG@5"} <= {*shown_texts(figure)}
    assert [e.loss for e in learning.history({"epochs": epochs})] == [0.5, 0.25, None]
    check_labels(figure)


def test_epochs_without_a_loss_or_a_score(folder: Path, new_run: NewRun) -> None:
    new_run("net", np.ones(200), notes={"epochs": [{"epoch": 1}, {"loss": 0.0}]})
    new_run("scored", np.ones(200), notes={"epochs": [{"validation P@1": 0.5}]})
    texts = shown_texts(learning.draw(selected(folder)))
    assert "no validation score is noted" in texts
    assert "no loss is noted" in texts
