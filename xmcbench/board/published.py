"""Published values, listed separately from our rows.

`leaderboards/published/NAME.toml`, one file per data set of the catalogue:

    [sources]
    KEY = "publication, with table or commit"
    [versions]
    KEY = { data = "our data set with the same rows, or other", text = "description of the data version", protocol = … }
    [[values]]
    method = "Parabel"                  # name in the source
    version = "KEY"
    source = "KEY"
    percent = { "P@1" = 82.25 }         # published values under our names of the metrics
    costs = { train_hours = 0.02, model_gb = 0.03, device = "CPU" }    # as published; optional
    ours = ["parabel"]                  # labels of our rows that should reproduce the values; optional
    views = ["bow"]                     # our views with the same inputs; optional, default any
    wrong = "why"                       # reason, if the values are known to be wrong at their source; optional
    protocol = { encoder = "none" }     # fields of `xmcbench.board.protocol`, as far as they are known; optional

The protocol of a version holds for all of its values, unless they have their own. Its `split` is needed, so that every
value has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from xmcbench.board.model import METRICS, Facts, PublishedRow, Row, Table
from xmcbench.board.protocol import Protocol, is_propensity_scored
from xmcbench.data.catalogue import catalogue
from xmcbench.errors import DataError, UsageError
from xmcbench.inputs import read_file, toml_value
from xmcbench.metrics import invariants
from xmcbench.metrics.names import parse

NEAR = 0.005  # difference in P@1 up to which values count as reproduced: the spread over seeds of a label tree
UNCOMPARED = (
    "other data lineage",
    "external predictions",
    "contradicts others",
)  # flags of rows that are not compared
OTHER = "other"  # `data` of values on test rows of no data set in the catalogue
Text = Annotated[str, Meta(min_length=1)]


class PrintedCosts(Struct, frozen=True, forbid_unknown_fields=True):
    """Costs as they are published, in the units of their names."""

    train_hours: float | None = None
    train_seconds: float | None = None
    predict_ms: float | None = None
    model_gb: float | None = None
    device: Text | None = None

    def __str__(self) -> str:
        hours, seconds = ("training {:g} h", self.train_hours), ("training {:g} s", self.train_seconds)
        rest = ("{:g} ms per row", self.predict_ms), ("model {:g} GB", self.model_gb), ("{}", self.device)
        printed = (hours, seconds, *rest)
        return ", ".join(template.format(cost) for template, cost in printed if cost is not None)


class _Version(Struct, frozen=True, forbid_unknown_fields=True):
    data: str
    text: Text
    protocol: Protocol


class Entry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entry of a file; `version` and `source` are keys of its tables."""

    method: Text
    version: str
    source: str
    percent: Annotated[dict[str, float], Meta(min_length=1)]
    costs: PrintedCosts = PrintedCosts()
    ours: tuple[Text, ...] = ()
    views: tuple[Text, ...] = ()
    wrong: Text = ""
    protocol: Protocol = Protocol()

    @property
    def values(self) -> dict[str, float]:
        """Metric → fraction."""
        return {metric: round(value / 100, 6) for metric, value in self.percent.items()}  # as printed: 0.2156


class Published(Entry, frozen=True, kw_only=True):
    """An entry with texts as `version` and `source`, and with the whole protocol.

    `dataset` is the data set of the file, whose table lists the entry; `data` that of its test rows, or "other".
    """

    dataset: str
    data: str


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    sources: dict[str, Text]
    versions: dict[str, _Version]
    values: list[dict[str, object]]  # decoded one by one, so that the faults of all are reported together


def load(folder: Path) -> list[Published]:
    """All published values of `folder`, file by file.

    Raises
    ------
    DataError : no such folder, or a file with faults, such as an unknown key, data set, view or metric, a value outside
        0 to 100, a duplicate, or values that break an identity and aren't marked wrong.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder", "It comes with the repository, as leaderboards/published.")
    return [entry for path in sorted(folder.glob("*.toml")) for entry in _read(path)]


def _read(path: Path) -> list[Published]:
    hint = "xmcbench/board/published.py explains the format."
    try:
        file = msgspec.convert(toml_value(read_file(path), str(path), hint), _File)
    except (OSError, msgspec.ValidationError) as error:
        raise DataError(f"{path}: {error}", hint) from error
    problems = [] if path.stem in catalogue() else [f"no data set of the catalogue is called {path.stem!r}"]
    for key, version in file.versions.items():
        if version.data not in (*catalogue(), OTHER):
            problems.append(f"version {key!r}: data must be a name of the catalogue or {OTHER!r}")
        if version.protocol.split is None:
            problems.append(f"version {key!r}: protocol has no split")
    published: list[Published] = []
    seen: set[tuple[str, ...]] = set()
    for i, table in enumerate(file.values, 1):
        try:
            entry = msgspec.convert(table, Entry)
            faults = _faults(entry, file)
        except msgspec.ValidationError as error:
            faults = [str(error)]
        if not faults:
            keys = {(entry.method, entry.version, entry.source, metric) for metric in entry.percent}
            faults = [f"{metric} occurs twice" for *_, metric in sorted(keys & seen)]
            seen |= keys
            version = file.versions[entry.version]
            texts = {"version": version.text, "source": file.sources[entry.source]}
            protocol = msgspec.structs.asdict(entry.protocol.over(version.protocol))
            more = {"dataset": path.stem, "data": version.data, "protocol": protocol}
            published.append(msgspec.convert(table | texts | more, Published))
        problems += [f"entry {i} ({table.get('method', 'no method')}): {text}" for text in faults]
    if problems:
        raise DataError(f"{path}: " + "; ".join(problems), hint)
    return published


def _faults(entry: Entry, file: _File) -> list[str]:
    """The faults of an entry that its types can't have."""
    faults = [] if entry.source in file.sources else [f"source {entry.source!r} is not under [sources]"]
    if entry.version not in file.versions:
        faults.append(f"version {entry.version!r} is not under [versions]")
    elif (data := file.versions[entry.version].data) in catalogue():
        faults += [f"{data} has no view {view!r}" for view in entry.views if view not in catalogue()[data].views]
    for name, value in entry.percent.items():
        try:
            faults += [f"{name} must be written {parse(name)}"] if str(parse(name)) != name else []
        except UsageError as error:
            faults.append(error.message)
        if not 0 <= value <= 100:
            faults.append(f"{name} = {value:g} is not a percentage")
    if faults or entry.wrong:
        return faults
    return [f"{text}: mark it wrong" for text in invariants.broken(entry.values)]


def published_rows(dataset: str, view: str, rows: Sequence[Row], published: Sequence[Published]) -> list[PublishedRow]:
    """The published values for one table, each with a verdict from the comparison with our rows."""
    return [_row(p, dataset, view, rows) for p in published if dataset in (p.dataset, p.data)]


def published_alone(dataset: str, published: Sequence[Published]) -> Table:
    """The table of a data set without records; its counts are from the catalogue."""
    catalogue_entry = catalogue()[dataset]
    rows = published_rows(dataset, catalogue_entry.default_view, (), published)
    names = {name for row in rows for name in row.values}
    known = catalogue_entry.expected.get
    counts = known("n_train"), known("n_test"), known("n_features"), known("n_labels")
    return Table(
        dataset=dataset,
        view=catalogue_entry.default_view,
        title=catalogue_entry.title,
        facts=Facts(*counts, catalogue_entry.revision),
        metrics=[name for name in METRICS if name in names],
        tested=[],
        slices={},
        ceilings={},
        rows=[],
        differences={},
        published=rows,
        failures=[],
    )


def _row(entry: Published, dataset: str, view: str, rows: Sequence[Row]) -> PublishedRow:
    candidates = [row for label in entry.ours for row in rows if row.label == label]
    comparable = [row for row in candidates if not {*row.flags} & {*UNCOMPARED}]
    comparable.sort(key=_precedence)
    ours, gaps = None, None
    if entry.wrong:
        verdict, why = "wrong at its source", entry.wrong
    elif not _comparable(entry):
        verdict, why = "other definition", "its PSP follows another definition than ours"
    elif entry.data != dataset:
        verdict, why = "other data", "measured on other data than this table"
    elif entry.views and view not in entry.views:
        verdict, why = "other data", f"the same rows, but in our view {' or '.join(entry.views)}"
    elif gaps := _gaps(entry, comparable[0]) if comparable else None:
        ours = comparable[0].label
        verdict, why = _compared(ours, gaps)
    else:
        verdict, why = (
            "not run here",
            f"our method for it is {entry.ours[0]}" if entry.ours else "none of our methods is compared with it",
        )
    printed = (entry.method, entry.source, entry.version, entry.values)
    return PublishedRow(*printed, verdict, why, ours, gaps or None, str(entry.costs), entry.protocol)


def _precedence(row: Row) -> tuple[bool, str]:
    """Of several rows with one label, our own method's comes first, then the oldest, whatever the values are."""
    return row.origin != "xmcbench", min((run.started_utc for run in row.runs), default="")


def _gaps(entry: Published, row: Row) -> dict[str, float]:
    """Our value minus the published value, for the metrics that both have, in the published order."""
    our_values = {name: value.value for name, value in row.values.items()}
    return {
        name: our_value - value
        for name, value in _comparable(entry).items()
        if (our_value := our_values.get(name)) is not None
    }


def _comparable(entry: Entry) -> dict[str, float]:
    """The values whose metrics are defined as ours."""
    other = entry.protocol.psp == "other"
    return {name: value for name, value in entry.values.items() if not (other and is_propensity_scored(name))}


def _compared(label: str, gaps: Mapping[str, float]) -> tuple[str, str]:
    """Verdict and reason, from the first published metric."""
    name, gap = next(iter(gaps.items()))
    points = f"{100 * abs(gap):.2f} points"
    if abs(gap) <= NEAR + 1e-9:  # published values are rounded
        return "reproduced", f"{label} is within {100 * NEAR:g} points in {name}"
    if gap > 0:
        return "reproduced", f"{label} is {points} higher in {name}"
    return "not reproduced", f"{label} is {points} lower in {name}"
