"""A record's data set and predictions, once more: what was scored can be scored again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xmcbench.errors import DataError

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.results.record import Record
    from xmcbench.topk import TopK


class OtherContent(DataError):
    """A data set of the record's name, but not what the record was made on."""


def dataset_of(record: Mapping[str, Any], *, offline: bool, progress: Reporter | None = None) -> Dataset:
    """The data set a record was made on, found by name and view.

    Raises
    ------
    UsageError, DataError : as `xmcbench.data.load`.
    OtherContent : what has this name here is of other content than what the record was made on.
    """
    from xmcbench.data import load

    facts = record["dataset"]
    dataset = load(facts["name"], facts["view"], offline=offline, progress=progress)
    if dataset.content_hash != facts["content_hash"]:
        raise OtherContent(
            f"{dataset.name} ({dataset.view}): other content here than what {record['run_id']} was made on",
            f"Here {dataset.content_hash}, on record {facts['content_hash']}: another revision, file or reader.",
        )
    return dataset


def final(record: Mapping[str, Any], topk: TopK, dataset: Dataset) -> TopK:
    """Stored predictions as they were scored: checked, filter pairs removed, cut to the record's k.

    Raises
    ------
    DataError : they are not of these rows and labels, or not in the one order.
    """
    topk.check(int(dataset.test.labels.shape[0]), dataset.n_labels)
    return topk.without(dataset.test_filter, record["k"])


def rescored(record: Mapping[str, Any], topk: TopK, dataset: Dataset) -> tuple[Record, dict[str, Any]]:
    """(record with the metrics these predictions have, per-row arrays), by the definitions of this program.

    Raises
    ------
    DataError : as `final`; the values break an identity.
    UsageError : a metric of a slice that the data set doesn't have.
    """
    from xmcbench.metrics import Truth
    from xmcbench.runs.runner import Options, score

    topk.check(int(dataset.test.labels.shape[0]), dataset.n_labels)
    again = {**record, "notes": {}, "metrics": []}
    names = [entry["name"] for entry in record["metrics"]]
    rows = score(topk, dataset, Truth.of(dataset), names, Options(samples=0), again)
    return again, rows
