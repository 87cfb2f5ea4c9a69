"""Which records a board is made of: those whose numbers are possible and don't contradict their data set.

A record that is refused is named with the reason, and the board is built without it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from xmcbench.board.entries import age
from xmcbench.errors import DataError
from xmcbench.escaping import one_line
from xmcbench.records import references
from xmcbench.records.references import Key, Reference, key_of
from xmcbench.records.row_values import TESTED, PerRow, values_given

if TYPE_CHECKING:
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store


@dataclass(frozen=True)
class Accepted:
    """Records of a board, oldest first.

    Attributes
    ----------
    references : for each content of a data set, what its records are compared with. made : the keys of those that were
        made from the data set itself, the latest of a data set last.
    disputed : ids of the records that contradict most records on their content.
    notes : one message for each refused or disputed record.
    """

    records: list[Record]
    references: Mapping[Key, Reference]
    made: Sequence[Key]
    disputed: set[str]
    notes: list[str]


def accept(
    records: Sequence[Record], store: Store, made: Sequence[Reference] = (), arrays: Mapping[str, PerRow] | None = None
) -> Accepted:
    """Check the records and their board files.

    Parameters
    ----------
    store : has the board files of the records.
    made : references from the data sets. arrays : shared arrays that are not in the store yet, by file name.

    Raises DataError: the file of a reference is missing or changed.
    """
    reader = _Reader(store, arrays or {})
    by_key = {one.key: one for one in made}
    accepted, notes = [], []
    for record in sorted(records, key=age):
        try:
            if record.status == "ok":
                reader.check(record, by_key.get(key_of(record.dataset)))
            accepted.append(record)
        except DataError as error:
            notes.append(f"refused: {one_line(error).replace(f'{store.folder}/', '')}")
    groups: dict[Key, list[Record]] = defaultdict(list)
    for record in accepted:
        groups[key_of(record.dataset)].append(record)
    compared, disputed = {}, set()
    for key, group in groups.items():
        agreed = references.agreed(group)
        if key in by_key:  # made from the data set, with the best values of the metrics that were known then
            compared[key] = replace(by_key[key], best=agreed.best | by_key[key].best)
            continue
        compared[key] = agreed
        for record in (record for record in group if record.status == "ok"):
            try:
                reader.compare(record, agreed)
            except DataError as error:
                disputed.add(record.run_id)
                said = error.message.replace("contradicts its data set", "contradicts most records on its data set")
                notes.append(f"not ranked: {said}")
    return Accepted(accepted, compared, [one.key for one in made], disputed, notes)


class _Reader:
    """Reads the board files of records; shared arrays once."""

    def __init__(self, store: Store, arrays: Mapping[str, PerRow]) -> None:
        self.store, self.shared = store, dict(arrays)

    def check(self, record: Record, reference: Reference | None) -> None:
        """Raises DataError: a file is missing, changed, gives other values than the record, or contradicts the data."""
        if record.board is not None:
            arrays = self.store.board(record)
            values_given(record, arrays)
            if missing := [m.name for m in record.metrics if m.name in TESTED and m.value is not None]:
                missing = [name for name in missing if name not in arrays]
            if missing:
                raise DataError(f"{record.run_id}: no rows of {', '.join(missing)}", "Copy the record's files again.")
        if reference is not None:
            self.compare(record, reference)

    def compare(self, record: Record, reference: Reference) -> None:
        """Raises DataError: the record contradicts the reference."""
        same = record.board is None or record.board.data_sha256 == reference.data_sha256
        arrays = {} if same else self.store.board(record)
        references.check(record, arrays, reference, {} if same else self._arrays(reference))

    def _arrays(self, reference: Reference) -> PerRow:
        name = str(reference.data)
        if name not in self.shared:
            self.shared[name] = references.arrays_of(reference, self.store)
        return self.shared[name]
