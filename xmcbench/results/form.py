"""The form of a record: path → what may stand there. Readers of records rely on it, and on nothing it doesn't say.

`a.b` is field b of object a, `a[].b` field b of each item of list a; a path that ends in "?" may be missing. What a
record holds besides is nobody's to read, and only has to be something that can be written again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

MOST = 2**63  # no count, time or score is so large, and sums and multiples of smaller numbers stay finite
DEPTH = 60  # objects within objects; Python's own reader and writer give up at about a thousand


@dataclass(frozen=True)
class Kind:
    """What a value may be, in words, and whether one is."""

    said: str
    fits: Callable[[Any], bool]

    def __or__(self, other: Kind) -> Kind:
        return Kind(f"{self.said} or {other.said}", lambda value: self.fits(value) or other.fits(value))


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < MOST


def _is_number(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and abs(value) < MOST)


def _is_time(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).utcoffset() is not None
    except ValueError:
        return False


NULL = Kind("null", lambda value: value is None)
TEXT = Kind("text", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
WHOLE = Kind("a whole number", _is_whole)
COUNT = Kind("a count", lambda value: _is_whole(value) and value >= 0)
NUMBER = Kind("a number", _is_number)
TIME = Kind("a time with its offset, such as 2026-11-26T04:26:17+00:00", _is_time)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))
LIST = Kind("a list", lambda value: isinstance(value, list | tuple))

FORM: Mapping[str, Kind] = {
    "schema": WHOLE,
    "run_id": TEXT,
    "spec_hash": TEXT,
    "status": TEXT,
    "reason": TEXT | NULL,
    "method": OBJECT,
    "method.name": TEXT,
    "method.label": TEXT,
    "method.version": TEXT,
    "method.family": TEXT,
    "method.origin?": TEXT | NULL,
    "method.parameters": OBJECT,
    "method.deterministic": FLAG,
    "dataset": OBJECT,
    "dataset.name": TEXT,
    "dataset.view": TEXT,
    "dataset.content_hash": TEXT,
    "dataset.revision?": TEXT | NULL,
    **dict.fromkeys(("dataset.n_train", "dataset.n_test", "dataset.n_labels"), COUNT),
    "dataset.n_features?": COUNT | NULL,
    "dataset.propensity?": LIST | NULL,
    "dataset.propensity[]": NUMBER,
    "dataset.extra?": OBJECT,
    "dataset.extra.best_reachable?": OBJECT,
    "k": COUNT,
    "seed": WHOLE | NULL,
    "metrics": LIST,
    "metrics[]": OBJECT,
    "metrics[].name": TEXT,
    "metrics[].value": NUMBER | NULL,
    "metrics[].version": WHOLE,
    **dict.fromkeys(("metrics[].best?", "metrics[].low?", "metrics[].high?"), NUMBER | NULL),
    "intervals": OBJECT,
    "costs": OBJECT,
    "costs.fit_seconds": NUMBER | NULL,
    "costs.warm_up_seconds": NUMBER | NULL,
    "costs.predict_seconds": NUMBER | NULL,
    "costs.query_p50_ms?": NUMBER | NULL,
    "costs.query_p99_ms?": NUMBER | NULL,
    "costs.peak_rss_bytes?": NUMBER | NULL,
    "costs.model_bytes": NUMBER | NULL,
    "costs.others_cpu?": NUMBER | NULL,
    "limits": OBJECT,
    "environment": OBJECT,
    "environment.device?": TEXT | NULL,
    "environment.machine_class?": OBJECT,
    "environment.machine_class.costs?": TEXT | NULL,
    "environment.threads?": OBJECT,
    "environment.threads.given?": WHOLE | NULL,
    "code": OBJECT,
    "code.commit?": TEXT | NULL,
    "code.dirty?": FLAG | NULL,
    "code.method?": OBJECT,
    "command": TEXT,
    "started_utc": TIME,
    **dict.fromkeys(("predictions", "rows", "board?"), OBJECT | NULL),
    **{f"{kind}.{name}": TEXT for kind in ("predictions", "rows", "board") for name in ("file", "sha256")},
    "board.data": TEXT,
    "board.data_sha256": TEXT,
    "selection": OBJECT,
    "selection.split?": TEXT | NULL,
    "selection.rows?": COUNT | NULL,
    "selection.what?": TEXT | NULL,
    "selection.by?": TEXT | NULL,
    "selection.tried?": COUNT | NULL,
    "selection.tuning?": OBJECT | NULL,
    "selection.tuning.grid": OBJECT,
    "selection.tuning.trials": LIST,
    "selection.tuning.trials[]": OBJECT,
    "selection.tuning.trials[].parameters": OBJECT,
    "selection.tuning.trials[].score": NUMBER | NULL,
    "selection.tuning.trials[].reason": TEXT | NULL,
    "notes": OBJECT,
    **dict.fromkeys(("notes.scoring?", "notes.remarks?"), LIST),
    **dict.fromkeys(("notes.scoring[]", "notes.remarks[]", "notes.report?"), TEXT),
    "supersedes": TEXT | NULL,
    "seal?": TEXT | NULL,
}

_MISSING = object()


def faults(record: Mapping[str, Any]) -> list[str]:
    """Sentences, one for each place that is not of the form; empty where all are."""
    said = []
    for path, kind in FORM.items():
        for place, value in _at(record, path.removesuffix("?").replace("[]", ".[]").split(".")):
            if value is _MISSING:
                said += [] if path.endswith("?") else [f"{place} is missing"]
            elif not kind.fits(value):
                said.append(f"{place} is {_short(value)}, not {kind.said}")
    return said + _unwritable(record)


def _at(value: Any, parts: list[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """(place, value) of all that a path leads to; nothing below what is missing or of another form."""
    if not parts:
        yield place, value
    elif parts[0] == "[]":
        for i, item in enumerate(value if LIST.fits(value) else ()):
            yield from _at(item, parts[1:], f"{place}[{i}]")
    elif OBJECT.fits(value):
        yield from _at(value.get(parts[0], _MISSING), parts[1:], f"{place}.{parts[0]}".removeprefix("."))


def _unwritable(record: Mapping[str, Any]) -> list[str]:
    """What JSON's reader lets through, wherever it stands, and no file, hash or terminal can hold."""
    said: list[str] = []
    todo: list[tuple[Any, int]] = [(record, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > DEPTH:
            return [*said, f"objects or lists within each other, more than {DEPTH} deep"]
        if isinstance(value, Mapping):
            todo += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple):
            todo += [(part, depth + 1) for part in value]
        elif isinstance(value, str) and not _is_text(value):
            said.append(f"{_short(value)} is no Unicode text")
        elif isinstance(value, float) and not math.isfinite(value):
            said.append(f"{value} is no finite number")
        elif isinstance(value, int) and abs(value) > 10**300:
            said.append("a whole number of more than 300 digits")
    return said


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _short(value: Any) -> str:
    """A value in a message: its beginning, and in ASCII, whatever it is."""
    if isinstance(value, dict):
        return "an object"
    text = "a list" if isinstance(value, list | tuple) else ascii(value)
    return text if len(text) <= 40 else text[:40] + "…"
