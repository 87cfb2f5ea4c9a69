"""Selection of parameters on validation rows: fit every combination on training rows and keep the best.

Tuning sees no test rows: `TuningRows` only holds rows of the training and development splits. Each score is written to
disk at once, and each fit has its own checkpoints, so that a stopped run resumes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from xmcbench.context import Reporter, RunContext
from xmcbench.data.split import CARVE_SEED, carve
from xmcbench.errors import Diverged, TimeLimit, WriteError, XmcError, explain, where
from xmcbench.method import Method, TrainData
from xmcbench.runs import stages
from xmcbench.runs.selection import BY, Combination, Selection, Trial, TuningPart, combinations, fits
from xmcbench.runs.spec import RunSpec, spell
from xmcbench.runs.work_folder import Journal, StateFile, make_folder

if TYPE_CHECKING:
    from xmcbench.data.split import TuningRows

K = 5  # labels predicted per validation row after the filter: the cut-off of `BY`
Result = TypeVar("Result")


class Tuning:
    """The search for the parameters of one run, in a separate folder."""

    def __init__(self, spec: RunSpec, rows: TuningRows, folder: Path, ctx: RunContext) -> None:
        """`ctx` is the context of the run; tuning uses its seed, device, threads, deadline and reporter."""
        self.spec, self.rows, self.folder, self.run = spec, rows, folder, ctx
        self.combinations = combinations(spec)
        make_folder(folder, ctx.reject)
        journal = StateFile(folder / "journal.json", ctx.identity, ctx.reject)
        self.journal = Journal(journal, ctx.reporter, {}, {}, ctx.clock)
        self.trials_file = StateFile(folder / "trials.json", ctx.identity, ctx.reject)
        trials = self.trials_file.read(list[Trial]) or []
        self.trials = [trial for trial in trials if trial.status != "out_of_memory"]  # retried: it may succeed now
        # A method that selects on validation rows gets rows carved from its training rows, since it must not see the
        # rows on which tuning scores it.
        self.fit_rows: TrainData = rows.fit
        self.own_validation: TrainData | None = None
        if spec.info.wants_validation:
            self.fit_rows, self.own_validation = carve(rows.fit, CARVE_SEED)

    def choose(self) -> Combination:
        """Return the combination (parameter → value) with the best score; of ties, the one nearest to the defaults.

        Combinations that fail are ignored.

        Raises
        ------
        Diverged, MemoryError, XmcError : all combinations failed; the message has the reason of the first.
        TimeLimit : the deadline of the run has passed.
        """
        self.journal.start()
        try:
            for number, members in enumerate(fits(self.spec)):
                self._run_trials(number, [combination for combination in members if self._trial(combination) is None])
        finally:
            self.journal.stop()
        trials = self._scored()
        scores = {index: trial.score for index, trial in enumerate(trials) if trial.score is not None}
        if not scores:
            self.trials_file.path.unlink(missing_ok=True)
            first = trials[0]
            error_class = {"diverged": Diverged, "out_of_memory": MemoryError}.get(first.status or "", XmcError)
            reason = f"{spell_values(first.parameters)}: {first.reason}"
            raise error_class(f"tuning: none of {len(trials)} combinations could be scored; {reason}")
        return trials[max(scores, key=scores.__getitem__)].parameters

    def selection(self) -> Selection:
        """The search so far."""
        grid = dict(self.spec.grid or ())
        trials = self._scored()
        tuning = TuningPart(
            grid={name: list(values) for name, values in grid.items()},
            rows_fitted=self.fit_rows.n_rows,
            rows_of_own_validation=0 if self.own_validation is None else self.own_validation.n_rows,
            trials=tuple(trials),
        )
        split, rows = self.rows.split, self.rows.score.n_rows
        return Selection(split=split, rows=rows, what=", ".join(grid), by=BY, tried=len(trials), tuning=tuning)

    def _trial(self, combination: Combination) -> Trial | None:
        return next((trial for trial in self.trials if trial.parameters == combination), None)

    def _scored(self) -> list[Trial]:
        """Finished trials in the order of `combinations`, with parameters in their order (on disk they are sorted)."""
        pairs = [(combination, self._trial(combination)) for combination in self.combinations]
        return [replace(trial, parameters=combination) for combination, trial in pairs if trial is not None]

    def _run_trials(self, number: int, members: Sequence[Combination]) -> None:
        """Fit once, then score each combination that shares the fit."""
        if not members:
            return
        folder, reporter = self.folder / f"fit-{number}", _Trial(self.journal)
        for part in (folder, folder / "method"):
            make_folder(part, self.run.reject)
        fit_values = {name: value for name, value in members[0].items() if name not in self.spec.query}
        ctx = RunContext(
            folder=folder / "method",
            root_seed=self.run.root_seed,
            device=self.run.device,
            threads=self.run.threads,
            validation=self.own_validation,
            validation_is_carved=self.own_validation is not None,
            clock=self.run.clock,
            deadline=self.run.deadline,
            reporter=reporter,
            identity={**self.run.identity, "tuning": fit_values},
        )
        ctx.checkpoints.reject = self.run.reject  # so that it is in the record of the run
        method: Method | None = None
        for index, combination in enumerate(members):
            position = f"{len(self.trials) + 1} of {len(self.combinations)}"
            reporter.finished = len(self.trials), len(self.combinations)
            reporter.journal.phase(f"tuning {position}: {spell_values(combination)}")
            ctx.check()
            spec = self.spec.with_chosen(combination)
            if method is None:
                method = self._run_or_record(members, partial(self._fitted, spec, ctx))
                if method is None:
                    break
            score = self._run_or_record(members[index : index + 1], partial(self._score, method, spec, ctx))
            if score is not None:
                self._add(Trial(parameters=combination, score=score, status="ok", reason=None))
                self.run.score(BY, score)
        shutil.rmtree(folder, ignore_errors=True)

    def _fitted(self, spec: RunSpec, ctx: RunContext) -> Method:
        """Fit the method as in a run, and warm it up."""
        ctx.query = {name: getattr(spec.fit_params, name) for name in spec.query}
        method = spec.method(spec.fit_params)
        method.fit(self.fit_rows, ctx)
        ctx.query = spec.query
        stages.warm_up(method, ctx)
        return method

    def _score(self, method: Method, spec: RunSpec, ctx: RunContext) -> float:
        """The selection metric on the validation rows, as a fraction."""
        from xmcbench.metrics import Truth, evaluate

        ctx.query = spec.query
        predicted = stages.predict(method, self.rows.score.inputs(), K, self.rows.pairs, ctx)
        truth = Truth.build(self.rows.score.labels)
        value = evaluate(predicted.topk.without(self.rows.pairs, K), truth, [BY], samples=0).values[0].value
        if value is None:
            raise XmcError(f"{BY} is undefined on the validation rows", "They need true labels.")
        return value

    def _run_or_record(self, members: Sequence[Combination], work: Callable[[], Result]) -> Result | None:
        """Return the result of `work`, or None if it fails; then record a failed trial per combination."""
        try:
            return work()
        except (TimeLimit, WriteError, KeyboardInterrupt):
            raise
        except BaseException as error:
            status, reason = explain(error)
            trace = where(error) if status == "error" else None
            for combination in members:
                self._add(Trial(parameters=combination, score=None, status=status, reason=reason, traceback=trace))
            return None

    def _add(self, trial: Trial) -> None:
        self.trials.append(trial)
        self.trials_file.write(self.trials)


class _Trial(Reporter):
    """Reports each combination as one phase of the run; phases and progress of the method become its notes.

    `finished` holds the number of finished combinations and of all, which is the progress: that of the method begins
    again with each of its phases.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal, self.name, self.finished = journal, "", (0, 0)

    def phase(self, name: str) -> None:
        self.name = name

    def progress(self, done: float, total: float, note: str) -> None:
        self.journal.progress(*self.finished, f"{self.name} {note}".strip())


def spell_values(combination: Mapping[str, object]) -> str:
    """Spell a combination, such as "cost=1.0 beam=20"."""
    return " ".join(f"{name}={spell(value)}" for name, value in combination.items())
