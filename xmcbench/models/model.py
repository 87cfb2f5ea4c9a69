"""A fitted method with all it needs to label new texts."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xmcbench import notebook
from xmcbench.context import RunContext
from xmcbench.data.label_cells import whole_text
from xmcbench.data.spec import Naming, title_of
from xmcbench.errors import DataError, UsageError, XmcError, counted, no_frames
from xmcbench.method import Inputs, Method
from xmcbench.runs import registry
from xmcbench.topk import PAD, TopK, checked

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.data.vectorizer import Vectorizer
    from xmcbench.models.card import ModelCard
    from xmcbench.models.explaining import Explained
    from xmcbench.reasons import Step


SHOWN = 20  # rows that a notebook shows


class Label(NamedTuple):
    """A predicted label: id, name, score, and its text where the name is another one; see `Naming`."""

    id: int
    name: str
    score: float
    text: str | None = None


class Predictions(Sequence[list[Label]]):
    """Predicted labels of n rows: `predictions[i]` is the list of row i's labels, best first.

    Attributes
    ----------
    topk : ids (n, k) int32 and scores (n, k) float32, see `TopK`.
    naming : names and texts of all labels.

    Examples
    --------
    >>> import numpy as np
    >>> topk = TopK.from_arrays(np.array([[1, 0]]), np.array([[0.5, 0.25]]))
    >>> predictions = Predictions(topk, Naming(names=["R05", "S83"], texts=["Cough", "Dislocation of knee"]))
    >>> predictions[0][0]
    Label(id=1, name='S83', score=0.5, text='Dislocation of knee')
    >>> [label.name for label in predictions.above(0.3)[0]]
    ['S83']
    """

    def __init__(self, topk: TopK, naming: Naming) -> None:
        self.topk, self.naming = topk, naming

    def __len__(self) -> int:
        return len(self.topk.ids)

    def __getitem__(self, row: int) -> list[Label]:  # type: ignore[override]
        ids, scores = self.topk.ids[row].tolist(), self.topk.scores[row].tolist()
        name, text = self.naming.name, self.naming.text
        return [
            Label(label, name(label), score, text(label))
            for label, score in zip(ids, scores, strict=True)
            if label != PAD
        ]

    def above(self, above: float | None) -> Predictions:
        """Only the labels with a higher score, compared as float32; all of them for None."""
        if above is None:
            return self
        out = self.topk.scores <= np.float32(above)
        ids, scores = np.where(out, PAD, self.topk.ids), np.where(out, -np.inf, self.topk.scores)
        return Predictions(TopK(ids.astype(np.int32), scores.astype(np.float32)), self.naming)

    def to_pandas(self, ids: Sequence[object] | None = None) -> Any:
        """A pandas.DataFrame with one row per label: id, rank (from 1), label, name, score, and text where labels have
        short names next to their texts; as a csv of `predict`.

        Parameters
        ----------
        ids : of the n rows, such as a column of the frame that the texts are from; None numbers them from 0.

        Raises
        ------
        UsageError : pandas is not installed; not n ids.
        """
        try:
            import pandas
        except ImportError as error:
            raise no_frames("pandas") from error
        row_ids = range(len(self)) if ids is None else list(ids)
        if len(row_ids) != len(self):
            raise UsageError(f"{counted(len(row_ids), 'id')} for {counted(len(self), 'row')}")
        rows = [
            (i, rank, *label) for i, labels in zip(row_ids, self, strict=True) for rank, label in enumerate(labels, 1)
        ]
        frame = pandas.DataFrame(rows, columns=["id", "rank", "label", "name", "score", "text"])
        return frame if self.naming.names is not None else frame.drop(columns="text")

    def __iter__(self) -> Iterator[list[Label]]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        return f"<labels of {counted(len(self), 'row')}>"

    def _repr_html_(self) -> str:
        labels = [(row, one) for row in range(min(len(self), SHOWN)) for one in self[row]]
        rows = [(row, title_of(one.name, one.text), f"{one.score:.4g}") for row, one in labels]
        note = f"the first {SHOWN} of {len(self):,} rows" if len(self) > SHOWN else ""
        return notebook.table(("row", "label", "score"), rows, note=note)


class Model:
    """A fitted method, its vectorizer and the names of its labels. `xmcbench.load_model` makes it from a folder.

    Attributes
    ----------
    card : method, parameters, data set, scores and versions, see `ModelCard`.
    method : the fitted method.
    vectorizer : makes features from texts; None if the features of the data set were not made from texts.
    naming : names and texts of its labels.

    Examples
    --------
    >>> import xmcbench as xb
    >>> data = "synthetic[labels=60,rows=100,test=20]"
    >>> model = xb.run("tree", dataset=data, keep_models=True, progress=False).model()
    >>> features = xb.dataset(data).test.features
    >>> predictions = model.predict(features=features, k=3)
    >>> predictions.topk.ids.shape
    (20, 3)
    >>> model.n_labels, model.card.method.name
    (60, 'tree')
    """

    def __init__(
        self, card: ModelCard, method: Method, vectorizer: Vectorizer | None, naming: Naming, device: str
    ) -> None:
        self.card, self.method, self.vectorizer, self.naming = card, method, vectorizer, naming
        folder = Path(tempfile.mkdtemp(prefix="xmcbench-model-"))  # for a method's working files
        weakref.finalize(self, rmtree, folder, ignore_errors=True)
        self._context = RunContext(folder, card.seed or 0, device, query=card.query)

    @property
    def n_labels(self) -> int:
        """L, the number of labels."""
        return self.card.dataset.n_labels

    @property
    def reads_texts(self) -> bool:
        """Whether `predict` takes texts."""
        return self.vectorizer is not None or "features" not in self.card.available

    @property
    def has_both(self) -> bool:
        """Whether the rows of its data set have texts and features that were not made from them."""
        return self.vectorizer is None and {"features", "texts"} <= set(self.card.available)

    def predict(
        self,
        texts: Sequence[str] | None = None,
        *,
        features: sp.csr_matrix | None = None,
        k: int = 5,
        above: float | None = None,
    ) -> Predictions:
        """The k best labels of new rows; all labels if there are fewer than k.

        For the test rows of the data set, these are the labels and scores of the run, to the bit, however many rows are
        given at once. Methods with a dense encoder (ance, and elias with it) are the exception: BLAS rounds the last
        bit of a score by the number of rows.

        Parameters
        ----------
        texts : n strings. An empty text, or one without a known word, gets the labels of a row without features.
        features : instead of texts, (n, d) CSR of the data set's features; beside texts where rows of the data set have
            both (`has_both`). Methods that read no texts need the features alone.
        above : leave out labels with a score of this or less; only where the method's scores can be compared between
            rows (`MethodInfo.comparable`).

        Raises
        ------
        UsageError : k below 1; `above` where scores can't be compared; neither texts nor features, or both where the
            data set does not have both; the model can't read these.
        DataError : a text is no string, or has a NUL or half of a surrogate pair; features of another width, or not
            finite.
        """
        if k < 1:
            raise UsageError(f"k is {k}; at least 1 label can be predicted")
        if above is not None:
            self.check_above()
        return self.predict_inputs(self.inputs(texts, features=features), k, above)

    def predict_inputs(self, inputs: Inputs, k: int, above: float | None = None) -> Predictions:
        """`predict` for rows that `inputs` made; `above` is not checked again."""
        topk = self.topk(inputs, k)
        return Predictions(topk, self.naming).above(above)

    def topk(self, inputs: Inputs, k: int) -> TopK:
        """The k best labels of `inputs`, which `inputs` made."""
        depth = min(max(k, self.card.depth), self.n_labels)
        if inputs.n_rows == 0:
            return TopK(np.empty((0, k), np.int32), np.empty((0, k), np.float32))
        topk = checked(self.method.predict(inputs, depth, self._context), inputs.n_rows, self.n_labels)
        return topk.cut(k)

    def explain(self, text: str, *, k: int = 3) -> list[Explained]:
        """Why a text gets its k best labels: each label with the steps to its score, and what counted in each step.

        What counted are words, or training rows (with their texts where the data set is on this machine).

        Raises UsageError: the method can't explain, or the model does not read texts.
        """
        from xmcbench.models.explaining import data_of, explain

        return explain(self, self.inputs([text]), k, lambda: data_of(self))

    def steps(self, inputs: Inputs, labels: Sequence[int]) -> list[list[Step]]:
        """Why the only row of `inputs` gets the scores of `labels`, which `topk` predicted; see `xmcbench.reasons`.

        Raises UsageError: the method can't explain.
        """
        self.check_explains()
        steps: list[list[Step]] = self.method.explain(inputs, labels, self._context)  # type: ignore[attr-defined]
        return steps

    def check_explains(self) -> None:
        """UsageError unless the method has the optional member `explain`."""
        if not hasattr(self.method, "explain"):
            able = [name for name in registry.sources() if _can_explain(name)]
            raise UsageError(
                f"{self.method.info.name} can't say why it gives a label", f"Those that can: {', '.join(able)}."
            )

    def check_above(self) -> None:
        """UsageError unless the scores of the method can be compared between rows."""
        info = self.method.info
        if not info.comparable:
            raise UsageError(
                f"scores of {info.name} only order the labels of one row, so no threshold has a meaning for all rows",
                "Ask for a number of labels instead.",
            )

    def inputs(self, texts: Sequence[str] | None = None, *, features: sp.csr_matrix | None = None) -> Inputs:
        """Rows in the form in which the method got them; errors as in `predict`."""
        if texts is None and features is None:
            raise UsageError("give texts or features")
        if texts is not None and features is not None and not self.has_both:
            raise UsageError("give texts or features, and not both")
        data, available = self.card.dataset, self.card.available
        label_texts = self.naming.texts if "label_texts" in available else None
        if texts is not None:
            _check_texts(texts)
        if texts is not None and features is None:
            if self.has_both:
                hint = f"Give rows of {data.n_features or 0:,} features, and their texts too if the method reads these."
                raise UsageError(f"rows of {data.name} have texts, and features that were not made from them", hint)
            if not self.reads_texts:
                hint = f"Give rows of {data.n_features or 0:,} features instead."
                raise UsageError(
                    f"this model reads features, not texts: {data.name} has no texts they were made of", hint
                )
            made = None if self.vectorizer is None else self.vectorizer.transform(texts)
            return Inputs(made, texts if "texts" in available else None, label_texts, data.n_labels)
        assert features is not None
        if "features" not in available:
            raise UsageError("this model reads texts, not features", "Give texts.")
        if features.shape[1] != data.n_features:
            hint = f"Make rows with the features of {data.name}, in the same order."
            raise DataError(
                f"rows of {features.shape[1]:,} features; the model was fitted on {data.n_features or 0:,}", hint
            )
        with np.errstate(over="ignore"):
            rows = features.astype(np.float32).tocsr()
        if not np.isfinite(rows.data).all():
            raise DataError("a feature is NaN or infinite", "Features must be finite numbers, as float32.")
        rows.sort_indices()
        if texts is not None and len(texts) != rows.shape[0]:
            raise DataError(
                f"{counted(len(texts), 'text')} and {rows.shape[0]:,} rows of features", "Give both for each row."
            )
        return Inputs(rows, texts, label_texts, data.n_labels)

    def __repr__(self) -> str:
        data = self.card.dataset
        return f"<{self.card.method.label} fitted on {data.name}, {counted(data.n_labels, 'label')}>"

    def _repr_html_(self) -> str:
        from xmcbench.models.card import facts

        return notebook.table(("model", ""), facts(self.card))


def _can_explain(name: str) -> bool:
    try:
        return hasattr(registry.get(name), "explain")
    except XmcError:  # a plugin that can't be imported
        return False


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise UsageError("one text alone, where a list of texts is expected", "Write [text].")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            hint = (
                "pandas reads an empty cell as NaN: column.fillna('') has texts alone."
                if isinstance(text, float)
                else ""
            )
            raise DataError(f"text {number} is a {type(text).__name__}, not a string", hint)
        whole_text(text, f"text {number}")
