"""Loads a record's data set and scores its stored predictions again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmcbench.errors import DataError

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.results.record import Record
    from xmcbench.runs.stages import Scored
    from xmcbench.topk import TopK


class OtherContent(DataError):
    """The data set with the record's name has other content than the record's data set."""


def dataset_of(record: Record, *, offline: bool, progress: Reporter | None = None) -> Dataset:
    """The record's data set, loaded by name and view.

    Raises
    ------
    UsageError, DataError : as `xmcbench.data.load`.
    OtherContent : the loaded data set has another content hash than the record.
    """
    from xmcbench.data import load

    facts = record.dataset
    dataset = load(facts.name, facts.view, offline=offline, progress=progress)
    if dataset.content_hash != facts.content_hash:
        raise OtherContent(
            f"{dataset.name} ({dataset.view}): the content here differs from that of run {record.run_id}",
            f"Here {dataset.content_hash}, on record {facts.content_hash}: another revision, file or reader.",
        )
    return dataset


def final(record: Record, topk: TopK, dataset: Dataset) -> TopK:
    """The predictions as scored: checked, filter pairs removed, cut to the record's k.

    Raises
    ------
    DataError : the predictions are of other rows or labels, or not sorted as `TopK` requires.
    """
    topk.check(int(dataset.test.labels.shape[0]), dataset.n_labels)
    return topk.without(dataset.test_filter, record.k)


def rescored(record: Record, topk: TopK, dataset: Dataset) -> Scored:
    """The record's metrics, computed again from the predictions by the current definitions.

    Raises
    ------
    DataError : as `final`; or the values break an identity.
    UsageError : a metric of a slice that the data set doesn't have.
    """
    from xmcbench.metrics import Truth
    from xmcbench.runs.stages import score

    topk.check(int(dataset.test.labels.shape[0]), dataset.n_labels)
    names = [metric.name for metric in record.metrics]
    return score(topk, dataset, Truth.of(dataset), names, record.k, samples=0)
