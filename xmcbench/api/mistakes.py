"""The errors of one run as sequences, frames and tables of notebooks: by document, and by label.

Columns of documents (`per="documents"`): row, id, value (the metric that orders them), text, labels (number of true
ones), hits (those among the first ranks). Columns per label of a document (`per="labels"`), predicted ones by rank and
then the missed ones: row, id, rank, score (null where missed), label, name, text, is_true, trained (a training row has
the label). Columns of label errors: label, name, text, trained (number of training rows), support, predicted, hits,
missed, precision, recall, f1, instead (labels that were predicted in its place, as JSON: [[name, rows], …]).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from xmcbench import notebook
from xmcbench.amounts import percent
from xmcbench.api import frames
from xmcbench.api.frames import Column, Frame
from xmcbench.data.spec import title_of
from xmcbench.errors import counted, unknown

if TYPE_CHECKING:
    from xmcbench.comparison.mistakes import Document, LabelMistakes, Mistakes

PerDocument = Literal["documents", "labels"]
SHOWN = 10  # rows that a notebook shows
SHOWN_TEXT, SHOWN_LABEL = 120, 30  # characters of a document and of a label in a notebook


class DocumentErrors(Sequence["Document"]):
    """The test documents that have a true label, worst first; each is made when it is asked for.

    Attributes
    ----------
    mistakes : predictions next to the truth.
    """

    def __init__(self, mistakes: Mistakes) -> None:
        self.mistakes = mistakes

    def __len__(self) -> int:
        return len(self.mistakes.order)

    @overload
    def __getitem__(self, which: int) -> Document: ...
    @overload
    def __getitem__(self, which: slice) -> list[Document]: ...
    def __getitem__(self, which: int | slice) -> Document | list[Document]:
        if isinstance(which, slice):
            return list(self.mistakes.documents(self.mistakes.order[which]))
        return next(self.mistakes.documents([self.mistakes.order[which]]))

    def __iter__(self) -> Iterator[Document]:
        return self.mistakes.documents(self.mistakes.order)

    def to_pandas(self, per: PerDocument = "documents") -> Any:
        """A pandas.DataFrame, see `xmcbench.api.mistakes` for its columns; UsageError if pandas is not installed."""
        return frames.to_pandas(self._frame(per))

    def to_polars(self, per: PerDocument = "documents") -> Any:
        """The same as a polars.DataFrame; UsageError if polars is not installed."""
        return frames.to_polars(self._frame(per))

    def to_parquet(self, path: str | Path, per: PerDocument = "documents") -> None:
        """Write the same as a parquet file; UsageError if pyarrow is not installed."""
        frames.to_parquet(self._frame(per), Path(path))

    def _frame(self, per: PerDocument) -> Frame:
        if per == "documents":
            return self._by_document()
        if per == "labels":
            return self._by_label()
        raise unknown("kind of frame", str(per), ("documents", "labels"))

    def _by_document(self) -> Frame:
        documents = list(self)
        return {
            "row": Column("integer", [one.row for one in documents]),
            "id": Column("text", [one.id for one in documents]),
            "value": Column("number", [one.value for one in documents]),
            "text": Column("text", [one.text for one in documents]),
            "labels": Column("integer", [len(one.true) for one in documents]),
            "hits": Column("integer", [sum(label.rank > 0 for label in one.true) for one in documents]),
        }

    def _by_label(self) -> Frame:
        trained = (self.mistakes.trained > 0).tolist()
        rows: list[tuple[Any, ...]] = []
        for one in self:
            for rank, p in enumerate(one.predicted, 1):
                rows.append((one.row, one.id, rank, p.score, p.label, p.name, p.text, p.is_true, trained[p.label]))
            for t in one.true:
                if not t.rank:
                    rows.append((one.row, one.id, None, None, t.label, t.name, t.text, True, t.trained))
        kinds: dict[str, frames.Kind] = {
            "row": "integer",
            "id": "text",
            "rank": "integer",
            "score": "number",
            "label": "integer",
            "name": "text",
            "text": "text",
            "is_true": "flag",
            "trained": "flag",
        }
        return {name: Column(kind, [row[i] for row in rows]) for i, (name, kind) in enumerate(kinds.items())}

    def __repr__(self) -> str:
        return f"<errors in {counted(len(self), 'document')}, worst first by {self.mistakes.by}>"

    def _repr_html_(self) -> str:
        rows = []
        for one in self[:SHOWN]:
            found = " | ".join(f"{'✓' if p.is_true else '✗'} {_title(p.name, p.text)}" for p in one.predicted)
            missed = " | ".join(_title(t.name, t.text) for t in one.true if not t.rank)
            text = notebook.short(one.text or "", SHOWN_TEXT)
            rows.append((one.row if one.id is None else one.id, percent(one.value), text, found, missed))
        titles = ("document", f"{self.mistakes.by}, percent", "text", "predicted", "missed")
        return notebook.table(titles, rows, note=_note(len(self), "documents"))


class LabelErrors(Sequence["LabelMistakes"]):
    """The labels that a test row has, most missed first; all are counted when one is asked for.

    Attributes
    ----------
    mistakes : predictions next to the truth.
    """

    def __init__(self, mistakes: Mistakes) -> None:
        self.mistakes = mistakes

    @cached_property
    def _labels(self) -> list[LabelMistakes]:
        return list(self.mistakes.labels())

    def __len__(self) -> int:
        return len(self._labels)

    @overload
    def __getitem__(self, which: int) -> LabelMistakes: ...
    @overload
    def __getitem__(self, which: slice) -> list[LabelMistakes]: ...
    def __getitem__(self, which: int | slice) -> LabelMistakes | list[LabelMistakes]:
        return self._labels[which]

    def to_pandas(self) -> Any:
        """A pandas.DataFrame, see `xmcbench.api.mistakes` for its columns; UsageError if pandas is not installed."""
        return frames.to_pandas(self._frame())

    def to_polars(self) -> Any:
        """The same as a polars.DataFrame; UsageError if polars is not installed."""
        return frames.to_polars(self._frame())

    def to_parquet(self, path: str | Path) -> None:
        """Write the same as a parquet file; UsageError if pyarrow is not installed."""
        frames.to_parquet(self._frame(), Path(path))

    def _frame(self) -> Frame:
        labels = self._labels
        instead = [json.dumps([[c.name, c.rows] for c in one.confusions], ensure_ascii=False) for one in labels]
        counts = ("trained", "support", "predicted", "hits", "missed")
        return {
            "label": Column("integer", [one.label for one in labels]),
            "name": Column("text", [one.name for one in labels]),
            "text": Column("text", [one.text for one in labels]),
            **{name: Column("integer", [getattr(one, name) for one in labels]) for name in counts},
            **{
                name: Column("number", [getattr(one, name) for one in labels]) for name in ("precision", "recall", "f1")
            },
            "instead": Column("text", instead),
        }

    def __repr__(self) -> str:
        return f"<errors of {counted(len(self), 'label')}, most missed first>"

    def _repr_html_(self) -> str:
        rows = [
            (
                _title(one.name, one.text),
                one.support,
                one.missed,
                *map(percent, (one.precision, one.recall, one.f1)),
                " | ".join(f"{_title(c.name, c.text)} ({c.rows})" for c in one.confusions),
            )
            for one in self[:SHOWN]
        ]
        titles = ("label", "support", "missed", "precision", "recall", "F1", "predicted instead (rows)")
        caption = f"Within the first {self.mistakes.k} ranks, percent"
        return notebook.table(titles, rows, caption, _note(len(self), "labels"))


def _title(name: str, text: str | None) -> str:
    return notebook.short(title_of(name, text), SHOWN_LABEL)


def _note(count: int, what: str) -> str:
    return f"the first {SHOWN} of {count:,} {what}" if count > SHOWN else ""
