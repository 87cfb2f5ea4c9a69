"""What a record says, held against the files it names.

A check holds, fails, or isn't made, and then says why; none that isn't made counts for one that holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xmcbench.errors import DataError
from xmcbench.results.record import SEALED
from xmcbench.results.row_values import NotGiven, values_given

if TYPE_CHECKING:
    from xmcbench.results.store import Store

HOLDS, FAILED, UNCHECKED = "ok", "FAILED", "not checked"


@dataclass(frozen=True)
class Check:
    """One check: HOLDS, FAILED or UNCHECKED. `score` tells a score that doesn't hold from a file that isn't right."""

    what: str
    state: str
    why: str = ""
    score: bool = False


def check_record(record: Mapping[str, Any]) -> Check:
    """What reading it has shown: a record whose seal or identities don't hold is refused there."""
    if record["schema"] < SEALED:
        return Check("record", HOLDS, f"identities hold; schema {record['schema']} has no seal")
    return Check("record", HOLDS, "seal and identities hold")


def check_files(record: Mapping[str, Any], store: Store) -> tuple[list[Check], dict[str, Any]]:
    """Whether the files are those the record names and give its values; and their contents, of those that do.

    A slim copy has board files and neither predictions nor rows: those aren't checked. Where only some files are gone,
    that is a failure.
    """
    readers: dict[str, Callable[[Mapping[str, Any]], Any]]
    readers = {"predictions": store.predictions, "rows": store.rows, "board": store.board}
    slim = _there(record, store, "board") and not any(_there(record, store, kind) for kind in ("predictions", "rows"))
    checks: list[Check] = []
    kept: dict[str, Any] = {}
    for kind, read in readers.items():
        if record.get(kind) is None:
            checks.append(Check(kind, UNCHECKED, "the record names none"))
            continue
        try:
            if slim and kind != "board" and not store.place(record, kind).is_file():
                checks.append(Check(kind, UNCHECKED, "not here: a slim copy"))
                continue
            content = read(record)
            why = "as written"
            if kind != "predictions":
                why += f"; they give {values_given(record, content)} of the {len(record['metrics'])} values on record"
            kept[kind] = content
            checks.append(Check(kind, HOLDS, why))
        except NotGiven as error:  # the file is the one the record names: it is the values that don't hold
            checks.append(Check(kind, FAILED, str(error), score=True))
        except DataError as error:
            checks.append(Check(kind, FAILED, str(error)))
    return checks, kept


def _there(record: Mapping[str, Any], store: Store, kind: str) -> bool:
    try:
        return store.place(record, kind).is_file()
    except DataError:
        return False
