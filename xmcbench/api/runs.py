"""Runs from Python: a `Run` is one method on one data set with all its seeds, `Runs` are several of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from xmcbench import notebook
from xmcbench.amounts import percent
from xmcbench.errors import UsageError, unknown

if TYPE_CHECKING:
    from xmcbench.api.frames import Per
    from xmcbench.api.mistakes import DocumentErrors, LabelErrors
    from xmcbench.comparison.mistakes import Mistakes
    from xmcbench.models.model import Model
    from xmcbench.records.record import Record

SHOWN = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@5")
NO_RUNS = "no runs"


class Run:
    """One method with its parameters on one data set, with one record per seed.

    Attributes
    ----------
    records : the records, in the order in which they were made.
    folder : the results folder that has them.

    Examples
    --------
    >>> import xmcbench as xb
    >>> run = xb.run("popularity", dataset="synthetic[labels=60,rows=100,test=20]", progress=False)[0]
    >>> run.label, run.seeds, run.status
    ('popularity', [0], 'ok')
    >>> 0 < run.scores["P@5"] < 1
    True
    """

    def __init__(self, records: Sequence[Record], folder: Path) -> None:
        self.records, self.folder = tuple(records), folder

    @property
    def label(self) -> str:
        """The method and its parameters, as `xmcbench.run` takes them: "elias[beam=20]"."""
        return self.records[0].method.label

    @property
    def dataset(self) -> str:
        """The name of the data set."""
        return self.records[0].dataset.name

    @property
    def seeds(self) -> list[int | None]:
        """The seeds of the records; None where a run has none."""
        return [record.seed for record in self.records]

    @property
    def status(self) -> str:
        """The status of the records: "ok", or others with commas between them, each once."""
        return ", ".join(dict.fromkeys(record.status for record in self.records))

    @property
    def scores(self) -> dict[str, float]:
        """Metric → mean over the seeds that ended ok, as fractions; metrics that all of them have."""
        ended_ok = [record for record in self.records if record.status == "ok"]
        names = [metric.name for metric in ended_ok[0].metrics] if ended_ok else []
        values = {name: [record.metric(name) for record in ended_ok] for name in names}
        return {
            name: sum(known) / len(known)
            for name, given in values.items()
            if len(known := [value for value in given if value is not None]) == len(given)
        }

    def ended_ok(self) -> list[Record]:
        """The records with the status ok; UsageError if there is none."""
        found = [record for record in self.records if record.status == "ok"]
        if not found:
            raise UsageError(f"{self.label} on {self.dataset} did not end ok: {self.records[-1].reason}")
        return found

    def model(self) -> Model:
        """The fitted model of the newest record that has one, to label new texts.

        Raises UsageError: none was kept; run with `keep_models=True`.

        Examples
        --------
        >>> import xmcbench as xb
        >>> data = "synthetic[labels=60,rows=100,test=20]"
        >>> run = xb.run("popularity", dataset=data, keep_models=True, progress=False)[0]
        >>> run.model()
        <popularity fitted on synthetic[rows=100,test=20,labels=60], 60 labels>
        """
        from xmcbench.models.folder import load_model, of_run
        from xmcbench.records.store import Store

        store = Store(self.folder)
        kept = [record for record in self.ended_ok() if store.model(record.run_id).is_dir()]
        if not kept:
            hint = "xmcbench.run(…, keep_models=True) fits it again and keeps it."
            raise UsageError(f"the model of {self.label} on {self.dataset} was not kept", hint)
        return load_model(of_run(kept[-1], store))

    def errors(self, k: int = 5, by: str = "") -> DocumentErrors:
        """The test documents of the newest record, worst first: true and predicted labels, and the score of each.

        A sequence of `xmcbench.comparison.mistakes.Document`, and a frame: `run.errors().to_pandas()`.

        Parameters
        ----------
        k : first ranks that count. by : metric that orders documents; "" is nDCG at these ranks.

        Raises
        ------
        DataError : predictions were not kept, or the data set is not the one of the run.

        Examples
        --------
        >>> import xmcbench as xb
        >>> run = xb.run("knn", dataset="synthetic[labels=60,rows=100,test=20]", progress=False)[0]
        >>> worst = run.errors()[0]
        >>> worst.value <= run.errors()[1].value
        True
        >>> [label.name for label in worst.true if not label.rank] != []  # missed labels
        True
        """
        from xmcbench.api.mistakes import DocumentErrors

        return DocumentErrors(self._mistakes(k, by))

    def label_errors(self, k: int = 5) -> LabelErrors:
        """The labels of the newest record, most missed first: precision, recall, F1, and what was predicted instead.

        A sequence of `xmcbench.comparison.mistakes.LabelMistakes`, and a frame, as `errors`.
        """
        from xmcbench.api.mistakes import LabelErrors

        return LabelErrors(self._mistakes(k, ""))

    def _mistakes(self, k: int, by: str) -> Mistakes:
        from xmcbench.comparison.mistakes import Mistakes, data_of
        from xmcbench.records.store import Store

        record = self.ended_ok()[-1]
        return Mistakes.of(record, Store(self.folder), data_of(record), k, by)

    def __repr__(self) -> str:
        scores, seeds = self.scores, ", ".join(dict.fromkeys(map(str, self.seeds)))
        shown = " · ".join(f"{name} {percent(scores[name])}" for name in SHOWN if name in scores)
        return f"<{self.label} on {self._data}, seeds {seeds}, {self.status}{': ' if shown else ''}{shown}>"

    def _repr_html_(self) -> str:
        return Runs([self])._repr_html_()

    @property
    def _data(self) -> str:
        """The data set, and its revision if it was imported again since."""
        from xmcbench.data.imported import replaced_by

        data = self.records[0].dataset
        return f"{data.name} (earlier revision {data.revision})" if replaced_by(data.name, data.revision) else data.name


class Runs(Sequence[Run]):
    """Runs of several methods or data sets, in the order of their first records.

    `runs[0]` is the first one, `runs["elias"]` the one of that label or method name. Where there is one run alone,
    `runs.scores` are its scores.

    Examples
    --------
    >>> import xmcbench as xb
    >>> runs = xb.run(["popularity", "knn"], dataset="synthetic[labels=60,rows=100,test=20]", progress=False)
    >>> [run.label for run in runs]
    ['popularity', 'knn']
    >>> runs["knn"].scores["P@1"] > runs["popularity"].scores["P@1"]
    True
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self._runs = list(runs)

    @classmethod
    def of(cls, records: Sequence[Record], folder: Path) -> Runs:
        """Group records that differ in the seed, the time and the outcome alone."""
        groups: dict[tuple[object, ...], list[Record]] = {}
        for r in records:
            data = r.dataset
            key = (r.method.label, r.method.version, data.name, data.view, data.content_hash, r.k, r.environment.device)
            groups.setdefault(key, []).append(r)
        return cls([Run(group, folder) for group in groups.values()])

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    @overload
    def __getitem__(self, which: int | str) -> Run: ...
    @overload
    def __getitem__(self, which: slice) -> Runs: ...
    def __getitem__(self, which: int | str | slice) -> Run | Runs:
        if isinstance(which, slice):
            return Runs(self._runs[which])
        if isinstance(which, int):
            return self._runs[which]
        found = [i for i, run in enumerate(self) if run.label == which]
        found = found or [i for i, run in enumerate(self) if run.records[0].method.name == which]
        if not found:
            raise unknown("run", which, {run.label for run in self})
        if len(found) > 1:
            raise self._several(found)
        return self._runs[found[0]]

    @property
    def records(self) -> list[Record]:
        """All records."""
        return [record for run in self for record in run.records]

    def only(self) -> Run:
        """The one run; UsageError if there is none, or several."""
        if len(self) == 1:
            return self._runs[0]
        if not self:
            raise UsageError("there is no run", "`xmcbench.run` adds runs.")
        raise self._several(range(len(self)))

    def _several(self, numbers: Sequence[int]) -> UsageError:
        """The error that names runs by the numbers that they have here."""
        listed = ", ".join(f"{i}: {self._runs[i].label} on {self._runs[i]._data}" for i in numbers[:20])
        return UsageError(f"there are {len(numbers)} runs", f"Choose one by its number or label: {listed}")

    @property
    def scores(self) -> dict[str, float]:
        """The scores of the one run, see `Run.scores`; UsageError if there are several runs."""
        return self.only().scores

    def model(self) -> Model:
        """The model of the one run, see `Run.model`."""
        return self.only().model()

    def errors(self, k: int = 5, by: str = "") -> DocumentErrors:
        """The errors of the one run, see `Run.errors`."""
        return self.only().errors(k, by)

    def label_errors(self, k: int = 5) -> LabelErrors:
        """The errors of the one run by label, see `Run.label_errors`."""
        return self.only().label_errors(k)

    def to_pandas(self, per: Per = "runs") -> Any:
        """A pandas.DataFrame with one row per record (`per="runs"`), or per record and metric (`per="metrics"`).

        `xmcbench.api.frames` lists the columns.

        Raises UsageError: pandas is not installed.
        """
        from xmcbench.api.frames import columns, to_pandas

        return to_pandas(columns(self.records, per))

    def to_polars(self, per: Per = "runs") -> Any:
        """The same as a polars.DataFrame; UsageError if polars is not installed."""
        from xmcbench.api.frames import columns, to_polars

        return to_polars(columns(self.records, per))

    def to_parquet(self, path: str | Path, per: Per = "runs") -> None:
        """Write the same as a parquet file; UsageError if pyarrow is not installed."""
        from xmcbench.api.frames import columns, to_parquet

        to_parquet(columns(self.records, per), Path(path))

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or f"<{NO_RUNS}>"

    def _repr_html_(self) -> str:
        scores = [run.scores for run in self]
        names = [name for name in SHOWN if any(name in values for values in scores)]
        rows = [
            (run.label, run._data, len(run.seeds), run.status, *(percent(values.get(name)) for name in names))
            for run, values in zip(self, scores, strict=True)
        ]
        titles = ("method", "data set", "seeds", "status", *names)
        reasons = [f"{r.method.label}: {r.reason}" for r in self.records if r.status != "ok"]
        return notebook.table(titles, rows, "Scores in percent, means over the seeds", " · ".join(reasons))


def results(folder: str | Path = "results") -> Runs:
    """The runs of a results folder; damaged records are left out with a warning.

    Parameters
    ----------
    folder : the folder given to `xmcbench.run`, or to `xmcbench run --results`.

    Returns
    -------
    Runs : all records, oldest first; none where the folder has no records.

    Examples
    --------
    >>> import xmcbench as xb
    >>> _ = xb.run("popularity", dataset="synthetic[labels=60,rows=100,test=20]", progress=False)
    >>> xb.results("results")["popularity"].status
    'ok'
    """
    from xmcbench.records.store import Store

    broken: list[str] = []
    records = Store(Path(folder)).records(broken)
    for text in broken:
        warnings.warn(f"left out: {text}", stacklevel=2)
    return Runs.of(records, Path(folder))
