"""The report tells what the fit did, in numbers that the harness would give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from xmcbench_elias import Elias
from xmcbench_elias.params import EliasParams

from xmcbench.context import RunContext
from xmcbench.metrics import Truth, evaluate
from xmcbench.testing.worlds import tiny

DATA = tiny()
SMALL = EliasParams(width=16, leaf=5, train_beam=3, beam=3, batch=32, dual_epochs=2, stage1_epochs=3, stage2_epochs=2)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Elias, RunContext]:
    folder = tmp_path_factory.mktemp("report")
    ctx = RunContext(folder / "work", query={"beam": 3, "output": "final"})
    method = Elias(SMALL)
    method.fit(DATA.train_data(), ctx)
    truth = Truth.of(DATA)
    method.report(DATA.test_inputs(), lambda top: evaluate(top, truth, samples=0), folder, ctx)
    return folder, method, ctx


def test_steps_are_the_outputs_of_the_method(written: tuple[Path, Elias, RunContext]) -> None:
    folder, method, ctx = written
    told = json.loads((folder / "report.json").read_text())
    assert [step["name"] for step in told["steps"]] == ["stage1", "model", "ranker", "dual", "final"]
    truth = Truth.of(DATA)
    own = evaluate(method.predict(DATA.test_inputs(), 40, ctx), truth, samples=0).fractions()
    assert told["steps"][-1]["P@1"] == own["P@1"]
    assert told["steps"][-1]["PSP@5"] == own["PSP@5"]
    gap = told["differences"][1]
    assert gap["from"] == "model"
    assert gap["P@1"][0] == pytest.approx(told["steps"][2]["P@1"] - told["steps"][1]["P@1"])
    assert gap["P@1"][1] <= gap["P@1"][0] <= gap["P@1"][2]


def test_index_facts_and_files(written: tuple[Path, Elias, RunContext]) -> None:
    folder, method, _ = written
    told = json.loads((folder / "report.json").read_text())
    assert method.fitted is not None
    held = int(method.fitted.models[0].filled.sum())
    assert told["index"]["clusters a label, mean"] == pytest.approx(held / 40)
    assert [beam["name"] for beam in told["beams"]] == ["1", "2", "5"]
    shares = told["share of the shortlist scored"]
    assert sorted(shares, key=int) == ["5", "10"]  # there are 40 labels: none is asked for 100
    assert 0 < shares["5"] <= shares["10"] <= 1
    assert (folder / "beam.svg").read_text().lstrip().startswith("<?xml")
    assert "| final |" in (folder / "report.md").read_text()
