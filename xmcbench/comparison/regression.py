"""Regression check of scores: expected scores from records, and new runs judged against them by the comparison rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcbench.comparison.compare import (
    FAIL,
    IMPROVED,
    OK,
    OKISH,
    UNKNOWN,
    Scores,
    Verdict,
    judged,
    same_but_seed,
    tolerance_of,
)
from xmcbench.comparison.expected import Expected, Score
from xmcbench.errors import UsageError, XmcError
from xmcbench.metrics import parse
from xmcbench.records.execution import execute
from xmcbench.records.store import standing
from xmcbench.runs import registry
from xmcbench.runs.job import Options
from xmcbench.runs.machine import pick_device
from xmcbench.runs.plan import make_plan
from xmcbench.runs.provenance import code_state

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store
    from xmcbench.runs.spec import RunSpec

_WORST = (FAIL, OKISH, IMPROVED, OK, UNKNOWN)  # the verdict of an entry is the first of these that a metric has


@dataclass(frozen=True)
class Outcome:
    """Outcome of the check of one expected entry.

    Attributes
    ----------
    why : why nothing could be judged; "" if something was judged.
    no_data : whether the reason is that the data set is missing.
    verdicts : one per metric; empty if nothing was run. record : record of the run. work : folder of the model.
    """

    expected: Expected
    why: str = ""
    no_data: bool = False
    verdicts: Sequence[Verdict] = ()
    record: Record | None = None
    work: Path | None = None

    @property
    def verdict(self) -> str:
        """The worst verdict of the metrics; UNKNOWN if nothing was judged."""
        return next((word for word in _WORST if any(v.verdict == word for v in self.verdicts)), UNKNOWN)


def expected_of(records: Sequence[Record]) -> tuple[list[Expected], list[str]]:
    """Entries from records, one per method, data set, view and k, and one message for each that can have no entry.

    The expected scores are those of the lowest seed; all seeds give the tolerance.
    """
    families: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in standing(records):
        data = record.dataset
        families[data.name, data.view, record.method.label, record.k].append(record)
    entries, left_out = [], []
    for (dataset, view, label, _), members in families.items():
        newest = members[-1]  # older records may be of another version or of other data
        seeds = [r for r in members if same_but_seed(r) == same_but_seed(newest)]
        if why := _unrepeatable(newest):
            left_out.append(f"{label} on {dataset} ({view}): {why}")
        else:
            entries.append(_entry(min(reversed(seeds), key=lambda r: r.seed or 0), seeds))
    return entries, left_out


def _unrepeatable(record: Record) -> str:
    """Why no later run can be compared with this one, or ""."""
    method = record.method
    if record.is_external:
        return "predictions computed by their author"
    names = (method.name, _name_in(method.label))
    if record.code.method.sha256 is not None or any(map(registry.is_in_a_file, names)):
        return "a class in a file"
    if record.environment.device is None:
        return "no device on record"
    try:
        info = registry.get(method.name).info
        planned_label = make_plan([method.label], ["any"])[0].label
    except XmcError as error:
        return error.message
    if not info.seeded:
        return "runs with the same seed differ, and the rule judges one run"
    if info.version != method.version:
        return f"version {method.version} on record, {info.version} here"
    return "" if planned_label == method.label else f"this label means {planned_label} here"


def _entry(record: Record, family: Sequence[Record]) -> Expected:
    metrics = {
        one.name: Score(float(one.value), tolerance_of(record, one.name, family), one.version)
        for one in record.metrics
        if one.value is not None
    }
    data = record.dataset
    return Expected(
        method=record.method.label,
        version=record.method.version,
        dataset=data.name,
        view=data.view,
        content=data.content_hash,
        k=record.k,
        seed=record.seed or 0,
        device=record.environment.device or "",
        seeds=len({r.seed for r in family}),
        record=record.run_id,
        metrics=metrics,
    )


def merged(old: Iterable[Expected], new: Iterable[Expected]) -> list[Expected]:
    """All entries; a new entry replaces the old one with the same method, data set, view and k."""
    return list({entry.key: entry for entry in (*old, *new)}.values())


def check(expected: Expected, dataset: Dataset | str, store: Store, reporter: Reporter) -> Outcome:
    """Run the method of an entry and judge its scores.

    Parameters
    ----------
    dataset : the data set, or the reason why it is missing. store : where the record is added; a run that the same code
        has already finished there is not repeated.
    """
    if isinstance(dataset, str):
        return Outcome(expected, f"not run: {dataset}", no_data=True)
    try:
        spec = spec_of(expected)
        device = pick_device(expected.device, spec.info.devices)
    except XmcError as error:
        return Outcome(expected, f"not run: {error.message}")
    if spec.info.version != expected.version:
        return Outcome(
            expected, f"method version {spec.info.version}, expected of {expected.version}: update the entry"
        )
    if dataset.content_hash != expected.content:
        return Outcome(expected, "other data: its content is not that of the expected run")
    again = _is_stale(spec.spec_hash(dataset.content_hash, device), store)
    options = Options(device, again=again, metrics=_existing(expected.metrics))
    record, _ = execute(spec, dataset, store, options, reporter)
    if record.status != "ok":
        return Outcome(expected, f"{record.status}: {record.reason}", record=record)
    verdicts = judged(expected.scores(), Scores.of(record), {name: s.tolerance for name, s in expected.metrics.items()})
    why = "" if any(v.verdict != UNKNOWN for v in verdicts) else ", ".join(sorted({v.why for v in verdicts}))
    work = store.work(spec.fit_hash(dataset.content_hash, device))
    return Outcome(expected, why, verdicts=verdicts, record=record, work=work)


def spec_of(expected: Expected) -> RunSpec:
    """The run of an entry, planned as by `xmcbench run`.

    Raises UsageError or XmcError: the method or a parameter is unknown, or the method can't be imported, or is a class
    in a file, which no file of expected scores may load.
    """
    registry.get(_name_in(expected.method))
    plan = make_plan([expected.method], [expected.dataset], view=expected.view, seeds=[expected.seed], k=expected.k)
    plan[0].method(plan[0].fit_params)  # raises the error of a method that can't be used
    return plan[0]


def _name_in(label: str) -> str:
    """The method's name in a label, as `make_plan` reads it."""
    return label.partition("[")[0].strip()


def _is_stale(spec_hash: str, store: Store) -> bool:
    """Whether the store's records of the spec are of other code than the current one, as far as git can tell.

    The code is not part of a run's identity: an earlier record or its checkpoints would hide the effect of a change.
    """
    done, now = store.done(spec_hash), code_state()
    earlier = [record for record in store.records() if record.spec_hash == spec_hash] if done is None else [done]
    same = any(all(getattr(record.code, name) == value for name, value in now.items()) for record in earlier)
    return bool(earlier) and (bool(now["dirty"]) or not same)


def _existing(names: Iterable[str]) -> list[str]:
    """The metrics that still exist; the verdict of the others will be UNKNOWN."""
    existing = []
    for name in names:
        with suppress(UsageError):
            existing.append(str(parse(name)))
    return existing
