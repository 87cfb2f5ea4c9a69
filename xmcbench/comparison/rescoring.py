"""Computes a record again: its scores from the stored predictions, or the whole run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from xmcbench.errors import DataError, UsageError

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store
    from xmcbench.runs.spec import RunSpec
    from xmcbench.runs.stages import Scored
    from xmcbench.topk import TopK


class OtherContent(DataError):
    """The data set with the record's name has other content than the record's data set."""


def dataset_of(record: Record, *, offline: bool, progress: Reporter | None = None, verify: bool = False) -> Dataset:
    """The record's data set, loaded by name and view; `verify` as in `xmcbench.data.load`.

    Raises
    ------
    UsageError, DataError : as `xmcbench.data.load`.
    OtherContent : the loaded data set has another content hash than the record.
    """
    from xmcbench.data import load

    facts = record.dataset
    dataset = load(facts.name, facts.view, offline=offline, progress=progress, verify=verify)
    if dataset.content_hash != facts.content_hash:
        why = "another file or reader."
        if dataset.revision != facts.revision:
            why = f"revision {dataset.revision} here, {facts.revision} on record, to which the run belongs."
        raise OtherContent(
            f"{dataset.name} ({dataset.view}): the content here differs from that of run {record.run_id}",
            f"Here {dataset.content_hash}, on record {facts.content_hash}: {why}",
        )
    return dataset


def final(record: Record, topk: TopK, dataset: Dataset) -> TopK:
    """The predictions as scored: checked, filter pairs removed, cut to the record's k.

    Raises DataError: the predictions are of other rows or labels, or not sorted as `TopK` requires.
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


def rerun(record: Record, dataset: Dataset, store: Store, reporter: Reporter) -> Record:
    """Repeat the run, even if `store` has a record of it, and add the new record to `store`.

    Raises UsageError or XmcError: as `spec_of`; or the record's kind of device is not available.
    """
    from xmcbench.records.execution import execute
    from xmcbench.runs.job import Options

    device = record.environment.device or "auto"
    options = Options(device=device, again=True, metrics=[one.name for one in record.metrics])
    return execute(spec_of(record), dataset, store, options, reporter)[0]


def spec_of(record: Record) -> RunSpec:
    """The run of a record: same method, parameters, data, seed and k; a tuned run is not tuned again.

    Raises
    ------
    UsageError : the run can't be repeated: external predictions, a class in a file, a method that isn't installed, has
        another version or other parameters.
    XmcError : the method can't be imported.
    """
    from xmcbench.runs import registry
    from xmcbench.runs.spec import RunSpec

    method, data = record.method, record.dataset
    name = method.name
    if record.is_external:
        raise UsageError(f"{name}: predictions computed by their author", "Only their scores can be computed again.")
    if record.code.method.sha256 is not None or registry.is_in_a_file(name):  # a record must not make us execute a file
        hint = "Read the file, then run it yourself: xmcbench run path/to/file.py:Class"  # not the command on record
        raise UsageError(f"{name}: a class in a file", hint)
    source = registry.get(name)
    if source.info.version != method.version:
        raise UsageError(
            f"{name}: version {source.info.version} here, {method.version} on record",
            "Versions differ in results; install the version on record.",
        )
    try:
        params = source.info.parameters(**method.parameters)
        source(params)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: this version does not accept the parameters on record ({error})") from error
    if dataclasses.asdict(params) != method.parameters:
        raise UsageError(
            f"{name}: this version has parameters that are not on record", "Their values for that run are unknown."
        )
    return RunSpec(name, source, params, data.name, data.view, record.seed or 0, record.k)
