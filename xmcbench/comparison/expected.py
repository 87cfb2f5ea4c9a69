"""Files of expected scores: the scores of recorded runs with tolerances for later runs.

`leaderboards/expected/SET.toml` is written by `xmcbench check scores --update`, never by hand:

    [[expected]]
    method = "elias[beam=40]"          # as a user types it
    version = "3"                      # the method's
    dataset = "icd10cm"
    view = "bow"
    content = "sha256:…"               # the data's
    k = 100
    seed = 0
    device = "cpu"                     # machine class of scores
    seeds = 3                          # number of seeds from which the tolerances are computed
    record = "20261126T…"              # the run that has these values
    [expected.metrics."P@1"]
    value = 0.715…                     # a fraction
    tolerance = 0.001
    version = 1                        # of the metric's definition
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from xmcbench.comparison.compare import Scores
from xmcbench.errors import DataError
from xmcbench.files import atomic, sweep
from xmcbench.inputs import read_file, toml_value
from xmcbench.records.record import Metric
from xmcbench.records.record_file import with_place

_HEAD = b"# Written by `xmcbench check scores --update RESULTS` from records of runs; CONTRIBUTING.md says when.\n\n"
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A metric's value, a fraction; the tolerance for another run; the version of the metric's definition."""

    value: float
    tolerance: float
    version: _Count


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The scores of one method on one data set; the docstring of this module explains the fields."""

    method: str
    version: str
    dataset: str
    view: str
    content: str
    device: str
    record: str
    k: _Count
    seed: _Count
    seeds: _Count
    metrics: Mapping[str, Score]

    def __post_init__(self) -> None:
        if not self.metrics:
            raise ValueError("no metrics")
        for name, score in self.metrics.items():
            if not (0 <= score.value < math.inf and 0 < score.tolerance < math.inf):
                raise ValueError(f"{name} = {score}")

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Unique within a set; also the sort key."""
        return self.dataset, self.view, self.method, self.k

    def __str__(self) -> str:
        cut = "" if self.k == 100 else f" to {self.k} labels"
        return f"{self.method} on {self.dataset} ({self.view}){cut}"

    def scores(self) -> Scores:
        """The scores as input of the comparison rule."""
        metrics = {name: Metric(name=name, value=s.value, version=s.version) for name, s in self.metrics.items()}
        return Scores(self.content, self.device, metrics)


class _Set(msgspec.Struct, forbid_unknown_fields=True):
    """A file; its entries are decoded one by one, so that the faults of all of them are reported together."""

    expected: list[dict[str, object]]


def read(path: Path) -> list[Expected]:
    """The entries of a set.

    Raises DataError: a missing file, invalid TOML, or invalid or duplicate entries, all of which are reported together.
    """
    try:
        content = read_file(path)
    except OSError as error:
        sets = sorted(other.stem for other in path.parent.glob("*.toml"))
        hint = (
            f"Sets in this folder: {', '.join(sets)}." if sets else "Go to a checkout of xmcbench, or give --expected."
        )
        raise DataError(f"{path}: no expected scores ({error.strerror})", hint) from error
    try:
        tables = msgspec.convert(toml_value(content, str(path)), _Set).expected
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: not a list of [[expected]]: {with_place(error)}") from error
    entries: dict[tuple[str, str, str, int], Expected] = {}
    problems = []
    for number, table in enumerate(tables, 1):
        try:
            entry = msgspec.convert(table, Expected)
        except msgspec.ValidationError as error:
            problems.append(f"entry {number} ({table.get('method', 'no method')}): {with_place(error)}")
            continue
        if entry.key in entries:
            problems.append(f"{entry} occurs twice")
        entries[entry.key] = entry
    if problems:
        raise DataError(f"{path}: " + "; ".join(problems), "It is written by `xmcbench check scores --update`.")
    return list(entries.values())


def write(path: Path, entries: Iterable[Expected]) -> None:
    """Write a set, sorted, so that a diff shows only changed scores; what killed processes left is removed."""
    text = _HEAD + msgspec.toml.encode({"expected": sorted(entries, key=lambda entry: entry.key)})
    sweep(path.parent)
    with atomic(path) as file:
        file.write(text)
