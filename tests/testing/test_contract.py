"""The battery passes what keeps the contract, and each broken method fails the checks it breaks and no other."""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.testing.faults import (
    ClaimsDeterminism,
    DeclaresNothing,
    DeclinesEverything,
    DependsOnTheClock,
    DependsOnThreads,
    DrawsGlobally,
    ExitsOnOneLabel,
    FailsOnEmptyRows,
    FailsOnNoRows,
    FailsOnOneLabel,
    FailsOnUnlabelledRows,
    FailsOnUnseenLabels,
    FindsTestLabels,
    FitsByBeam,
    FitsByQuery,
    ForgetsItself,
    KeepsItsModelInTheWorkFolder,
    KnowsWhereItWasSaved,
    LeavesFiles,
    LeavesTemporaries,
    LooksAtTheBatch,
    MovesAway,
    NeedsHalfBytes,
    NotesASet,
    NotesASetByCall,
    Prints,
    PrintsNatively,
    ReadsLabelTexts,
    ReadsOwnBeam,
    ReadsTexts,
    RepeatsLabels,
    ResumesWrongly,
    ReturnsArrays,
    SavesObjects,
    SavesPickle,
    SavesRounded,
    SavesTorchZip,
    ScoresNaN,
    SeedsTorch,
    ShrinksWithRows,
    ShufflesGlobally,
    SwallowsInterrupt,
    SwallowsTimeLimit,
    TooManyColumns,
    Unordered,
    Unseeded,
    WritesBesideItsFolder,
    WritesHome,
    WritesIntoInputs,
)
from tests.testing.plain import Params, Plain
from xmcbench.errors import UsageError, XmcError
from xmcbench.method import param
from xmcbench.testing import checks
from xmcbench.testing.contract import assert_contract, check_method, contract_cases
from xmcbench.topk import TopK


def failed(method: Any) -> set[str]:
    return {finding.check for finding in check_method(method) if finding.ok is False}


@pytest.mark.parametrize("case", contract_cases(Plain))
def test_a_good_method_passes(case: Any) -> None:
    case()


def test_findings_name_every_check_once_and_say_what_was_not_applicable() -> None:
    findings = check_method(Plain)
    assert [f.check for f in findings] == list(checks.CHECKS)
    assert len(findings) > 20
    assert all(f.ok for f in findings)
    remarks = {f.check: f.message for f in findings}
    assert "not declared deterministic" in remarks["other seeds change nothing if deterministic"]


def test_no_two_fits_are_compared_where_nothing_is_seeded() -> None:
    findings = check_method(Unseeded)
    assert all(f.ok for f in findings)
    assert sum("not compared" in f.message for f in findings) == 4
    assert failed(ForgetsItself) == {"a loaded model predicts as the saved one"}


def test_parameters_can_be_given() -> None:
    assert_contract(Plain, params=Params(noise=0.5, beam=5))


RESUME, QUERY = "an interrupted fit resumes", "query parameters are read from ctx.query"
GENERATORS, FOLDER = "global random generators stay untouched", "writes only into its folder"
PICKLE, LOADED = "saved files hold no pickle", "a loaded model predicts as the saved one"
NEEDS = "info.needs names all requirements"
BROKEN: list[tuple[type, set[str]]] = [
    (Prints, {"prints nothing"}),
    (PrintsNatively, {"prints nothing"}),
    (DrawsGlobally, {GENERATORS}),
    (SeedsTorch, {GENERATORS}),
    (ShufflesGlobally, {GENERATORS}),
    (WritesIntoInputs, {"inputs are not modified"}),
    (SavesPickle, {PICKLE}),
    (SavesObjects, {PICKLE}),
    (SavesTorchZip, {PICKLE}),
    (SavesRounded, {LOADED}),
    (SwallowsInterrupt, {RESUME}),
    (ResumesWrongly, {RESUME}),
    (SwallowsTimeLimit, {"a time limit stops fit"}),
    (ReadsOwnBeam, {QUERY}),
    (FitsByBeam, {QUERY}),
    (LeavesFiles, {FOLDER}),
    (MovesAway, {FOLDER}),
    (WritesHome, {FOLDER}),
    (LeavesTemporaries, {FOLDER}),
    (WritesBesideItsFolder, {FOLDER}),
    (KeepsItsModelInTheWorkFolder, {LOADED}),
    (KnowsWhereItWasSaved, {LOADED}),
    (ReadsTexts, {NEEDS}),
    (ReadsLabelTexts, {NEEDS}),
    (DeclaresNothing, {NEEDS}),
    (ExitsOnOneLabel, {"runs on a single label"}),
    (FitsByQuery, set()),
    (NotesASet, {"notes are JSON-serialisable"}),
    (NotesASetByCall, {"notes are JSON-serialisable"}),
    (FailsOnNoRows, {"predicts for no rows"}),
    (FailsOnOneLabel, {"runs on a single label"}),
    (FailsOnEmptyRows, {"runs on rows without any feature"}),
    (FailsOnUnlabelledRows, {"runs on training rows without labels", "runs on a single label"}),
    (FailsOnUnseenLabels, {"runs on a label never seen in training"}),
    (DependsOnThreads, {"the number of threads changes nothing"}),
    (ClaimsDeterminism, {"other seeds change nothing if deterministic"}),
    (LooksAtTheBatch, {"predicts a row independently of other rows"}),
    (FindsTestLabels, {"test labels change nothing"}),
    (ShrinksWithRows, {"footprint grows with the rows"}),
    (NeedsHalfBytes, {"footprint grows with the rows"}),
    (DeclinesEverything, {"skip accepts the small data set"}),
]


@pytest.mark.parametrize(("method", "expected"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_each_fault_fails_its_check_and_no_other(
    method: Any, expected: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert failed(method) == expected


@pytest.mark.parametrize("method", [RepeatsLabels, Unordered, ScoresNaN, ReturnsArrays, TooManyColumns])
def test_malformed_predictions_are_refused(method: Any) -> None:
    assert "fits and predicts" in failed(method)


def test_random_results_fail_every_comparison_of_two_fits() -> None:
    assert {"the same seed gives the same predictions", "test labels change nothing", RESUME} <= failed(
        DependsOnTheClock
    )


class Crashes(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        raise TypeError("boom")


class Exits(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        sys.exit("giving up")


@pytest.mark.parametrize(("method", "said"), [(Crashes, "TypeError: boom ("), (Exits, "giving up (")])
def test_a_fit_that_fails_is_one_failure_with_its_place_and_all_else_goes_unchecked(method: Any, said: str) -> None:
    found = check_method(method)
    assert [f.check for f in found] == list(checks.CHECKS)
    assert [f.check for f in found if f.ok is False] == ["fits and predicts"]
    before_fit = ["info is complete", "skip accepts the small data set", "footprint grows with the rows"]
    assert [f.check for f in found if f.ok] == before_fit
    message = next(f.message for f in found if f.ok is False)
    assert said in message
    assert "test_contract.py:" in message
    assert {f.message for f in found if f.ok is None} == {"not checked: fit or predict failed on the small data set"}


def test_pytest_shows_as_skipped_what_was_not_checked() -> None:
    cases = {case.title: case for case in contract_cases(Crashes)}
    with pytest.raises(TypeError, match="boom"):
        cases["prints nothing"]()
    with pytest.raises(unittest.SkipTest):
        cases["fits and predicts"]()


def test_the_place_of_a_crash_is_the_methods_own_line() -> None:
    class Misuses(Plain):
        def fit(self, train: Any, ctx: Any) -> None:
            np.concatenate([np.zeros(2), np.zeros((2, 2))])
            np.linalg.inv(np.zeros((2, 3)))

    message = {f.check: f.message for f in check_method(Misuses)}["fits and predicts"]
    assert "test_contract.py:" in message


def test_a_fit_that_starts_over_is_told_so() -> None:
    class StartsOver(Plain):
        def fit(self, train: Any, ctx: Any) -> None:
            ctx.checkpoints.drop("half")
            super().fit(train, ctx)

    for method, said in ((StartsOver, "it restarts"), (Plain, "")):
        message = {f.check: f.message for f in check_method(method)}[RESUME]
        assert message.startswith(said), method
        assert bool(message) == bool(said)


def test_what_a_method_declines_for_lack_of_inputs_is_a_remark() -> None:
    class Declines(DeclaresNothing):
        @classmethod
        def skip(cls, data: Any, machine: Any) -> str | None:
            return None if "features" in data.available else "has no features"

    found = {f.check: f for f in check_method(Declines)}
    assert found[NEEDS].ok
    assert found[NEEDS].message == "declined where there are only texts: has no features"


def test_the_missing_input_is_named_with_the_place() -> None:
    message = {f.check: f.message for f in check_method(ReadsTexts)}[NEEDS]
    assert message.startswith("where there are only features (all else is None), TypeError")
    assert "faults.py:" in message


def test_a_watched_fit_still_finds_the_users_caches_and_leaves_the_environment_alone() -> None:
    seen: list[str | None] = []

    class Looks(Plain):
        def fit(self, train: Any, ctx: Any) -> None:
            seen.append(os.environ.get("XDG_CACHE_HOME"))
            super().fit(train, ctx)

    before, folder = dict(os.environ), tempfile.gettempdir()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    assert failed(Looks) == set()
    assert cache in seen
    assert dict(os.environ) == before
    assert tempfile.gettempdir() == folder


class OnGpu(Plain):
    info = dataclasses.replace(Plain.info, devices=("cuda",))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_without_a_gpu_a_method_that_needs_one_is_not_checked() -> None:
    with pytest.raises(UsageError, match="torch sees none"):
        check_method(OnGpu)
    with pytest.raises(unittest.SkipTest):
        contract_cases(OnGpu)[0]()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_context_says_so() -> None:
    seen: set[str] = set()

    class Looks(OnGpu):
        def fit(self, train: Any, ctx: Any) -> None:
            seen.add(ctx.device)
            super().fit(train, ctx)

    assert failed(Looks) == set()
    assert seen == {"cuda"}


def test_a_device_the_method_has_not_is_refused() -> None:
    with pytest.raises(UsageError, match="doesn't run on 'cuda'"):
        check_method(Plain, device="cuda")


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    check_method(Plain)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Maybe:
    noise: float = param(0.01, "d", "s")
    beam: int | None = param(None, "labels looked at; None: all", "s", query=(None, 5))


def test_a_query_parameter_may_be_none_by_default() -> None:
    class Unlimited(Plain):
        info = dataclasses.replace(Plain.info, parameters=Maybe)

        def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
            beam = inputs.n_labels if ctx.query["beam"] is None else ctx.query["beam"]
            return super().predict(inputs, k, dataclasses.replace(ctx, query={"beam": beam}))

    assert failed(Unlimited) == set()


def test_unknown_and_formless_methods_are_errors_not_findings() -> None:
    with pytest.raises(UsageError, match="unknown method 'popularty'"):
        check_method("popularty")
    with pytest.raises(XmcError, match="lacks info, skip"):
        check_method(int)


def test_all_failures_stand_in_one_assertion() -> None:
    class Two(Prints, SavesPickle):
        pass

    with pytest.raises(AssertionError, match=r"(?s)pickle.*prints nothing: printed"):
        assert_contract(Two)
