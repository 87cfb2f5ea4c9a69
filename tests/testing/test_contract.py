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
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from xmcbench.data.spec import Split
from xmcbench.errors import TimeLimit, UsageError, XmcError
from xmcbench.method import MethodInfo, param
from xmcbench.testing import checks
from xmcbench.testing.contract import assert_contract, check_method, contract_cases
from xmcbench.testing.describing import info_problems
from xmcbench.topk import TopK

_spec = importlib.util.spec_from_file_location("plain", Path(__file__).with_name("plain.py"))
assert _spec is not None
assert _spec.loader is not None
plain = importlib.util.module_from_spec(_spec)
sys.modules["plain"] = plain
_spec.loader.exec_module(plain)
Plain, Params = plain.Plain, plain.Params


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


class Unseeded(Plain):
    """As a library is that draws its own numbers; what one fit has learned must still be kept."""

    info = dataclasses.replace(Plain.info, seeded=False)

    def start(self, n_features: int, n_labels: int, ctx: Any) -> Any:
        return np.random.default_rng().normal(0, 1e-3, (n_features, n_labels)).astype(np.float32)


class ForgetsItself(Unseeded):
    def load(self, folder: Path) -> None:
        super().load(folder)
        self.weights += self.start(*self.weights.shape, None)


def test_no_two_fits_are_compared_where_nothing_is_seeded() -> None:
    findings = check_method(Unseeded)
    assert all(f.ok for f in findings)
    assert sum("not compared" in f.message for f in findings) == 4
    assert failed(ForgetsItself) == {"a loaded model predicts as the saved one"}


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


class WritesHome(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        (Path.home() / ".plainrc").write_text("x")
        super().fit(train, ctx)


class LeavesTemporaries(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        tempfile.mkdtemp(prefix="plain-")
        return super().predict(inputs, k, ctx)


class WritesBesideItsFolder(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        (ctx.folder.parent / "fit.json").write_text("{}")
        super().fit(train, ctx)


class KeepsItsModelInTheWorkFolder(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        self.kept = ctx.folder / "weights.npy"
        np.save(self.kept, self.weights)

    def save(self, folder: Path) -> None:
        (folder / "path.txt").write_text(str(self.kept))

    def load(self, folder: Path) -> None:
        self.weights = np.load((folder / "path.txt").read_text())


class KnowsWhereItWasSaved(Plain):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "path.txt").write_text(str(folder))

    def load(self, folder: Path) -> None:
        super().load(Path((folder / "path.txt").read_text()))


class ReadsTexts(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        assert len(train.texts) == train.n_rows
        super().fit(train, ctx)


class ReadsLabelTexts(Plain):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        assert len(inputs.label_texts) == inputs.n_labels
        return super().predict(inputs, k, ctx)


class DeclaresNothing(Plain):
    info = dataclasses.replace(Plain.info, needs=())


class ExitsOnOneLabel(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        if train.n_labels < 2:
            sys.exit(3)
        super().fit(train, ctx)


class FitsByQuery(Plain):
    """That is its right: while fitting, ctx.query holds the defaults."""

    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        self.weights[:, 0] += ctx.query["beam"]


class NotesASet(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        ctx.notes["seen"] = {1, 2}


class NotesASetByCall(Plain):
    def fit(self, train: Any, ctx: Any) -> None:
        super().fit(train, ctx)
        ctx.note("seen", {1, 2})


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


def shares_rows(owner: Split, inputs: Any) -> bool:
    return owner.features is not None and np.shares_memory(owner.features.data, inputs.features.data)


class FindsTestLabels(Plain):
    """Goes from its inputs back to the split they belong to."""

    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top = super().predict(inputs, k, ctx)
        for owner in gc.get_objects():
            if type(owner) is Split and top.n_rows == 80 and shares_rows(owner, inputs):
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
    assert [f.check for f in found if f.ok] == ["info is complete", "skip accepts the small data set"]
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
    assert "test_contract.py:" in message


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
class Undocumented:
    alpha: float = 0.1
    beta: int = param(1, "", "ours")
    gamma: int = param(1, "d", "s", query=(1, 2.0))


@dataclass(frozen=True)
class Odd:
    rate: float = param(float("inf"), "d", "s")
    decay: float = param(1, "d", "s")
    curve: float = param(1.0, "d", "s", query=(1.0, float("nan")))
    layers: list[int] = param(None, "d", "s")  # noqa: RUF009
    mode: Literal["mean", "max"] = param("sum", "d", "s")
    cost: float = param(1.0, "d", "s", tune=(0.3, 3.0, 3.0))
    steps: int = param(1, "d", "s", tune=(1, 2.0))


@dataclass(frozen=True)
class Even:
    beam: int | None = param(None, "labels looked at; None: all", "s", query=(None, 5, 30))
    mode: Literal["mean", "max"] = param("mean", "d", "s", query=("mean", "max"))
    top: Literal[1, 2] | None = param(None, "d", "s")


@dataclass
class Thawed:
    alpha: float = param(0.1, "d", "s")


@dataclass(frozen=True)
class OutOfBounds:
    rate: float = param(0.0, "d", "s", above=0)
    beam: int = param(5, "d", "s", least=1, query=(0, 5))


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
        ({"deterministic": True, "seeded": False}, ["contradict"]),
        ({"parameters": Thawed}, ["frozen"]),
        ({"parameters": NoDefault}, ["alpha has no default"]),
        ({"parameters": OutOfBounds}, ["rate: 0.0 is not above 0, its own bounds", "beam: 0 is not at least 1"]),
        (
            {"parameters": Undocumented},
            ["alpha has no doc", "alpha has no source", "beta has no doc", "query values (1, 2.0)"],
        ),
        (
            {"parameters": Odd},
            [
                "rate: default inf is not a finite float",
                "decay: default 1 is not a finite float",
                "query values (1.0, nan) are not all finite float",
                "layers: list[int] is not made of",
                "mode: default 'sum' is not a finite Literal['mean', 'max']",
                "cost: default 1.0 is not among the values to tune (0.3, 3.0, 3.0)",
                "cost: values to tune (0.3, 3.0, 3.0) repeat themselves",
                "steps: values to tune (1, 2.0) are not all finite int",
            ],
        ),
        ({"name": "X", "version": ""}, ["name 'X'", "version"]),
    ],
)
def test_incomplete_info_is_named(change: dict[str, Any], said: list[str]) -> None:
    problems = "; ".join(info_problems(dataclasses.replace(Plain.info, **change)))
    for text in said:
        assert text in problems


def test_complete_info_has_no_problem() -> None:
    good = MethodInfo(name="a-b2", summary="s", family="tree", version="1", citation="@article{x}")
    assert info_problems(good) == []
    assert info_problems(dataclasses.replace(good, parameters=Even)) == []


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
