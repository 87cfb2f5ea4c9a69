"""Explanations of ELIAS: the parts sum to the scores that each output predicts."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from xmcbench_elias import Elias
from xmcbench_elias.params import EliasParams
from xmcbench_elias.ranking.fusion import HEAD

from xmcbench.context import RunContext
from xmcbench.data.split import carve
from xmcbench.reasons import Step
from xmcbench.testing.worlds import tiny
from xmcbench.topk import PAD

DATA = tiny()
SMALL = EliasParams(
    width=16, leaf=5, train_beam=3, beam=3, batch=32, dual_epochs=2, stage1_epochs=2, stage2_epochs=2, finish_epochs=1
)
Run = tuple[Elias, RunContext]


@pytest.fixture(scope="module", params=[{"ranker": "both"}, {"ranker": "trees", "calibrate": True, "members": 2}])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    train, held = carve(DATA.train_data(), 0)
    ctx = RunContext(tmp_path_factory.mktemp("elias"), validation=held)
    method = Elias(dataclasses.replace(SMALL, **request.param))
    method.fit(train, ctx)
    return method, ctx


def explained(run: Run, k: int, **query: Any) -> list[tuple[float, list[Step]]]:
    method, ctx = run[0], dataclasses.replace(run[1], query=query)
    found = []
    for number in range(3):
        row = DATA.test_inputs().rows(slice(number, number + 1))
        top = method.predict(row, k, ctx)
        labels = [label for label in top.ids[0].tolist() if label != PAD]
        steps = method.explain(row, labels, ctx)
        found += list(zip(top.scores[0].tolist(), steps, strict=False))
    return found


def test_the_first_step_is_the_final_score(run: Run) -> None:
    for score, steps in explained(run, HEAD):
        assert steps[0].result == "the score"
        assert steps[0].value == pytest.approx(score, rel=1e-4, abs=1e-4)
        assert {reason.kind for step in steps for reason in step.reasons} == {
            "other",
            "feature",
            "constant",
        } or not any("margin" in step.title for step in steps)


def test_later_ranks_say_that_ranks_decide(run: Run) -> None:
    assert sum("ranks of the parts" in steps[0].result for _, steps in explained(run, HEAD + 3)) == 9


def test_the_path_of_the_network_gives_p(run: Run) -> None:
    for score, steps in explained(run, 5, output="model"):
        p = [math.exp(step.value) if step.reasons else 0.0 for step in steps]
        assert sum(p) / len(p) == pytest.approx(score, rel=1e-3, abs=1e-6)
        assert len(p) == len(run[0].fitted.models)  # type: ignore[union-attr]


@pytest.mark.parametrize("output", ["ranker", "dual", "stage1"])
def test_other_outputs_have_steps_too(run: Run, output: str) -> None:
    assert all(steps for _, steps in explained(run, 3, output=output))


def test_the_ranker_is_explained_by_features(run: Run, tmp_path: Path) -> None:
    kinds = [reason.kind for _, steps in explained(run, 3, output="ranker") for s in steps for reason in s.reasons]
    assert set(kinds) == {"feature", "constant"}
