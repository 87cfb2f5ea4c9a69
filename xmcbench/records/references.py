"""What records on one content of a data set must agree on: counts, denominators, near-duplicate groups, best values.

FOLDER/board/datasets.json    references that were made from the data sets themselves, the latest of a data set last
FOLDER/board/data-HASH.npz    their denominators and groups (`row_values`)

One record must not decide what others are compared by. Where the data set is not on this machine, and no reference of
it is in the folder, most records decide (`agreed`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from xmcbench.errors import DataError, XmcError
from xmcbench.inputs import typed_json
from xmcbench.metrics.uncertainty import DENOMINATOR, NEAR
from xmcbench.records.leftovers import REFERENCES
from xmcbench.records.record import DatasetPart, Record
from xmcbench.records.row_values import ROUNDING, TESTED, PerRow, hash_of, some, split_for_board
from xmcbench.records.store import PLAIN_NAME, Store

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset

COUNTS = ("n_train", "n_validation", "n_test", "n_labels", "n_features", "filter_pairs", "propensity")
Key = tuple[str, str, str]  # data set, view, content hash


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """One content of a data set in one view.

    Attributes
    ----------
    dataset : its counts, without `extra`. best : metric → best value that any ranking reaches.
    data, data_sha256 : file in board/ with the denominators and groups, and the hash of its arrays; None if unknown.
    """

    dataset: DatasetPart
    best: dict[str, float]
    data: Annotated[str, msgspec.Meta(pattern=f"^{PLAIN_NAME}$")] | None = None
    data_sha256: str | None = None

    @property
    def key(self) -> Key:
        return key_of(self.dataset)


def key_of(dataset: DatasetPart) -> Key:
    return dataset.name, dataset.view, dataset.content_hash


def read(folder: Path) -> list[Reference]:
    """The references of a results folder, none if it has no file of them; DataError if the file is damaged."""
    path = folder / REFERENCES
    if not path.is_file():
        return []
    return typed_json(
        path.read_bytes(), list[Reference], str(path), "Restore it, or delete it: a build makes it again."
    )


def text_of(references: Sequence[Reference]) -> bytes:
    """The content of the file that `read` reads."""
    plain = [{**msgspec.to_builtins(one), "dataset": _facts(one.dataset)} for one in references]
    return json.dumps(plain, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False).encode() + b"\n"


def _facts(dataset: DatasetPart) -> dict[str, object]:
    facts: dict[str, object] = msgspec.to_builtins(dataset)
    return {name: value for name, value in facts.items() if name != "extra"}


def renewed(
    known: Sequence[Reference], records: Sequence[Record], *, fresh: bool = False
) -> tuple[list[Reference], dict[str, PerRow]]:
    """The references, with those of data sets that are on this machine; and the arrays of new ones by their file name.

    A data set is opened if a record has content without a reference, if its references differ in content, or if
    `fresh`. Nothing is downloaded.
    """
    references, new_arrays = list(known), {}
    for name, view in sorted({(r.dataset.name, r.dataset.view) for r in records if r.board is not None}):
        contents = {r.dataset.content_hash for r in records if key_of(r.dataset)[:2] == (name, view)}
        of_it = [one.dataset.content_hash for one in references if one.key[:2] == (name, view)]
        if not fresh and len(of_it) == 1 and contents <= {*of_it}:
            continue
        if (dataset := _here(name, view)) is None:
            continue
        key = (name, view, dataset.content_hash)
        metrics = {m.name for r in records if key_of(r.dataset) == key for m in r.metrics}
        made, arrays = made_from(dataset, metrics)
        references = [one for one in references if one.key != key] + [made]
        new_arrays[str(made.data)] = arrays
    return sorted(references, key=lambda one: one.key), new_arrays


def _here(name: str, view: str) -> Dataset | None:
    """The data set, if it is on this machine."""
    from xmcbench.context import Reporter
    from xmcbench.data import cache, load, loading

    try:
        source = loading.find(name, view, offline=True, reporter=Reporter())
        parsed = cache.folder_of(source.name, source.view, cache.key_of(source.depends_on))
        if (
            source.phase == "make" and not parsed.is_dir()
        ):  # a record must not decide that data of any size is generated
            return None
        dataset = load(name, view, offline=True)
    except (XmcError, OSError):
        return None
    return dataset if (dataset.name, dataset.view) == (name, view) else None


def made_from(dataset: Dataset, metrics: Iterable[str]) -> tuple[Reference, PerRow]:
    """The reference of a data set, with the best values of `metrics`, and its shared arrays."""
    from xmcbench.metrics import Truth, evaluate, parse
    from xmcbench.records.execution import dataset_part
    from xmcbench.topk import TopK

    truth = Truth.of(dataset)
    names = [name for name in {*metrics, *TESTED} if parse(name).slice in (None, *truth.slices())]
    evaluation = evaluate(TopK.padding(truth.n_rows, 1), truth, sorted(names), samples=0)
    _, shared = split_for_board({**evaluation.rows, NEAR: dataset.near_groups})
    digest = hash_of(shared)
    best = {one.name: one.best for one in evaluation.values if one.best is not None}
    part = msgspec.structs.replace(dataset_part(dataset), extra={})
    return Reference(dataset=part, best=best, data=f"data-{digest[:16]}.npz", data_sha256=digest), shared


def arrays_of(reference: Reference, store: Store) -> PerRow:
    """The denominators and groups of a reference, from the store's file; DataError if it is missing or changed."""
    return store.shared(store.folder / "board" / str(reference.data), reference.data_sha256)


def agreed(records: Sequence[Record]) -> Reference:
    """What most of the records on one content say; what the oldest of them says, between equal numbers of records.

    `records`: at least one, oldest first.
    """
    voters = [r for r in records if r.status == "ok"] or list(records)
    parts = [r.dataset for r in voters]
    facts = {name: _most([(getattr(part, name),) for part in parts])[0] for name in (*COUNTS, "revision")}  # None too
    values: dict[str, list[float | None]] = {}
    for record in voters:
        for metric in record.metrics:
            values.setdefault(metric.name, []).append(metric.best)
    best = {name: value for name, told in values.items() if (value := _most(told)) is not None}
    boards = [r.board for r in voters if r.board is not None]
    digest = _most([board.data_sha256 for board in boards])
    data = next((board.data for board in boards if board.data_sha256 == digest), None)
    part = msgspec.structs.replace(parts[0], **facts, extra={})
    return Reference(dataset=part, best=best, data=data, data_sha256=digest)


def _most(values: Sequence[Any]) -> Any:
    """The most frequent value that is not None, the first of several; floats count as equal up to rounding."""
    first: dict[object, Any] = {}
    counts: Counter[object] = Counter()
    for value in values:
        if value is not None:
            key = round(value, 6) if isinstance(value, float) else value
            first.setdefault(key, value)
            counts[key] += 1
    return first[counts.most_common(1)[0][0]] if counts else None


def check(record: Record, arrays: Mapping[str, Any], reference: Reference, shared: Mapping[str, Any]) -> None:
    """Check a record against a reference.

    Parameters
    ----------
    arrays : the record's board arrays; empty if it has none. shared : the arrays of the reference's file.

    Raises DataError: they differ; the message says in what.
    """
    faults = []
    for name in COUNTS:
        theirs, right = getattr(record.dataset, name), getattr(reference.dataset, name)
        if theirs is not None and theirs != right:
            faults.append(f"{name} is {theirs}, not {right}")
    for metric in record.metrics:
        right = reference.best.get(metric.name)
        if right is not None and metric.best is not None and abs(metric.best - right) > ROUNDING * max(1.0, right):
            faults.append(f"the best reachable {metric.name} is {metric.best:.6g}, not {right:.6g}")
    if arrays:
        faults += _differing(arrays, shared)
    if faults:
        raise DataError(f"{record.run_id}: contradicts its data set: {some(faults)}", "Run again, on the data set.")


def _differing(arrays: Mapping[str, Any], shared: Mapping[str, Any]) -> list[str]:
    faults = []
    if NEAR in arrays and NEAR not in shared:  # a test of two rows needs the same groups of both
        faults.append("it has near-duplicate groups")
    for name, right in shared.items():
        what = "near-duplicate groups" if name == NEAR else f"denominators of {name.removesuffix(DENOMINATOR)}"
        array = arrays.get(name)
        if array is None:
            if name == NEAR or name.removesuffix(DENOMINATOR) in arrays:
                faults.append(f"it has no {what}")
        elif array.shape != right.shape or not np.allclose(array, right, rtol=0 if name == NEAR else ROUNDING, atol=0):
            faults.append(f"its {what} are others")
    return faults
