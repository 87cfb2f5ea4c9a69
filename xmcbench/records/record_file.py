"""Reads, checks, seals and writes record files.

The seal, a hash of everything else in a record, detects manual edits. It is no signature and does not prevent forgery.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from xmcbench.errors import DataError, UsageError
from xmcbench.escaping import plain_text
from xmcbench.files import write_json
from xmcbench.inputs import json_value, read_file
from xmcbench.records.record import SCHEMA, SEALED, Known, Record

ROUNDING = 1e-6  # largest relative distance of a value from its interval, which is computed from float32 rows
CLOCK_ERROR = timedelta(days=1)  # the largest that two machines may differ by
DEPTH = 60  # maximum nesting; Python's JSON reader and writer fail at about a thousand


def new(started: datetime, **parts: Any) -> Record:
    """A record of this process and of the current schema from its parts; files are added by `Store.add`.

    Raises DataError: as `of`.
    """
    parts |= {"started_utc": started.isoformat(timespec="seconds"), "command": command()}
    plain = _plain(Record(schema=SCHEMA, predictions=None, rows=None, **parts))
    del plain["raw"]
    return of(plain)


def changed(record: Record, **parts: Any) -> Record:
    """The record with some parts replaced; all other fields stay, including fields that this program doesn't know."""
    return of({**record.raw, **_plain(parts)})


def of(raw: Mapping[str, Any], origin: str = "record") -> Record:
    """A record from its JSON object.

    Raises
    ------
    DataError : a field is missing or of another type, or a value can't be written as JSON; `origin` names the record.
    """
    hint = "This is no xmcbench record, or it was damaged."
    if faults := _unwritable(raw):
        raise DataError(f"{origin}: " + "; ".join(faults), hint)
    try:
        record = msgspec.convert({name: value for name, value in raw.items() if name != "raw"}, Record)
        msgspec.convert({"notes": record.notes, "dataset": {"extra": record.dataset.extra}}, Known)
    except msgspec.ValidationError as error:
        raise DataError(f"{origin}: {with_place(error)}", hint) from error
    if not _is_time(record.started_utc):
        fault = f"started_utc is {_short(record.started_utc)}"
        raise DataError(f"{origin}: {fault}, not a time with an offset, such as 2026-11-26T04:26:17+00:00", hint)
    return msgspec.structs.replace(record, command=without_folders(record.command), raw=dict(raw))


def check(record: Record, origin: str = "record") -> None:
    """Check the identities of the metrics and the consistency of the record.

    Raises DataError: the record has faults; the message lists all of them.
    """
    from xmcbench.metrics import invariants

    # newer fields in an older schema: lowering the schema number must not remove the check of the seal
    newer = [name for name in ("seal", "board") if record.schema < SEALED and getattr(record, name) is not None]
    faults = [f"schema {record.schema} has no {name}" for name in newer]
    if record.status == "ok" and not record.metrics:
        faults.append("status is ok but there are no metrics")
    try:
        faults += invariants.faults(record.metrics)
    except UsageError as error:  # an unknown metric, perhaps of a newer version
        faults.append(error.message)
    for one in record.metrics:
        if one.value is not None and one.low is not None and one.high is not None:
            margin = ROUNDING * max(1.0, abs(one.value))
            if not one.low - margin <= one.value <= one.high + margin or one.low > one.high:
                faults.append(f"{one.name} = {one.value!r} is outside of its interval, {one.low!r} to {one.high!r}")
    faults += _tuning_faults(record)
    if datetime.fromisoformat(record.started_utc) > datetime.now(UTC) + CLOCK_ERROR:
        faults.append(f"it started at {record.started_utc}, which is in the future")
    if faults:
        raise DataError(f"{origin}: " + "; ".join(faults), "A record that breaks an identity is never written.")


def _tuning_faults(record: Record) -> list[str]:
    """Check that the chosen parameters are one of the tried combinations and have a score."""
    tuning = record.selection.tuning
    if tuning is None or record.status != "ok":
        return []
    chosen = {name: record.method.parameters.get(name) for name in tuning.grid}
    scored = [trial.parameters for trial in tuning.trials if trial.score is not None]
    faults = [] if chosen in scored else ["selection.tuning has no score of the chosen parameters"]
    return faults if record.selection.rows is not None else [*faults, "selection.rows is null although it tuned"]


def seal_of(raw: Mapping[str, Any]) -> str:
    """Hex sha256 of a record's canonical JSON without the seal."""
    plain = json.loads(json.dumps({name: value for name, value in raw.items() if name != "seal"}))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, record: Record) -> Record:
    """Check a record, seal it (from schema 2 on) and write it atomically; returns the record as written."""
    check(record)
    if record.schema >= SEALED:
        record = changed(record, seal=seal_of(record.raw))
    write_json(path, record.raw)
    return record


def read(path: Path) -> Record:
    """Read and check one record.

    Raises DataError: the file can't be read; as `parse`.
    """
    return parse(content(path), str(path))


def content(path: Path) -> bytes:
    """The bytes of a record; DataError if it can't be read, is no regular file, or is too long for a record."""
    try:
        return read_file(path)
    except OSError as error:
        raise DataError(f"{path}: not a readable record ({error.strerror or error})") from error


def parse(text: bytes, origin: str) -> Record:
    """A record from its bytes, checked; `origin` names it in errors.

    Raises DataError: not JSON, a schema this program doesn't know, a wrong seal, or refused by `of` or `check`.
    """
    what = f"{origin}: not a readable record"
    raw = json_value(text, what, parse_constant=_refuse_constant, object_pairs_hook=_object)
    if not isinstance(raw, dict) or type(raw.get("schema")) is not int or raw["schema"] < 1:
        raise DataError(f"{origin}: no xmcbench record: it has no schema number")
    if raw["schema"] > SCHEMA:
        raise DataError(
            f"{origin}: schema {raw['schema']}, this program reads up to {SCHEMA}", "Install a newer xmcbench."
        )
    record = of(raw, origin)
    if record.schema >= SEALED and record.seal != seal_of(raw):
        raise DataError(
            f"{origin}: changed after it was written: the seal doesn't match",
            "Copy the record again from its source; a correction is a new run (--again), which supersedes this one.",
        )
    check(record, origin)
    return record


def command() -> str:
    """The command of this process as a user would type it, without folders of this machine."""
    words = [plain_text(word) for word in sys.argv[1:]]  # names of files may be no valid Unicode
    return without_folders(shlex.join(["xmcbench", *words]))


def without_folders(text: str) -> str:
    """A command with each absolute path cut to its last part: folders mean nothing on other machines, and may contain
    names of people."""
    try:
        words = shlex.split(text)
    except ValueError:  # a record from elsewhere; the text is shown as it is
        return text
    return shlex.join(map(_without_folders, words))


def _without_folders(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    path = value.rpartition(":")[0] if ".py:" in value else value
    if not path.startswith(("/", "~", "\\")) and path[1:3] not in (":\\", ":/"):
        return word
    return option + equals + value.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError if it has a name twice, of which other programs may read the other value."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{_short(twice)} occurs twice in an object")
    return found


def _plain(parts: Record | dict[str, Any]) -> dict[str, Any]:
    """Parts of a record as JSON types, as if read from a file."""
    plain: dict[str, Any] = json.loads(json.dumps(msgspec.to_builtins(parts)))
    return plain


def with_place(error: msgspec.ValidationError) -> str:
    """msgspec's message with the place first, in the notation of users: "metrics[1].value: expected int, got str"."""
    message, _, place = str(error).replace("`", "").partition(" - at $")
    message = message.replace("Object missing required field", "missing")
    return f"{place.removeprefix('.')}: {message[0].lower()}{message[1:]}" if place else message


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).utcoffset() is not None
    except ValueError:
        return False


def _unwritable(raw: Any) -> list[str]:
    """Faults of values that Python's JSON reader accepts but that can't be written, hashed or printed."""
    faults: list[str] = []
    pending: list[tuple[Any, int]] = [(raw, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > DEPTH:
            return [*faults, f"objects or lists nested more than {DEPTH} deep"]
        if isinstance(value, str):  # most values: they come first, since records are many
            if re.search("[\ud800-\udfff]", value):  # half of a surrogate pair
                faults.append(f"{_short(value)} is no Unicode text")
        elif isinstance(value, list | tuple):
            pending += [(part, depth + 1) for part in value]
        elif isinstance(value, dict | Mapping):
            pending += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, float) and not math.isfinite(value):
            faults.append(f"{value} is no finite number")
        elif isinstance(value, int) and abs(value) > 10**300:
            faults.append("a whole number of more than 300 digits")
    return faults


def _short(text: str) -> str:
    """The beginning of a text for a message, in ASCII."""
    escaped = ascii(text)
    return escaped if len(escaped) <= 40 else escaped[:40] + "…"
