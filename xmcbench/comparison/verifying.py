"""Checks a record against its files.

A check holds, fails, or could not be made, with a reason; a check that could not be made never counts as holding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xmcbench.errors import DataError
from xmcbench.results.record import SEALED, Record
from xmcbench.results.row_values import NotGiven, values_given

if TYPE_CHECKING:
    from xmcbench.results.store import Kind, Store

HOLDS, FAILED, UNCHECKED = "ok", "FAILED", "not checked"


@dataclass(frozen=True)
class Check:
    """One check: HOLDS, FAILED or UNCHECKED. `score` is true if a score is wrong, false if a file is."""

    what: str
    state: str
    why: str = ""
    score: bool = False


def check_record(record: Record) -> Check:
    """The check of seal and identities; reading a record has already refused it if they don't hold."""
    if record.schema < SEALED:
        return Check("record", HOLDS, f"identities hold; schema {record.schema} has no seal")
    return Check("record", HOLDS, "seal and identities hold")


def check_files(record: Record, store: Store) -> tuple[list[Check], dict[str, Any]]:
    """Checks whether the record's files match their hashes and give its values; and contents of the files that do.

    A slim copy has board files but neither predictions nor rows, which are then not checked. If only some files are
    missing, the check fails.
    """
    readers: dict[Kind, Callable[[Record], Any]]
    readers = {"predictions": store.predictions, "rows": store.rows, "board": store.board}
    full = _exists(record, store, "predictions") or _exists(record, store, "rows")
    slim = _exists(record, store, "board") and not full
    checks: list[Check] = []
    contents: dict[str, Any] = {}
    for kind, read in readers.items():
        if getattr(record, kind) is None:
            checks.append(Check(kind, UNCHECKED, "the record has none"))
            continue
        try:
            if slim and kind != "board" and not store.place(record, kind).is_file():
                checks.append(Check(kind, UNCHECKED, "missing: a slim copy"))
                continue
            content = read(record)
            why = "as written"
            if kind != "predictions":
                why += f"; they give {values_given(record, content)} of the {len(record.metrics)} values on record"
            contents[kind] = content
            checks.append(Check(kind, HOLDS, why))
        except NotGiven as error:  # the file matches its hash, but its values are wrong
            checks.append(Check(kind, FAILED, str(error), score=True))
        except DataError as error:
            checks.append(Check(kind, FAILED, str(error)))
    return checks, contents


def _exists(record: Record, store: Store, kind: Kind) -> bool:
    try:
        return store.place(record, kind).is_file()
    except DataError:
        return False
