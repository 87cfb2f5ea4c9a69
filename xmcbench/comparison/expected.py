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
    [expected.metrics]
    "P@1" = { value = 0.715…, tolerance = 0.001, version = 1 }    # a fraction; the version of its definition
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcbench.comparison.compare import Scores
from xmcbench.errors import DataError
from xmcbench.files import atomic
from xmcbench.results.record import Metric

_TEXTS = ("method", "version", "dataset", "view", "content", "device", "record")
_NUMBERS = ("k", "seed", "seeds")
_HEAD = "# Written by `xmcbench check scores --update RESULTS` from records of runs; CONTRIBUTING.md says when.\n"


@dataclass(frozen=True)
class Score:
    """A metric's value, a fraction; the tolerance for another run; the version of the metric's definition."""

    value: float
    tolerance: float
    version: int


@dataclass(frozen=True)
class Expected:
    """The scores of one method on one data set; the docstring of this module explains the fields."""

    method: str
    version: str
    dataset: str
    view: str
    content: str
    k: int
    seed: int
    device: str
    seeds: int
    record: str
    metrics: Mapping[str, Score]

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


def read(path: Path) -> list[Expected]:
    """The entries of a set.

    Raises
    ------
    DataError : a missing file, invalid TOML, or invalid or duplicate entries, all of which are reported together.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "Go to a clone of the repository, or give --expected."
        raise DataError(f"{path}: no expected scores ({error.strerror})", hint) from error
    except ValueError as error:  # no UTF-8 and no TOML
        raise DataError(f"{path}: {error}") from error
    entries = tables.get("expected")
    if set(tables) != {"expected"} or not isinstance(entries, list):
        raise DataError(f"{path}: not a list of [[expected]]")
    problems = [f"entry {i} ({_name(e)}): {text}" for i, e in enumerate(entries, 1) for text in _faults(e)]
    if not problems:
        keys = [_parsed(e).key for e in entries]
        problems = [f"{key[2]} on {key[0]} occurs twice" for key in dict.fromkeys(keys) if keys.count(key) > 1]
    if problems:
        raise DataError(f"{path}: " + "; ".join(problems), "It is written by `xmcbench check scores --update`.")
    return [_parsed(e) for e in entries]


def write(path: Path, entries: Iterable[Expected]) -> None:
    """Write a set, sorted, so that a diff shows only changed scores."""
    text = _HEAD + "".join(_toml(entry) for entry in sorted(entries, key=lambda e: e.key))
    tomllib.loads(text)  # raise before a valid file is replaced by an invalid one
    with atomic(path) as file:
        file.write(text.encode())


def _toml(entry: Expected) -> str:
    lines = ["", "[[expected]]"]
    lines += [f"{name} = {_spell(getattr(entry, name))}" for name in (*_TEXTS, *_NUMBERS)]
    lines.append("[expected.metrics]")
    for name, score in entry.metrics.items():
        lines.append(f"{_spell(name)} = {{ value = {score.value!r}, tolerance = {score.tolerance!r}, "
                     f"version = {score.version} }}")  # fmt: skip
    return "\n".join(lines) + "\n"


def _spell(value: str | int) -> str:
    """TOML text of a value; a JSON string with ensure_ascii=False is a TOML string."""
    return json.dumps(value, ensure_ascii=False)


def _name(table: Any) -> str:
    return str(table.get("method", "no method")) if isinstance(table, dict) else "no table"


def _faults(table: Any) -> list[str]:
    """The faults of one entry."""
    if not isinstance(table, dict):
        return ["not a table"]
    keys = (*_TEXTS, *_NUMBERS, "metrics")
    faults = [f"missing key {key!r}" for key in keys if key not in table]
    faults += [f"unknown key {key!r}" for key in table if key not in keys]
    faults += [f"{key} is not a text" for key in _TEXTS if not isinstance(table.get(key, ""), str)]
    faults += [f"{key} = {table[key]!r}" for key in _NUMBERS if key in table and not _is_count(table[key])]
    metrics = table.get("metrics")
    if not isinstance(metrics, dict) or not metrics:
        return [*faults, "no metrics"]
    return faults + [f"{name} = {score!r}" for name, score in metrics.items() if not _is_score(score)]


def _is_score(score: Any) -> bool:
    if (
        not isinstance(score, dict)
        or set(score) != {"value", "tolerance", "version"}
        or not _is_count(score["version"])
    ):
        return False
    numbers = (score["value"], score["tolerance"])
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in numbers):
        return False
    return bool(score["value"] >= 0 and score["tolerance"] > 0)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _parsed(table: Mapping[str, Any]) -> Expected:
    metrics = {name: Score(**score) for name, score in table["metrics"].items()}
    return Expected(**{**table, "metrics": metrics})
