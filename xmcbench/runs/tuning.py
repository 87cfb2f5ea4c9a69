"""Parameters chosen on validation rows: every combination is fitted on training rows, the best one is kept.

No test row comes here: `Tuning` is given `TuningRows`, which hold rows of the training and development splits alone.
What is scored is kept on disk at once, and the fit under way has checkpoints of its own, so a stopped run goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from xmcbench.context import Reporter, RunContext
from xmcbench.data.split import CARVE_SEED, carve
from xmcbench.errors import Diverged, TimeLimit, XmcError, explain, where
from xmcbench.files import WriteError, write_json
from xmcbench.method import Method, TrainData
from xmcbench.runs.grid import BY, combinations, fits
from xmcbench.runs.plan import RunSpec, spell
from xmcbench.runs.work import Journal
from xmcbench.topk import checked

if TYPE_CHECKING:
    from xmcbench.data.split import TuningRows

K = 5  # labels predicted for each validation row, beside those the filter removes: as many as `BY` looks at
Result = TypeVar("Result")


class Tuning:
    """The search for one run's parameters, in a folder of its own."""

    def __init__(self, spec: RunSpec, rows: TuningRows, folder: Path, ctx: RunContext) -> None:
        """`ctx` is the run's: its seed, device, threads, deadline and reporter hold here too."""
        self.spec, self.rows, self.folder, self.run = spec, rows, folder, ctx
        self.combinations = combinations(spec)
        self.journal = Journal(folder / "journal.json", ctx.reporter, {}, {})
        self.kept = folder / "trials.json"
        trials: list[dict[str, Any]] = json.loads(self.kept.read_text()) if self.kept.is_file() else []
        self.trials = [one for one in trials if one["status"] != "out_of_memory"]  # it may not fail again
        # A method that selects on validation rows itself gets its own, carved from those it is fitted on, since the
        # rows it is scored on must be new to it.
        self.fit_rows: TrainData = rows.fit
        self.own_validation: TrainData | None = None
        if spec.info.wants_validation:
            self.fit_rows, self.own_validation = carve(rows.fit, CARVE_SEED)

    def choose(self) -> dict[str, Any]:
        """Parameter → value of the combination that scores best; of equal ones the nearest to the defaults.

        A combination that fails is left out.

        Raises
        ------
        Diverged, MemoryError, XmcError : all failed; the reason is that of the first.
        TimeLimit : of the whole run.
        """
        self.journal.start()
        try:
            for number, members in enumerate(fits(self.spec)):
                self._try(number, [one for one in members if self._trial(one) is None])
        finally:
            self.journal.stop()
        trials = self._scored()
        good = [trial for trial in trials if trial["score"] is not None]
        if not good:
            self.kept.unlink(missing_ok=True)
            kind = {"diverged": Diverged, "out_of_memory": MemoryError}.get(trials[0]["status"], XmcError)
            first = f"{told(trials[0]['parameters'])}: {trials[0]['reason']}"
            raise kind(f"tuning: none of {len(trials)} combinations could be scored; {first}")
        best: dict[str, Any] = max(good, key=lambda trial: float(trial["score"]))["parameters"]
        return best

    def selection(self) -> dict[str, Any]:
        """What the record says of the search so far: JSON-able."""
        found = self._scored()
        return {
            "split": self.rows.split,
            "rows": self.rows.score.n_rows,
            "what": ", ".join(name for name, _ in self.spec.grid or ()),
            "by": BY,
            "tried": len(found),
            "tuning": {
                "grid": {name: list(values) for name, values in self.spec.grid or ()},
                "rows_fitted": self.fit_rows.n_rows,
                "rows_of_own_validation": 0 if self.own_validation is None else self.own_validation.n_rows,
                "trials": found,
            },
        }

    def _trial(self, combination: Mapping[str, Any]) -> dict[str, Any] | None:
        return next((trial for trial in self.trials if trial["parameters"] == combination), None)

    def _scored(self) -> list[dict[str, Any]]:
        """What is done, in the order of the combinations; a trial read from disk has its parameters sorted by name."""
        found = [(one, self._trial(one)) for one in self.combinations]
        return [{**trial, "parameters": one} for one, trial in found if trial is not None]

    def _try(self, number: int, members: Sequence[dict[str, Any]]) -> None:
        """Fit once, then score each of the combinations that share the fit."""
        if not members:
            return
        folder, reporter = self.folder / f"fit-{number}", _Trial(self.journal)
        ctx = RunContext(
            folder=folder / "method",
            root_seed=self.run.root_seed,
            device=self.run.device,
            threads=self.run.threads,
            validation=self.own_validation,
            validation_is_carved=self.own_validation is not None,
            deadline=self.run.deadline,
            reporter=reporter,
        )
        method: Method | None = None
        for at, combination in enumerate(members):
            place = f"{len(self.trials) + 1} of {len(self.combinations)}"
            reporter.journal.phase(f"tuning {place}: {told(combination)}")
            ctx.check()
            spec = self.spec.with_chosen(combination)
            if method is None:
                method = self._attempt(members, partial(self._fitted, spec, ctx))
                if method is None:
                    break
            score = self._attempt(members[at : at + 1], partial(self._score, method, spec, ctx))
            if score is not None:
                self._keep(combination, score, "ok", None)
                self.run.score(BY, score)
        shutil.rmtree(folder, ignore_errors=True)

    def _fitted(self, spec: RunSpec, ctx: RunContext) -> Method:
        """The method fitted as in a run, and warmed up."""
        ctx.query = {name: getattr(spec.fit_params, name) for name in spec.query}
        method = spec.method(spec.fit_params)
        method.fit(self.fit_rows, ctx)
        ctx.query = spec.query
        warm_up: Callable[[RunContext], None] | None = getattr(method, "warm_up", None)
        if warm_up is not None:
            warm_up(ctx)
        return method

    def _score(self, method: Method, spec: RunSpec, ctx: RunContext) -> float:
        """The score that decides, as a fraction, by the harness's own metric."""
        from xmcbench.metrics import Truth, evaluate

        ctx.query = spec.query
        inputs, pairs = self.rows.score.inputs(), self.rows.pairs
        longest = int(np.bincount(pairs[:, 0]).max()) if len(pairs) else 0
        with ctx.phase("predict"):
            predicted = method.predict(inputs, min(K + longest, inputs.n_labels), ctx)
        found = checked(predicted, inputs.n_rows, inputs.n_labels)
        truth = Truth.build(self.rows.score.labels)
        value = evaluate(found.without(pairs, K), truth, [BY], samples=0).values[0].value
        if value is None:
            raise XmcError(f"{BY} is undefined on the validation rows", "They need true labels.")
        return value

    def _attempt(self, members: Sequence[dict[str, Any]], work: Callable[[], Result]) -> Result | None:
        """What `work` returns; None where the combinations fail by it, which is kept with the reason."""
        try:
            return work()
        except (TimeLimit, WriteError):
            raise
        except Exception as error:
            status, reason = explain(error)
            for combination in members:
                self._keep(combination, None, status, reason, where(error) if status == "error" else None)
            return None

    def _keep(
        self,
        combination: dict[str, Any],
        score: float | None,
        status: str,
        reason: str | None,
        place: str | None = None,
    ) -> None:
        trial = {"parameters": combination, "score": score, "status": status, "reason": reason, "traceback": place}
        self.trials.append(trial)
        write_json(self.kept, self.trials)


class _Trial(Reporter):
    """A combination is one phase of the run; the method's own phases and their progress are its progress."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.name = journal, ""

    def phase(self, name: str) -> None:
        self.name = name

    def progress(self, done: float, total: float, note: str) -> None:
        self.journal.progress(done, total, f"{self.name} {note}".strip())


def told(combination: Mapping[str, Any]) -> str:
    """ "cost=1.0 beam=20"."""
    return " ".join(f"{name}={spell(value)}" for name, value in combination.items())


def joined(tuned: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A record's selection with what the method itself selected in the final fit, which doesn't hide the tuning."""
    if not own or "tuning" not in tuned:
        return {**tuned, **own}
    both = {key: f"{tuned[key]}; {own[key]}" for key in ("what", "by")}
    return {**tuned, **both, "tried": tuned["tried"] + own["tried"]}
