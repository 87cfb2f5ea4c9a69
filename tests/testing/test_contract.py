"""The battery passes what keeps the contract, and each broken method fails the checks it breaks and no other."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib.util
import os
import pickle
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xmcbench.data.spec import Split
from xmcbench.errors import TimeLimit, UsageError, XmcError
from xmcbench.method import MethodInfo, param
from xmcbench.testing import checks
from xmcbench.testing.contract import assert_contract, check_method, contract_cases
from xmcbench.topk import TopK

_spec = importlib.util.spec_from_file_location("plain", Path(__file__).with_name("plain.py"))
assert _spec is not None
assert _spec.loader is not None
plain = importlib.util.module_from_spec(_spec)
sys.modules["plain"] = plain
_spec.loader.exec_module(plain)
Plain, Params = plain.Plain, plain.Params


def failed(method: Any) -> set[str]:
    return {finding.check for finding in check_method(method) if not finding.ok}


@pytest.mark.parametrize("case", contract_cases(Plain))
def test_a_good_method_passes(case: Any) -> None:
    case()


def test_findings_name_every_check_once_and_say_what_was_not_applicable() -> None:
    findings = check_method(Plain)
    assert [f.check for f in findings] == list(checks.CHECKS)
    assert len(findings) > 20
    assert all(f.ok for f in findings)
    remarks = {f.check: f.message for f in findings}
    assert "not declared deterministic" in remarks["other seeds change nothing where that is declared"]


def test_parameters_can_be_given() -> None:
    assert_contract(Plain, params=Params(noise=0.5, beam=5))


class Prints(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        print("epoch 1")
        super().fit(train, ctx)


class PrintsNatively(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        os.write(2, b"library says hello\n")
        return super().predict(inputs, k, ctx)


class DrawsGlobally(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        np.random.rand()  # noqa: NPY002
        super().fit(train, ctx)


class SeedsTorch(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        torch.manual_seed(ctx.seed("torch"))
        super().fit(train, ctx)


class ShufflesGlobally(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        random.random()
        return super().predict(inputs, k, ctx)


class WritesIntoInputs(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        train.labels.data.setflags(write=True)
        train.labels.data[0] = 5


class SavesPickle(Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "rest.bin").write_bytes(pickle.dumps({"a": 1}))


class SavesObjects(Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        np.savez(folder / "names.npz", names=np.array([{"a": 1}], dtype=object))


class SavesTorchZip(Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        torch.save({"a": torch.zeros(2)}, folder / "state.bin")


class SavesRounded(Plain):
    def save(self, folder: Path) -> None:
        np.savez(folder / "weights.npz", weights=np.round(self.weights, 2))


class SwallowsInterrupt(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        try:
            super().fit(train, ctx)
        except KeyboardInterrupt:
            self.weights = np.zeros((train.features.shape[1], train.n_labels), np.float32)


class ResumesWrongly(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        resumed = ctx.checkpoints.load("half") is not None
        super().fit(train, ctx)
        self.weights[:, 0] += float(resumed)


class SwallowsTimeLimit(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        with contextlib.suppress(TimeLimit):
            super().fit(train, ctx)


class ReadsOwnBeam(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        return super().predict(inputs, k, dataclasses.replace(ctx, query={"beam": self.params.beam}))


class FitsByBeam(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        self.weights[:, 0] += self.params.beam


class LeavesFiles(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        Path("cache.bin").write_bytes(b"x")
        super().fit(train, ctx)


class MovesAway(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        os.chdir("/")
        super().fit(train, ctx)


class FailsOnNoRows(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        assert inputs.n_rows > 0
        return super().predict(inputs, k, ctx)


class FailsOnOneLabel(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if train.n_labels < 2:
            raise ValueError("nothing to learn")
        super().fit(train, ctx)


class FailsOnEmptyRows(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if (np.diff(train.features.indptr) == 0).any():
            raise ZeroDivisionError
        super().fit(train, ctx)


class FailsOnUnlabelledRows(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if (np.diff(train.labels.indptr) == 0).any():
            raise ZeroDivisionError
        super().fit(train, ctx)


class FailsOnUnseenLabels(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if train.n_rows == 60 and train.n_labels == 12 and 3 not in train.labels.indices:
            raise ZeroDivisionError
        super().fit(train, ctx)


class DependsOnThreads(Plain):
    def start(self, n_features: int, n_labels: int, ctx: Any) -> Any:
        return ctx.rng(f"start {ctx.threads}").normal(0, 9, (n_features, n_labels)).astype(np.float32)


class DependsOnTheClock(Plain):
    def start(self, n_features: int, n_labels: int, ctx: Any) -> Any:
        return np.random.default_rng().normal(0, 1e-3, (n_features, n_labels)).astype(np.float32)


class ClaimsDeterminism(Plain):
    info = dataclasses.replace(Plain.info, deterministic=True)


class LooksAtTheBatch(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top = super().predict(inputs, 40, dataclasses.replace(ctx, query={"beam": 40}))
        common = np.bincount(top.ids[:, 0], minlength=40).astype(np.float32) if inputs.n_rows else np.zeros(40)
        return TopK.from_arrays(top.ids, 99 * common[top.ids] - np.arange(top.k), k)


class FindsTestLabels(Plain):
    """Goes from its inputs back to the split they belong to."""

    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top = super().predict(inputs, k, ctx)
        for owner in gc.get_referrers(inputs.features):
            if isinstance(owner, Split) and top.n_rows == 80:
                top.scores[50] = 1e9 + np.roll(np.arange(top.k), owner.labels.indices[:20].sum()) * 1e6
                return TopK.from_arrays(top.ids, top.scores)
        return top


class RepeatsLabels(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        ids = np.zeros((inputs.n_rows, min(k, 2)), np.int32)
        return TopK(ids, np.zeros(ids.shape, np.float32))


class Unordered(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top = super().predict(inputs, k, ctx)
        return TopK(top.ids[:, ::-1].copy(), top.scores[:, ::-1].copy())


class ScoresNaN(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top = super().predict(inputs, k, ctx)
        return TopK(top.ids, np.full_like(top.scores, np.nan))


class ReturnsArrays(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> Any:
        return super().predict(inputs, k, ctx).ids


class TooManyColumns(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        return super().predict(inputs, k + 1, ctx)


class DeclinesEverything(Plain):
    @classmethod
    def skip(cls, data: Any, machine: Any) -> str | None:
        return "too small"


RESUME, QUERY = "an interrupted fit goes on", "query parameters are read from ctx.query"
GENERATORS, FOLDER = "global random generators stay untouched", "writes only into its folder"
PICKLE, LOADED = "saved files hold no pickle", "a loaded model predicts as the saved one"
BROKEN: list[tuple[type, set[str]]] = [
    (Prints, {"prints nothing"}),
    (PrintsNatively, {"prints nothing"}),
    (DrawsGlobally, {GENERATORS}),
    (SeedsTorch, {GENERATORS}),
    (ShufflesGlobally, {GENERATORS}),
    (WritesIntoInputs, {"inputs are not written into"}),
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
    (FailsOnNoRows, {"predicts for no rows"}),
    (FailsOnOneLabel, {"runs on a single label"}),
    (FailsOnEmptyRows, {"runs on rows without any feature"}),
    (FailsOnUnlabelledRows, {"runs on training rows without labels", "runs on a single label"}),
    (FailsOnUnseenLabels, {"runs on a label never seen in training"}),
    (DependsOnThreads, {"the number of threads changes nothing"}),
    (ClaimsDeterminism, {"other seeds change nothing where that is declared"}),
    (LooksAtTheBatch, {"predicts a row alone as among others"}),
    (FindsTestLabels, {"test labels change nothing"}),
    (DeclinesEverything, {"skip takes the smallest world"}),
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


def test_a_crash_is_reported_with_its_place() -> None:
    class Crashes(Plain):
        def fit(self, train: Any, ctx: Any) -> None:
            raise RuntimeError("boom")

    message = {f.check: f.message for f in check_method(Crashes)}["fits and predicts"]
    assert message.startswith("RuntimeError: boom (")
    assert "test_contract.py:" in message


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    check_method(Plain)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True)
class Undocumented:
    alpha: float = 0.1
    beta: int = param(1, "", "ours")
    gamma: int = param(1, "d", "s", query=(1, 2.0))


@dataclass
class Thawed:
    alpha: float = param(0.1, "d", "s")


@dataclass(frozen=True)
class NoDefault:
    alpha: float


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "Two Words"}, ["name 'Two Words'"]),
        ({"name": "a--b"}, ["name 'a--b'"]),
        ({"summary": ""}, ["summary"]),
        ({"summary": "two\nlines"}, ["summary"]),
        ({"family": "forest"}, ["family 'forest' is none of floor, tree"]),
        ({"version": ""}, ["version"]),
        ({"version": 1}, ["version"]),
        ({"citation": "Smith 2020"}, ["BibTeX"]),
        ({"needs": ("images",)}, ["images"]),
        ({"devices": ()}, ["devices"]),
        ({"devices": ("tpu",)}, ["tpu"]),
        ({"parameters": Thawed}, ["frozen"]),
        ({"parameters": NoDefault}, ["alpha has no default"]),
        (
            {"parameters": Undocumented},
            ["alpha has no doc", "alpha has no source", "beta has no doc", "query values (1, 2.0)"],
        ),
        ({"name": "X", "version": ""}, ["name 'X'", "version"]),
    ],
)
def test_incomplete_info_is_named(change: dict[str, Any], said: list[str]) -> None:
    problems = "; ".join(checks.info_problems(dataclasses.replace(Plain.info, **change)))
    for text in said:
        assert text in problems


def test_complete_info_has_no_problem() -> None:
    good = MethodInfo(name="a-b2", summary="s", family="tree", version="1", citation="@article{x}")
    assert checks.info_problems(good) == []


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
