"""Runs from Python: shape, means, failures, frames and notebooks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xmcbench as xb
from tests.minimal import minimal
from xmcbench.api.runs import Runs
from xmcbench.errors import UsageError

DATA = "synthetic[labels=60,rows=100,test=20]"


def runs_of(*values: float, **changes: object) -> Runs:
    """Runs of one method with one seed for each value of P@1."""
    metrics = [[{"name": "P@1", "value": value, "version": 1}] for value in values]
    records = [minimal(f"r{i}", seed=i, metrics=one, **changes) for i, one in enumerate(metrics)]
    return Runs.of(records, Path("results"))


def test_scores_are_means_over_the_seeds() -> None:
    runs = runs_of(0.25, 0.75)
    assert (len(runs), runs.scores, runs[0].seeds) == (1, {"P@1": 0.5}, [0, 1])


def test_several_runs_have_no_scores_of_their_own() -> None:
    runs = Runs.of([minimal("a", "m"), minimal("b", "n")], Path("results"))
    with pytest.raises(xb.XmcError, match="there are 2 runs"):
        _ = runs.scores
    assert runs["n"].scores == {"P@1": 0.5}
    with pytest.raises(xb.XmcError, match="unknown run 'x'"):
        _ = runs["x"]


def test_html_is_escaped() -> None:
    html = Runs.of([minimal("a", "<b>")], Path("results"))._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_a_run_alone_is_what_was_asked_for_and_is_found_again(tmp_path: Path) -> None:
    runs = xb.run("popularity", dataset=DATA, results=tmp_path, progress=False)
    assert [run.label for run in runs] == ["popularity"]
    again = xb.run("popularity", dataset=DATA, results=tmp_path, progress=False)
    assert again.records[0].run_id == runs.records[0].run_id
    assert xb.results(tmp_path).scores == runs.scores


FAILING = """
from dataclasses import replace
from xmcbench.methods.popularity import Popularity

class Failing(Popularity):
    info = replace(Popularity.info, name="failing")

    def fit(self, train, ctx):
        raise {error}
"""


def failing(folder: Path, error: str) -> str:
    (folder / "failing.py").write_text(FAILING.format(error=error))
    return f"{folder / 'failing.py'}:Failing"


def test_a_failed_run_is_an_error_that_has_the_others(tmp_path: Path) -> None:
    names = [failing(tmp_path, "ValueError('too cold')"), "popularity"]
    with pytest.raises(xb.RunsFailed, match="too cold") as raised:
        xb.run(names, dataset=DATA, results=tmp_path / "results", progress=False)
    assert [run.status for run in raised.value.runs] == ["error", "ok"]


def test_ctrl_c_is_raised_after_the_record_is_written(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        xb.run(failing(tmp_path, "KeyboardInterrupt"), dataset=DATA, results=tmp_path / "results", progress=False)
    assert [run.status for run in xb.results(tmp_path / "results")] == ["interrupted"]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"dataset": 3}, {"dataset": []}, {"dataset": [None]}, {"results": None}, {"metrics": [1]}),
        *({"seeds": []}, {"seeds": [-1]}, {"seeds": 3}, {"seeds": np.array([0.5])}, {"seeds": {1: 2}}),
        *({"k": 0}, {"threads": True}, {"time_limit": -1.0}, {"time_limit": "5"}),
        *({"memory": "many"}, {"memory": 16}, {"memory": "900T"}),
    ],
)
def test_values_that_cannot_be(wrong: dict[str, object], tmp_path: Path) -> None:
    given: Any = {"dataset": DATA, "results": tmp_path, "progress": False, **wrong}
    with pytest.raises(UsageError, match=next(iter(wrong)).replace("_", "-")):
        xb.run("popularity", **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("methods", [3, [["tree"]], None])
def test_methods_that_are_no_names(methods: Any) -> None:
    with pytest.raises(UsageError, match="method"):
        xb.run(methods, dataset=DATA, progress=False)


def test_seeds_of_numpy_and_one_metric_as_a_text(tmp_path: Path) -> None:
    given: Any = {"seeds": np.arange(2), "metrics": "P@2"}
    runs = xb.run("popularity", dataset=DATA, results=tmp_path, progress=False, **given)
    assert "P@2" in runs[0].scores


def test_damaged_records_are_named(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "x.json").write_text("{")
    with pytest.warns(UserWarning, match=r"x\.json"):
        assert len(xb.results(tmp_path)) == 0


def test_frames_have_types_and_zones(tmp_path: Path) -> None:
    pandas, polars, parquet = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow.parquet"))
    runs = runs_of(0.25, 0.75, label="=a,b")
    frame = runs.to_pandas()
    assert frame["P@1"].tolist() == [0.25, 0.75]
    assert frame["label"].tolist() == ["=a,b"] * 2
    assert frame["started"][0] == datetime(2026, 11, 26, 4, 26, 17, tzinfo=UTC)
    assert frame["reason"].isna().all()
    assert frame["seed"].dtype == pandas.Int64Dtype()
    tidy = runs.to_polars(per="metrics")
    assert tidy.select("seed", "metric", "value").rows() == [(0, "P@1", 0.25), (1, "P@1", 0.75)]
    assert runs.to_polars().schema["started"] == polars.Datetime("us", "UTC")
    runs.to_parquet(tmp_path / "runs.parquet")
    stored = parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    assert [row["P@1"] for row in stored] == [0.25, 0.75]
    assert stored[0]["started"].utcoffset().total_seconds() == 0


def test_an_unknown_kind_of_frame() -> None:
    pytest.importorskip("pandas")
    with pytest.raises(xb.XmcError, match="unknown kind of frame 'rows'"):
        runs_of(0.5).to_pandas(per="rows")


def test_a_suite_is_all_that_is_run(tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    data = "synthetic[labels=60,rows=100,test=20]"
    suite.write_text(f'k = 3\nmetrics = ["P@1"]\n[[run]]\nmethods = ["popularity"]\ndatasets = ["{data}"]')
    options: dict[str, Any] = {"results": tmp_path / "results", "progress": False}
    (run,) = xb.run(suite=suite, **options)
    assert list(run.scores) == ["P@1"]
    assert run.records[0].spec_hash == xb.run("popularity", dataset=data, k=3, **options)[0].records[0].spec_hash
    with pytest.raises(xb.XmcError, match="methods, k can't be given next to a suite"):
        xb.run("popularity", suite=suite, k=3, **options)
