"""Scores that can't slip unseen: expected scores from records, and runs held against them by the comparison rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcbench.comparison.compare import FAIL, IMPROVED, OK, OKISH, UNKNOWN, Verdict, judged, same_but_seed, tolerance_of
from xmcbench.comparison.expected import Expected, Score
from xmcbench.errors import UsageError, XmcError
from xmcbench.metrics import parse
from xmcbench.results.store import standing
from xmcbench.runs import registry
from xmcbench.runs.machine import pick_device
from xmcbench.runs.plan import make_plan
from xmcbench.runs.provenance import code_state
from xmcbench.runs.runner import Options, execute

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store
    from xmcbench.runs.plan import RunSpec

_WORST = (FAIL, OKISH, IMPROVED, OK, UNKNOWN)  # an entry has the first of these that a metric of it has


@dataclass(frozen=True)
class Outcome:
    """What became of one expected entry.

    Attributes
    ----------
    why : why nothing could be judged; "" where something was.
    no_data : the reason is that its data set isn't here.
    verdicts : one a metric; empty where nothing was run. record : the run's. work : where its fitted model lies.
    """

    expected: Expected
    why: str = ""
    no_data: bool = False
    verdicts: Sequence[Verdict] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    work: Path | None = None

    @property
    def verdict(self) -> str:
        """The worst of its metrics'; UNKNOWN where nothing was judged."""
        return next((word for word in _WORST if any(v.verdict == word for v in self.verdicts)), UNKNOWN)


def expected_of(records: Sequence[Record]) -> tuple[list[Expected], list[str]]:
    """Entries from records, one for each method, data set, view and k, and sentences about those that can have none.

    Of several seeds the lowest is the one expected, and all of them give the tolerance.
    """
    families: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in standing(records):
        data = record["dataset"]
        families[data["name"], data["view"], record["method"]["label"], record["k"]].append(record)
    found, left_out = [], []
    for (dataset, view, label, _), members in families.items():
        newest = members[-1]  # an older one may be of another version, or of other data
        seeds = [r for r in members if same_but_seed(r) == same_but_seed(newest)]
        if why := _unrepeatable(newest):
            left_out.append(f"{label} on {dataset} ({view}): {why}")
        else:
            found.append(_entry(min(reversed(seeds), key=lambda r: r["seed"]), seeds))
    return found, left_out


def _unrepeatable(record: Record) -> str:
    """Why no later run can be held against this one, or ""."""
    method = record["method"]
    if method["family"] == "external":
        return "predictions brought by their author"
    typed_as = (method["name"], method["label"].partition("[")[0])
    if "sha256" in record["code"].get("method", {}) or any(map(registry.is_in_a_file, typed_as)):
        return "a class in a file"
    if record["environment"].get("device") is None:
        return "no device on record"
    try:
        info = registry.get(method["name"]).info
        typed = make_plan([method["label"]], ["any"])[0].label
    except XmcError as error:
        return error.message
    if not info.seeded:
        return "no seed makes two of its runs the same, and the rule judges one run"
    if info.version != method["version"]:
        return f"version {method['version']} on record, {info.version} here"
    return "" if typed == method["label"] else f"what is typed so is {typed} here"


def _entry(record: Record, family: Sequence[Record]) -> Expected:
    metrics = {
        entry["name"]: Score(float(entry["value"]), tolerance_of(record, entry["name"], family), entry["version"])
        for entry in record["metrics"]
        if entry["value"] is not None
    }
    data = record["dataset"]
    return Expected(
        method=record["method"]["label"],
        version=record["method"]["version"],
        dataset=data["name"],
        view=data["view"],
        content=data["content_hash"],
        k=record["k"],
        seed=record["seed"],
        device=record["environment"]["device"],
        seeds=len({r["seed"] for r in family}),
        record=record["run_id"],
        metrics=metrics,
    )


def merged(old: Iterable[Expected], new: Iterable[Expected]) -> list[Expected]:
    """All entries; a new one replaces the old one of its method, data set, view and k."""
    return list({entry.key: entry for entry in (*old, *new)}.values())


def check(expected: Expected, dataset: Dataset | str, store: Store, reporter: Reporter) -> Outcome:
    """Run what an entry is of and judge it.

    Parameters
    ----------
    dataset : or why it isn't here. store : where the run's record goes; what this very code has done there is not done
        again.
    """
    if isinstance(dataset, str):
        return Outcome(expected, f"not run: {dataset}", no_data=True)
    try:
        spec = spec_of(expected)
        device = pick_device(expected.device, spec.info.devices)
    except XmcError as error:
        return Outcome(expected, f"not run: {error.message}")
    if spec.info.version != expected.version:
        return Outcome(expected, f"method version {spec.info.version}, expected of {expected.version}: write it anew")
    if dataset.content_hash != expected.content:
        return Outcome(expected, "other data: its content is not that of the expected run")
    again = _is_stale(spec.spec_hash(dataset.content_hash, device), store)
    options = Options(device, again=again, metrics=_known(expected.metrics))
    record, _ = execute(spec, dataset, store, options, reporter)
    if record["status"] != "ok":
        return Outcome(expected, f"{record['status']}: {record['reason']}", record=record)
    verdicts = judged(expected.as_record(), record, {name: s.tolerance for name, s in expected.metrics.items()})
    why = "" if any(v.verdict != UNKNOWN for v in verdicts) else ", ".join(sorted({v.why for v in verdicts}))
    work = store.work(spec.fit_hash(dataset.content_hash, device))
    return Outcome(expected, why, verdicts=verdicts, record=record, work=work)


def spec_of(expected: Expected) -> RunSpec:
    """The run of an entry, by the plan that `xmcbench run` makes.

    Raises
    ------
    UsageError, XmcError : its method or a parameter isn't known here, or can't be imported.
    """
    return make_plan([expected.method], [expected.dataset], view=expected.view, seeds=[expected.seed], k=expected.k)[0]


def _is_stale(spec_hash: str, store: Store) -> bool:
    """Whether what lies there of that spec is of other code than runs now, as far as git can tell.

    Code is no part of a run's identity: the record of an earlier one, or a checkpoint it left, would hide what changed.
    """
    done, now = store.done(spec_hash), code_state()
    tried = [record for record in store.records() if record["spec_hash"] == spec_hash] if done is None else [done]
    same = any(all(record["code"].get(name) == now[name] for name in now) for record in tried)
    return bool(tried) and (bool(now["dirty"]) or not same)


def _known(names: Iterable[str]) -> list[str]:
    """Those metrics that still exist; others will be UNKNOWN."""
    known = []
    for name in names:
        try:
            known.append(str(parse(name)))
        except UsageError:
            continue
    return known
