"""Tuning keeps what is best on validation rows, never meets a test row, and goes on after a stop."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmcbench.context import Reporter, RunContext
from xmcbench.data.spec import Dataset, Split
from xmcbench.data.split import TuningRows
from xmcbench.errors import Diverged
from xmcbench.method import MethodInfo, param
from xmcbench.metrics import Truth, evaluate
from xmcbench.records.execution import execute
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs.job import Options
from xmcbench.runs.selection import Selection, TuningPart, grid_of, joined
from xmcbench.runs.spec import RunSpec
from xmcbench.runs.tuning import Tuning
from xmcbench.testing.worlds import tiny
from xmcbench.topk import TopK


@dataclass(frozen=True)
class Params:
    noise: float = param(0.5, "added to the share of each label", "ours: a test", tune=(0.0, 0.5, 3.0))
    flip: int = param(0, "labels at the top put last", "ours: a test", query=(0, 1, 2), tune=(0, 1))
    trouble: str = param("", "what goes wrong, and at which noise", "ours: a test")


class Noisy:
    """Labels by share plus noise; keeps the texts of all rows it was shown."""

    info = MethodInfo("noisy", "for tests", "floor", "1", parameters=Params)
    fits: list[float]
    seen: set[str]
    shown: list[tuple[Any, Any]]

    def __init__(self, params: Any) -> None:
        self.params = params

    @classmethod
    def skip(cls, data: Any, machine: Any) -> str | None:
        return None

    def fit(self, train: Any, ctx: Any) -> None:
        cls = type(self)
        cls.fits.append(self.params.noise)
        cls.shown.append((train, ctx.validation))
        cls.seen.update(train.texts)
        if ctx.validation is not None:
            ctx.selected("epoch", "P@1", 4)
        with ctx.phase("train"):
            ctx.progress(1, 2, "half")
            self.fail(ctx)
        noise = ctx.rng("noise").random(train.n_labels)
        share = np.asarray(train.labels.mean(axis=0)).ravel()
        self.scores = (share + self.params.noise * noise).astype(np.float32)

    def fail(self, ctx: Any) -> None:
        kind, _, at = self.params.trouble.partition("@")
        if not kind or (at and float(at) != self.params.noise) or (kind == "stop" and ctx.checkpoints.load("stopped")):
            return
        ctx.checkpoints.save("stopped", {})
        raise {"crash": ValueError, "diverge": Diverged, "memory": MemoryError, "stop": KeyboardInterrupt}[kind](kind)

    def warm_up(self, ctx: Any) -> None:
        self.warm = True

    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        assert self.warm
        type(self).seen.update(inputs.texts)
        scores = self.scores.copy()
        scores[np.argsort(-scores)[: ctx.query["flip"]]] = -1
        ids = np.tile(np.arange(inputs.n_labels), (inputs.n_rows, 1))
        return TopK.from_arrays(ids, np.tile(scores, (inputs.n_rows, 1)), k)

    def save(self, folder: Path) -> None:
        np.savez(folder / "model.npz", scores=self.scores)

    def load(self, folder: Path) -> None:
        with np.load(folder / "model.npz") as file:
            self.scores = file["scores"]


class Choosy(Noisy):
    info = dataclasses.replace(Noisy.info, name="choosy", wants_validation=True)


class Told(Reporter):
    def __init__(self) -> None:
        self.phases: list[str] = []
        self.notes: list[str] = []
        self.shares: list[float] = []
        self.scores: list[float] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def progress(self, done: float, total: float, note: str) -> None:
        self.notes.append(note)
        if self.phases[-1].startswith("tuning"):
            self.shares.append(done / total)

    def score(self, name: str, value: float) -> None:
        self.scores.append(value)


@pytest.fixture(autouse=True)
def fresh() -> None:
    for cls in (Noisy, Choosy):
        cls.fits, cls.seen, cls.shown = [], set(), []


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def spec(method: Any = Noisy, seed: int = 0, **given: Any) -> RunSpec:
    grid = grid_of(method.info, given)
    return RunSpec(f"{__file__}:{method.__name__}", method, Params(**given), "tiny", None, seed, 20, grid)


def run(store: Store, what: RunSpec, dataset: Dataset | None = None, **options: Any) -> Record:
    reporter = options.pop("reporter", Reporter())
    return execute(what, dataset or tiny(), store, Options(threads=1, samples=20, **options), reporter)[0]


def tuning_of(record: Record) -> TuningPart:
    assert record.selection.tuning is not None
    return record.selection.tuning


def trials(record: Record) -> dict[tuple[Any, ...], Any]:
    return {tuple(t.parameters.values()): t.score for t in tuning_of(record).trials}


def by_hand(params: Params, rows: TuningRows, folder: Path) -> float | None:
    """nDCG@5 of one combination on the validation rows."""
    method, ctx = Noisy(params), RunContext(folder, query={"flip": params.flip})
    method.fit(rows.fit, ctx)
    method.warm_up(ctx)
    found = method.predict(rows.score.inputs(), 5, ctx)
    return evaluate(found, Truth.build(rows.score.labels), ["nDCG@5"], samples=0).fractions()["nDCG@5"]


def test_the_best_on_validation_rows_is_chosen_and_fitted_on_all_training_rows(store: Store, tmp_path: Path) -> None:
    record = run(store, spec())
    rows = TuningRows.of(tiny())
    expected = {
        (noise, flip): by_hand(Params(noise, flip), rows, tmp_path / f"{noise}-{flip}")
        for noise in (0.0, 0.5, 3.0)
        for flip in (0, 1)
    }
    assert trials(record) == expected
    best = max(expected, key=lambda one: expected[one] or 0)
    chosen = record.method.parameters
    assert (chosen["noise"], chosen["flip"]) == best != (0.5, 0)
    assert record.method.label == "noisy[tune]"
    selection = record.selection
    assert (selection.split, selection.rows, selection.rows_fitted) == ("carved", 15, 300)
    assert (selection.what, selection.by, selection.tried) == ("noise, flip", "nDCG@5", 6)
    assert tuning_of(record).rows_fitted == 285
    assert tuning_of(record).grid == {"noise": [0.0, 0.5, 3.0], "flip": [0, 1]}
    plain = run(store, dataclasses.replace(spec(), grid=None, params=Params(*best)))
    assert plain.predictions.sha256 == record.predictions.sha256, "the final fit is as if it had been typed"
    assert plain.spec_hash != record.spec_hash


def test_query_parameters_share_a_fit_and_every_combination_is_told(store: Store) -> None:
    told = Told()
    record = run(store, spec(), reporter=told)
    assert Noisy.fits == [0.5, 0.0, 3.0, record.method.parameters["noise"]]
    assert told.phases[:3] == [
        "tuning 1 of 6: noise=0.5 flip=0",
        "tuning 2 of 6: noise=0.5 flip=1",
        "tuning 3 of 6: noise=0.0 flip=0",
    ]
    assert told.phases[6].startswith("tuned: noise=")
    assert told.notes[0] == "train half"
    assert len(told.scores) == 6
    assert record.costs.tune_seconds == record.costs.phases["tune"] > 0
    assert told.shares == sorted(told.shares), "progress counts combinations, and never begins again"
    assert told.shares[-1] > 0


def test_of_equal_scores_the_one_nearest_to_the_defaults_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tuning, "_score", lambda *_: 0.25)
    chosen = run(store, spec()).method.parameters
    assert (chosen["noise"], chosen["flip"]) == (0.5, 0)


def test_what_is_set_is_not_tuned(store: Store) -> None:
    record = run(store, spec(noise=3.0))
    assert record.method.parameters["noise"] == 3.0
    assert set(Noisy.fits) == {3.0}
    assert list(trials(record)) == [(0,), (1,)]


def test_no_test_row_is_met_before_the_choice_and_test_labels_do_not_change_it(store: Store) -> None:
    data = tiny()
    marked = dataclasses.replace(data.test, texts=[f"test row {i}" for i in range(data.test.labels.shape[0])])
    data = dataclasses.replace(data, test=marked, content_hash="marked")
    tuning = Tuning(spec(), TuningRows.of(data), store.folder / "tune", RunContext(store.folder / "run"))
    best = tuning.choose()
    assert Noisy.seen == set(data.train.texts or ()), "rows to fit and rows to score, all of the training split"
    turned = data.test.labels[::-1, ::-1].tocsr()
    turned.sort_indices()
    poisoned = dataclasses.replace(data, test=Split(data.test.features, marked.texts, turned), content_hash="poisoned")
    honest, fooled = run(store, spec(), data), run(store, spec(), poisoned)
    assert honest.metrics != fooled.metrics
    assert trials(honest) == trials(fooled)
    assert honest.method.parameters == fooled.method.parameters
    assert best.items() <= honest.method.parameters.items()


def test_an_official_development_split_is_scored_on_where_there_is_one(store: Store) -> None:
    data = tiny()
    development = Split(*(part[:40] for part in (data.test.features, data.test.texts, data.test.labels)))  # type: ignore[index]
    data = dataclasses.replace(data, validation=development, content_hash="official")
    record = run(store, spec(), data)
    assert (record.selection.split, record.selection.rows) == ("official", 40)
    assert tuning_of(record).rows_fitted == 300
    assert {train.n_rows for train, _ in Noisy.shown} == {300}


def test_a_method_that_selects_itself_is_scored_on_rows_it_has_not_selected_on(store: Store) -> None:
    record = run(store, spec(Choosy))
    scored = set(TuningRows.of(tiny()).score.texts or ())
    (train, own), (final, last) = Choosy.shown[0], Choosy.shown[-1]
    assert (train.n_rows, own.n_rows, final.n_rows, last.n_rows) == (271, 14, 285, 15)
    assert scored.isdisjoint({*train.texts, *own.texts})
    assert set(last.texts) == scored, "the final fit is a run like any other"
    selection = record.selection
    assert (selection.what, selection.by) == ("noise, flip; epoch", "nDCG@5; P@1")
    assert (selection.tried, selection.rows, selection.rows_fitted) == (10, 15, 285)
    assert (tuning_of(record).rows_fitted, tuning_of(record).rows_of_own_validation) == (271, 14)
    assert joined(Selection(split="none", tried=1), {"tried": 4}) == Selection(split="none", tried=4)


def test_filter_pairs_follow_the_carved_rows(store: Store) -> None:
    data = tiny()
    pairs = np.array([[row, label] for row in range(300) for label in (row % 7, 9)], np.int64)
    rows = TuningRows.of(dataclasses.replace(data, train_filter=pairs))
    place = {text: row for row, text in enumerate(data.train.texts or ())}
    held = [place[text] for text in rows.score.texts or ()]
    assert rows.pairs.tolist() == [[new, label] for new, old in enumerate(held) for label in (old % 7, 9)]
    most = run(store, spec(noise=0.0), dataclasses.replace(data, train_filter=pairs, content_hash="filtered"))
    assert trials(most) != trials(run(store, spec(noise=0.0)))


def test_after_ctrl_c_what_was_scored_is_not_fitted_again(store: Store, tmp_path: Path) -> None:
    stopped = run(store, spec(trouble="stop@0.0"))
    assert stopped.status == "interrupted"
    assert stopped.method.parameters["noise"] is None, "nothing is chosen yet"
    assert [t.parameters["noise"] for t in tuning_of(stopped).trials] == [0.5, 0.5]
    before = stopped.costs.tune_seconds
    assert before > 0
    Noisy.fits = []
    told = Told()
    final = run(store, spec(trouble="stop@0.0"), reporter=told)
    assert final.status == "interrupted"
    assert Noisy.fits == [0.0, 3.0, 0.0], "stopped once more, in the final fit"
    assert told.phases[0] == "tuning 3 of 6: noise=0.0 flip=0"
    assert final.costs.tune_seconds > before
    record = run(store, spec(trouble="stop@0.0"))
    assert record.status == "ok", record.reason
    assert Noisy.fits[3:] == [0.0]
    assert record.costs.phases["tune"] >= final.costs.tune_seconds
    whole = run(Store(tmp_path / "other"), spec())
    assert trials(record) == trials(whole)
    assert record.predictions.sha256 == whole.predictions.sha256


def test_a_time_limit_holds_for_the_whole_run(store: Store) -> None:
    record = run(store, spec(), time_limit=0.0)
    assert (record.status, record.selection.tried) == ("timeout", 0)
    assert run(store, spec()).status == "ok"


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("crash", "error", "ValueError: crash"),
        ("diverge", "diverged", "diverge"),
        ("memory", "out_of_memory", "memory"),
    ],
)
def test_what_fails_is_left_out_with_its_reason_unless_all_fail(
    store: Store, kind: str, status: str, said: str
) -> None:
    record = run(store, spec(trouble=f"{kind}@0.0"))
    assert record.status == "ok"
    failed = [t for t in tuning_of(record).trials if t.score is None]
    assert [(t.parameters["noise"], t.parameters["flip"]) for t in failed] == [(0.0, 0), (0.0, 1)]
    assert {t.status for t in failed} == {status}
    assert said in failed[0].reason
    assert (failed[0].traceback is not None) == (status == "error")
    assert Noisy.fits.count(0.0) == 1, "a fit that fails isn't tried for every combination"
    every = run(store, spec(trouble=kind))
    assert every.status == status
    assert "none of 6 combinations could be scored; noise=0.5 flip=0: " in every.reason
    assert said in every.reason
    fits = len(Noisy.fits)
    run(store, spec(trouble=kind))
    assert len(Noisy.fits) == fits + 3, "the next run tries again"


def test_a_final_fit_that_fails_does_not_cost_the_tuning(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Noisy, "save", lambda *_: 1 / 0)
        assert run(store, spec()).status == "error"
    assert [path.name for path in store.folder.glob("work/*/*")] == ["tune"]
    fits = len(Noisy.fits)
    assert run(store, spec()).status == "ok"
    assert len(Noisy.fits) == fits + 1


def test_predictions_that_cannot_be_scored_fail_their_combination_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Noisy.predict

    def broken(self: Noisy, inputs: Any, k: int, ctx: Any) -> Any:
        return whole(self, inputs, k, ctx) if ctx.query["flip"] else "nothing"

    monkeypatch.setattr(Noisy, "predict", broken)
    record = run(store, spec())
    assert record.method.parameters["flip"] == 1
    assert [t.reason is None for t in tuning_of(record).trials].count(True) == 3


def test_tuned_and_untuned_runs_are_each_done_once(store: Store) -> None:
    plain = dataclasses.replace(spec(), grid=None)
    first = [run(store, one).run_id for one in (plain, spec(), spec(seed=1))]
    fits = len(Noisy.fits)
    assert [run(store, one).run_id for one in (plain, spec(), spec(seed=1))] == first
    assert len(Noisy.fits) == fits
    assert run(store, spec(), again=True).supersedes == first[1]
    assert len(Noisy.fits) == fits + 4, "tuned again from the start"


def test_with_nothing_to_tune_it_is_the_untuned_run_and_says_so(store: Store) -> None:
    fixed = spec(noise=0.5, flip=0)
    assert fixed.grid == ()
    record = run(store, fixed)
    assert record.notes["tuning"].startswith("nothing to tune")
    assert record.costs.tune_seconds is None
    assert record.selection.tuning is None
    assert run(store, dataclasses.replace(fixed, grid=None)) == record
