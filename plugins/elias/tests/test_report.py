"""The report tells what the fit did, in numbers that the harness would give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from xmcbench_elias import Elias
from xmcbench_elias.params import EliasParams
from xmcbench_elias.results.contributions import contributions

from xmcbench.context import RunContext
from xmcbench.metrics import Truth, evaluate
from xmcbench.testing.worlds import tiny

DATA = tiny()
SMALL = EliasParams(width=16, leaf=5, train_beam=3, beam=3, batch=32, dual_epochs=2, stage1_epochs=3, stage2_epochs=2)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Elias, RunContext]:
    folder = tmp_path_factory.mktemp("report")
    name = "elias on <tiny> (bow), seed 7"
    ctx = RunContext(folder / "work", query={"beam": 3, "output": "final"}, run_name=name)
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
    assert [(pair["from"], pair["to"]) for pair in told["differences"]] == [
        ("stage1", "model"),
        *(("model", part) for part in ("ranker", "dual", "final")),
    ]
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
    assert [beam["name"] for beam in told["beams"]] == ["2", "3", "5"]
    assert {**told["beams"][1], "name": "final"} == told["steps"][-1]  # final scores, those of the default beam
    shares = told["share of the shortlist scored"]
    assert sorted(shares, key=int) == ["5", "10"]  # there are 40 labels: none is asked for 100
    assert 0 < shares["5"] <= shares["10"] <= 1
    for figure, title in (("beam.svg", "Beams"), ("learning.svg", "Learning curve")):
        svg = (folder / figure).read_text()
        assert svg.lstrip().startswith("<?xml")
        assert f"{title}: elias on &lt;tiny&gt; (bow), seed 7" in svg
    text = (folder / "report.md").read_text()
    assert text.startswith("# ELIAS, stage by stage: elias on &lt;tiny&gt; (bow), seed 7\n")
    assert "| final |" in text
    assert "Output: final." in text
    assert text.count("](learning.svg)") == 1


def test_a_sentence_for_each_stage() -> None:
    steps = [{"name": "stage1", "P@1": 0.5, "R@100": 0.75}]
    gaps = {"P@1": (0.02, 0.01, 0.03), "R@100": (-0.004, -0.01, 0.002)}
    lower = {"P@1": (-0.02, -0.03, -0.01), "R@100": None}
    differences = [{"from": "stage1", "to": "model", **gaps}, {"from": "model", "to": "ranker", **lower}]
    assert contributions(steps, differences) == [
        "Stage 1, which trains the network with the clustering as its index, reaches P@1 50.00 and R@100 75.00.",
        "Stage 2, which learns the graph, compared with stage 1 at equally many label scores: "
        "P@1 higher, +2.00 (+1.00 to +3.00) points; R@100 not clearly different, −0.40 (−1.00 to +0.20) points.",
        "The ranker, linear classifiers alone, compared with the network: "
        "P@1 lower, −2.00 (−3.00 to −1.00) points; R@100 unknown.",
    ]
