"""What records on a data set must agree with: made from the data set, or from what most records say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.minimal import minimal
from xmcbench.data import load
from xmcbench.errors import DataError
from xmcbench.files import write_npz
from xmcbench.metrics import Truth
from xmcbench.records import record_file, references
from xmcbench.records.execution import dataset_part, metrics_of
from xmcbench.records.leftovers import REFERENCES
from xmcbench.records.merging import ADDED, REFUSED, merge
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs.stages import score
from xmcbench.topk import TopK

DATA = "synthetic[rows=50,test=20,labels=60]"
METRICS = ["P@1", "P@5", "PSP@5", "R@100", "P@1:tail"]


def honest(folder: Path, run_id: str = "honest", **changes: Any) -> Record:
    """A run on the data set with predictions of no label, as scored by this program."""
    data = load(DATA)
    topk = TopK.padding(20, 1)
    scored = score(topk, data, Truth.of(data), METRICS, 100, 0)
    rows = {**scored.rows, **changes.pop("rows", {})}
    record = minimal(run_id, "m", DATA)
    dataset = msgspec.structs.replace(dataset_part(data), **changes.pop("dataset", {}))
    parts = {"dataset": dataset, "metrics": metrics_of(scored.evaluation), **changes}
    return Store(folder).add(record_file.changed(record, **parts), topk, rows)


def renewed(records: list[Record], **options: Any) -> list[references.Reference]:
    return references.renewed([], records, **options)[0]


def test_a_reference_is_that_of_every_honest_run(tmp_path: Path) -> None:
    run = honest(tmp_path)
    (made,), arrays = references.renewed([], [run])
    assert made.dataset == msgspec.structs.replace(run.dataset, extra={})
    assert made.data_sha256 == run.board.data_sha256
    assert made.best == {m.name: m.best for m in run.metrics} | {"nDCG@5": 1.0}
    references.check(run, Store(tmp_path).board(run), made, arrays[str(made.data)])
    (tmp_path / REFERENCES).write_bytes(references.text_of([made]))
    assert references.read(tmp_path) == [made]
    assert references.renewed([made], [run]) == ([made], {})  # nothing is opened again


LIES: list[tuple[dict[str, Any], str]] = [
    ({"dataset": {"n_labels": 61}}, "n_labels is 61, not 60"),
    ({"dataset": {"n_train": 51}}, "n_train is 51, not 50"),
    ({"dataset": {"n_validation": 3}}, "n_validation is 3, not None"),
    ({"dataset": {"propensity": (0.5, 1.0)}}, "propensity is"),
    ({"rows": {"near": np.zeros(20, np.int32)}}, "near-duplicate groups are others"),
    ({"rows": {"PSP@5/den": np.ones(20, np.float32)}}, "denominators of PSP@5 are others"),
]


@pytest.mark.parametrize(("lie", "said"), LIES)
def test_a_record_that_contradicts_its_data_set_is_refused_by_name(
    tmp_path: Path, lie: dict[str, Any], said: str
) -> None:
    truth, other = honest(tmp_path / "ours"), honest(tmp_path / "theirs", "liar", **lie)
    (made,) = renewed([truth])
    store = Store(tmp_path / "theirs")
    right = Store(tmp_path / "ours").shared(Store(tmp_path / "ours").shared_place(truth), made.data_sha256)
    with pytest.raises(DataError, match=r"liar: contradicts its data set: .*") as error:
        references.check(other, store.board(other), made, right)
    assert said in str(error.value)


def test_groups_that_the_other_records_do_not_have_are_refused(tmp_path: Path) -> None:
    run = honest(tmp_path)
    (made,) = renewed([run])
    arrays = Store(tmp_path).board(run)
    without = {name: array for name, array in arrays.items() if name == "PSP@5/den"}
    with pytest.raises(DataError, match="it has near-duplicate groups"):
        references.check(run, arrays, made, without)


def test_a_best_value_that_the_data_set_does_not_have_is_refused(tmp_path: Path) -> None:
    run = honest(tmp_path)
    (made,) = renewed([run])
    metrics = [msgspec.structs.replace(m, best=0.9) if m.name == "R@100" else m for m in run.metrics]
    with pytest.raises(DataError, match=r"the best reachable R@100 is 0\.9, not 1"):
        references.check(record_file.changed(run, metrics=metrics), {}, made, {})


def test_a_merge_refuses_what_contradicts_the_folder(tmp_path: Path) -> None:
    ours, theirs = Store(tmp_path / "ours"), Store(tmp_path / "theirs")
    made = renewed([honest(ours.folder)])
    (ours.folder / REFERENCES).write_bytes(references.text_of(made))
    honest(theirs.folder, "good")
    for number, (lie, _) in enumerate(LIES):
        honest(theirs.folder, f"liar-{number}", **lie)
    outcomes = {outcome.path.stem: outcome.what for outcome in merge(theirs, ours)}
    assert outcomes == {"good": ADDED} | {f"liar-{number}": REFUSED for number in range(len(LIES))}


def test_one_record_decides_nothing_for_others(tmp_path: Path) -> None:
    """Whatever its date: the values of most are agreed on, and those of the oldest of two."""
    two = [honest(tmp_path, f"honest-{i}", started_utc=f"2026-01-0{i + 1}T00:00:00+00:00") for i in range(2)]
    for lie, _ in LIES:
        for date in ("2020-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"):
            liar = honest(tmp_path / date[:4], "liar", started_utc=date, **lie)
            mixed = sorted([*two, liar], key=lambda r: r.started_utc)
            assert references.agreed(mixed) == references.agreed(two)
    assert references.agreed([liar, two[0]]).data_sha256 == liar.board.data_sha256  # the first of two that differ


def test_a_data_set_that_is_not_here_has_no_reference(tmp_path: Path) -> None:
    run = honest(tmp_path)
    gone = record_file.changed(run, dataset=msgspec.structs.replace(run.dataset, name="bibtex"))
    huge = "synthetic[rows=100000000,test=1000000,labels=1000000]"  # nothing is generated for a record
    never = record_file.changed(run, dataset=msgspec.structs.replace(run.dataset, name=huge))
    strange = record_file.changed(run, dataset=msgspec.structs.replace(run.dataset, name="../../etc/passwd"))
    assert renewed([gone, never, strange]) == []


@pytest.mark.parametrize("text", ["", "{}", "[{}]", '[{"data": "../x.npz"}]', "\x00"])
def test_damaged_references_say_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / REFERENCES).write_text(text)
    with pytest.raises(DataError, match=r"datasets\.json"):
        references.read(tmp_path)


def test_changed_arrays_of_a_reference_are_refused(tmp_path: Path) -> None:
    run = honest(tmp_path)
    (made,) = renewed([run])
    write_npz(tmp_path / "board" / str(made.data), {"near": np.zeros(20, np.int32)})
    with pytest.raises(DataError, match="not the file"):
        references.arrays_of(made, Store(tmp_path))
