"""Hashes of files for which the catalogue has none, recorded at the first download, so that other content is noticed.

HOME/recorded-hashes.json         "DATASET/FILE" → sha256, size, date
HOME/recorded-hashes.copy.json    the same, for the case that the first is damaged or missing

A damaged file is moved to recorded-hashes.json.damaged-1, -2, …; whole entries of both files are kept. As long as there
is such a file, hashes may have been lost, and a file without a recorded hash is accepted on request alone
(`xmcbench data fetch NAME --trust`). Without any of these files nothing was recorded yet.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from xmcbench import limits
from xmcbench.data.home import home
from xmcbench.errors import DataError, WriteError
from xmcbench.files import lock_of, write_json
from xmcbench.inputs import read_file, typed, typed_json
from xmcbench.locks import locked

if TYPE_CHECKING:
    from xmcbench.data.hashes import Hashes

NAMES = ("recorded-hashes.json", "recorded-hashes.copy.json")


class LedgerError(DataError):
    """The recorded hash of a file may be lost; the file itself may be right, and stays."""


class FirstRecord(msgspec.Struct):
    """Facts about a file at its first download; `date` is in UTC, as in 2026-11-27."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, msgspec.Meta(ge=0)]
    date: str


def recorded(key: str) -> FirstRecord | None:
    """The facts recorded at the first download of file "DATASET/FILE", or None; good entries of damaged files count."""
    return _read()[0].get(key)


def damage() -> str:
    """Why recorded hashes may be lost, in words; "" if they are not."""
    problems = [*_read()[1].values()]
    if moved := _moved():
        problems.append(f"recorded hashes may be lost, since the file of these was damaged: {', '.join(moved)}")
    return "; ".join(problems)


def expected(key: str, hashes: Hashes, *, record: bool, trust: bool) -> FirstRecord | None:
    """The record that a file with these hashes must agree with, or None if there is none yet.

    Parameters
    ----------
    record : make these hashes the record if there is none.
    trust : the user trusts this file: these hashes replace a record that is lost or differs.

    Raises
    ------
    LedgerError : there is none, maybe because it was lost, and not `trust`.
    WriteError : the hash can't be recorded.
    """
    if _read()[1]:
        with suppress(WriteError):  # in a folder that this user may only read, the damage stays
            _repair()
    first = recorded(key)
    if first is None and not trust and (problem := damage()):
        dataset, _, file = key.partition("/")
        raise LedgerError(
            f"{dataset}: whether {file} is the file that was first downloaded is not known\n  {problem}\n"
            f"  got {hashes.size:,} bytes, sha256 {hashes.sha256}",
            f"The file stays. If you trust it: `xmcbench data fetch {dataset} --trust` records its hash. "
            "If you never had other files of data sets without published hashes, remove the damaged files instead.",
        )
    if first is not None and (first.sha256 == hashes.sha256 or not trust):
        return first
    return _record(key, hashes, replace=trust) if record else None


def _record(key: str, hashes: Hashes, *, replace: bool) -> FirstRecord:
    """Record hashes, unless another process was first and not `replace`; returns what is recorded then."""
    ledger = home() / NAMES[0]
    with locked(lock_of(ledger)):
        records, _ = _read()
        if replace or key not in records:
            records[key] = FirstRecord(hashes.sha256, hashes.size, datetime.now(UTC).date().isoformat())
            _write(records)
        return records[key]


def _repair() -> None:
    """Move damaged files away, and write the whole entries of both again."""
    with locked(lock_of(home() / NAMES[0])):
        records, damaged = _read()
        for path, problem in damaged.items():
            number = 1
            while os.path.lexists(target := path.with_name(f"{path.name}.damaged-{number}")):
                number += 1
            try:
                path.rename(target)
            except OSError as error:
                raise WriteError(f"{path}: can't be moved away ({error.strerror})") from error
            warnings.warn(f"{problem}: moved to {target.name}; recorded hashes kept: {len(records)}", stacklevel=2)
        if damaged:
            _write(records)


def _write(records: Mapping[str, FirstRecord]) -> None:
    for name in NAMES:
        write_json(home() / name, msgspec.to_builtins(records))


def _read() -> tuple[dict[str, FirstRecord], dict[Path, str]]:
    """(the whole entries of both files, damaged file → what is wrong with it).

    The copy counts as damaged only if the first file can't stand for it.
    """
    ledger, copy = (home() / name for name in NAMES)
    records, problem = _entries(ledger)
    copied, copy_problem = _entries(copy)
    damaged = {ledger: problem} if problem else {}
    if copy_problem and (problem or not ledger.exists()):
        damaged[copy] = copy_problem
    return {**copied, **records}, damaged


def _entries(path: Path) -> tuple[dict[str, FirstRecord], str]:
    """(the whole entries of one of the two files, what is wrong with it or "")."""
    try:
        raw = typed_json(read_file(path, limits.WHOLE_TEXT), dict[str, object], f"{path}: damaged")
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"{path}: can't be read ({error.strerror})"
    except DataError as error:
        return {}, error.message
    records, problem = {}, ""
    for key, value in raw.items():
        try:
            records[key] = typed(value, FirstRecord, f"{path}: damaged, {key}")
        except DataError as error:
            problem = error.message
    return records, problem


def _moved() -> list[str]:
    return sorted(str(path) for name in NAMES for path in home().glob(f"{name}.damaged-*"))
