"""The mistakes of one run: its documents and its labels, the worst first.

mistakes = Mistakes.of(record, store, dataset)
for document in mistakes.documents(mistakes.order[:10]): …
for label in mistakes.labels(): …

Predictions are those that were scored: without filter pairs, cut to the first k.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xmcbench.comparison.rescoring import dataset_of, final
from xmcbench.errors import DataError, UsageError
from xmcbench.metrics import Truth, evaluate, parse
from xmcbench.metrics.evaluation import find_ranks
from xmcbench.metrics.labels import LabelStats
from xmcbench.metrics.uncertainty import DENOMINATOR
from xmcbench.records.store import NotKept
from xmcbench.topk import PAD

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store
    from xmcbench.topk import TopK

BATCH = 10_000  # labels whose confusions are counted at once


class Predicted(NamedTuple):
    """A predicted label of a document; name and text as in `Naming`."""

    label: int
    name: str
    score: float
    is_true: bool
    text: str | None = None


class TrueLabel(NamedTuple):
    """A true label of a document. `rank` is 0 if it was not among the first k; `trained`: a training row has it."""

    label: int
    name: str
    rank: int
    trained: bool
    text: str | None = None


class Document(NamedTuple):
    """A test row; `id` and `text` are None where the data set has none, `value` is the metric of this row alone."""

    row: int
    id: str | None
    value: float
    text: str | None
    true: list[TrueLabel]
    predicted: list[Predicted]


class Confusion(NamedTuple):
    """A wrong label that was predicted in `rows` of the rows in which a true label was missed."""

    label: int
    name: str
    rows: int
    text: str | None = None


class LabelMistakes(NamedTuple):
    """A label over all test rows, within the first k ranks: `missed` is support − hits, `trained` its training rows."""

    label: int
    name: str
    trained: int
    support: int
    predicted: int
    hits: int
    missed: int
    precision: float
    recall: float
    f1: float
    text: str | None
    confusions: list[Confusion]


@dataclass(frozen=True)
class Mistakes:
    """Predictions of n rows next to the truth; see `of`.

    Attributes
    ----------
    k : ranks that count. by : the metric per row.
    values : (n,) float64 value of each row. order : rows that have a true label, worst first, ties by row.
    topk : (n, k) predictions as scored. ranks : rank of each true label, 0 if it is not among the first k.
    trained : (L,) number of training rows.
    """

    dataset: Dataset
    truth: Truth
    k: int
    by: str
    values: NDArray[np.float64]
    order: NDArray[np.int64]
    topk: TopK
    ranks: NDArray[np.int32]
    trained: NDArray[np.int64]

    @classmethod
    def of(cls, record: Record, store: Store, dataset: Dataset, k: int = 5, by: str = "") -> Mistakes:
        """The mistakes within the first k ranks; rows in order of the metric `by`, "" for nDCG@k.

        nDCG is the default because a row with one label can reach 1, which it can't in P@5.

        Raises
        ------
        UsageError : the run did not end ok; more ranks than the run predicted; a metric without values of rows.
        DataError : the run has no predictions here, or they are damaged or of other data.
        """
        if record.status != "ok":
            raise UsageError(f"run {record.run_id} ended with status {record.status}: it has no predictions")
        _check_k("--top", k, record)
        metric = parse(by or f"nDCG@{k}")
        if metric.k is not None:
            _check_k(f"--by {metric}", metric.k, record)
        if metric.definition.kind == "over labels":
            raise UsageError(f"--by {metric}: it is a metric over labels, not of rows", "Such as nDCG@5, P@1 or R@5.")
        try:
            predictions = store.predictions(record)
        except NotKept as error:
            hint = "Slim copies and records from outside have none: use the results folder of the run, or run it again."
            raise DataError(f"run {record.run_id} has no predictions here ({error.message})", hint) from error
        topk, truth = final(record, predictions, dataset), Truth.of(dataset)
        rows = evaluate(topk, truth, [metric], samples=0).rows
        values = rows[str(metric)].astype(np.float64)
        counts = np.diff(truth.indptr) > 0
        if (divisors := rows.get(str(metric) + DENOMINATOR)) is not None:
            counts &= divisors > 0
            values = values / np.where(divisors > 0, divisors, 1)
        order = np.flatnonzero(counts)
        order = order[np.argsort(values[order], kind="stable")]
        ranks, _ = find_ranks(topk.cut(k), truth, [parse(f"MacroF1@{k}")])
        trained = np.bincount(dataset.train.labels.indices, minlength=dataset.n_labels)
        return cls(dataset, truth, k, str(metric), values, order, topk.cut(k), ranks, trained)

    @property
    def never_trained(self) -> tuple[int, int]:
        """(missed true labels of all rows, those among them that no training row has)."""
        missed = self.truth.indices[self.ranks == 0]
        return len(missed), int((self.trained[missed] == 0).sum())

    def documents(self, rows: Iterable[int]) -> Iterator[Document]:
        """The given test rows, one by one."""
        test, naming = self.dataset.test, self.dataset.naming
        name, text_of = naming.name, naming.text
        for row in map(int, rows):
            entries = slice(self.truth.indptr[row], self.truth.indptr[row + 1])
            labels, ranks = self.truth.indices[entries].tolist(), self.ranks[entries].tolist()
            true = [
                TrueLabel(label, name(label), rank, bool(self.trained[label]), text_of(label))
                for label, rank in zip(labels, ranks, strict=True)
            ]
            pairs = zip(self.topk.ids[row].tolist(), self.topk.scores[row].tolist(), strict=True)
            found = set(labels)
            predicted = [Predicted(i, name(i), score, i in found, text_of(i)) for i, score in pairs if i != PAD]
            row_id = None if test.ids is None else test.ids[row]
            text = None if test.texts is None else test.texts[row]
            yield Document(row, row_id, float(self.values[row]), text, true, predicted)

    def labels(self, n_confusions: int = 3) -> Iterator[LabelMistakes]:
        """All labels with a test row, by falling number of missed rows (support × share missed), ties by id."""
        n_rows, n_labels, naming = self.truth.n_rows, self.truth.n_labels, self.dataset.naming
        name, text_of = naming.name, naming.text
        everything = np.ones(n_labels, np.bool_), np.ones(n_rows, np.bool_)
        stats = LabelStats(self.topk.ids, self.ranks, self.truth.indptr, self.truth.indices, *everything)
        support, hits, predicted = (count(self.k).tolist() for count in (stats.true, stats.hits, stats.predicted))
        missed = stats.true(self.k) - stats.hits(self.k)
        order = np.argsort(-missed, kind="stable")
        order = order[stats.true(self.k)[order] > 0]
        missed_rows, wrong = self._missed_and_wrong()
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            counts = (missed_rows[batch] @ wrong).tocsr()  # (batch, L), as sparse as the mistakes
            for i, label in enumerate(batch.tolist()):
                entries = slice(counts.indptr[i], counts.indptr[i + 1])
                ids, times = counts.indices[entries], counts.data[entries]
                top = np.lexsort((ids, -times))[:n_confusions]
                wrong_labels = zip(ids[top].tolist(), times[top].tolist(), strict=True)
                yield LabelMistakes(
                    label,
                    name(label),
                    int(self.trained[label]),
                    support[label],
                    predicted[label],
                    hits[label],
                    support[label] - hits[label],
                    hits[label] / max(predicted[label], 1),
                    hits[label] / support[label],
                    2 * hits[label] / (support[label] + predicted[label]),
                    text_of(label),
                    [Confusion(j, name(j), rows, text_of(j)) for j, rows in wrong_labels],
                )

    def _missed_and_wrong(self) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """(L, n) ones where a true label was missed; (n, L) ones where a predicted label is wrong."""
        import scipy.sparse as sp

        n_rows, n_labels = shape = self.truth.n_rows, self.truth.n_labels
        row_of = np.repeat(np.arange(n_rows), np.diff(self.truth.indptr))
        is_missed = self.ranks == 0
        places = self.truth.indices[is_missed], row_of[is_missed]
        missed = sp.csr_matrix((np.ones(len(places[0]), np.int64), places), shape=(n_labels, n_rows))
        pairs = np.arange(n_rows)[:, None] * n_labels + self.topk.ids  # int64, one number per row and label
        wrong = (self.topk.ids != PAD) & ~np.isin(pairs, row_of * n_labels + self.truth.indices)
        of = np.nonzero(wrong)[0], self.topk.ids[wrong]
        return missed, sp.csr_matrix((np.ones(len(of[0]), np.int64), of), shape=shape)


def data_of(record: Record, *, offline: bool = False, progress: Reporter | None = None) -> Dataset:
    """The record's data set as it was in the run.

    Raises DataError: it is not here; or, as `OtherContent`, it has other content now, with both revisions.
    """
    try:
        return dataset_of(record, offline=offline, progress=progress)
    except UsageError as error:
        name, revision = record.dataset.name, record.dataset.revision
        message = f"run {record.run_id} is on {name}, revision {revision}, which is not here ({error.message})"
        raise DataError(message, "Import or fetch that data set again, under the same name.") from error


def _check_k(option: str, k: int, record: Record) -> None:
    if not 1 <= k <= record.k:
        message = f"{option}: {k} ranks, but run {record.run_id} has {record.k} labels per row"
        raise UsageError(message, f"Give 1 to {record.k}, or repeat the run with a larger --k.")
