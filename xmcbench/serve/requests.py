"""What a client of /predict sends and gets, as JSON types, and the job that a request means.

msgspec decodes them: it stops at the first fault, so that a request of a million faults costs no more than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np
import scipy.sparse as sp
from msgspec import Meta, Struct

from xmcbench.errors import DataError, UsageError
from xmcbench.inputs import fault
from xmcbench.serve.batching import Job

if TYPE_CHECKING:
    from xmcbench.models.model import Label, Model

MOST_ROWS = 1000  # of a request
MOST_LABELS = 1000  # of a row
EXAMPLE = 'Send JSON such as {"text": "a new text", "k": 5}; see /docs.'

Texts = Annotated[list[str], Meta(max_length=MOST_ROWS)]
Features = Annotated[list[dict[int, float]], Meta(max_length=MOST_ROWS)]


class PredictRequest(Struct, forbid_unknown_fields=True):
    """Rows to label: one of text, texts and features, or texts and features for a model of rows that have both."""

    text: Annotated[str | None, Meta(description="One text.")] = None
    texts: Annotated[Texts | None, Meta(description=f"Several texts, at most {MOST_ROWS}.")] = None
    features: Annotated[
        Features | None,
        Meta(description="Rows of features as {id: value}, for models that read features, perhaps beside texts."),
    ] = None
    k: Annotated[
        int, Meta(ge=1, le=MOST_LABELS, description="Labels of each row, 5 if not given; all if there are fewer.")
    ] = 5
    above: Annotated[float | None, Meta(description="Only labels with a score above this.")] = None


class LabelAnswer(Struct, omit_defaults=True):
    """A predicted label."""

    label: Annotated[int, Meta(description="Its id.")]
    name: Annotated[str, Meta(description="Its short name, else its text, else its id.")]
    score: Annotated[float, Meta(description="Larger is better.")]
    text: Annotated[str | None, Meta(description="Its text, if the name is another one.")] = None


class RowAnswer(Struct):
    """The labels of a row."""

    labels: Annotated[list[LabelAnswer], Meta(description="Best first.")]


class PredictAnswer(Struct):
    """The labels of all rows."""

    rows: Annotated[list[RowAnswer], Meta(description="One entry per row, in the order of the request.")]


def decoded(body: bytes) -> PredictRequest:
    """The request in a body. Raises DataError, with the place of the first fault."""
    try:
        return msgspec.json.decode(body, type=PredictRequest)
    except msgspec.ValidationError as error:
        raise DataError(fault(error), EXAMPLE) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON ({str(error).removeprefix('JSON is malformed: ')})", EXAMPLE) from error


def encoded(rows: list[list[Label]]) -> bytes:
    """The answer of predicted rows."""
    answers = [RowAnswer([LabelAnswer(one.id, one.name, one.score, one.text) for one in row]) for row in rows]
    return msgspec.json.encode(PredictAnswer(answers))


def job_of(model: Model, request: PredictRequest) -> Job:
    """The job of a request.

    Raises UsageError: not exactly one kind of rows, a kind that the model does not read, a feature that it does not
    have, or a threshold that means nothing.
    """
    given = [request.text is not None, request.texts is not None, request.features is not None]
    if sum(given) != 1 and not (model.has_both and given == [False, True, True]):
        both = ", or texts and features, since its rows have both" if model.has_both else ""
        raise UsageError(f"give one of text, texts and features{both}", EXAMPLE)
    if request.above is not None:
        model.check_above()
    if request.features is not None:
        features = _matrix(request.features, model.card.dataset.n_features or 0)
        return Job(request.k, request.above, texts=request.texts, features=features)
    if not model.reads_texts:
        model.inputs([])  # says that it reads features
    return Job(request.k, request.above, texts=[request.text] if request.text is not None else request.texts)


def _matrix(rows: list[dict[int, float]], width: int) -> sp.csr_matrix:
    for row in rows:
        if row and not 0 <= min(row) <= max(row) < width:
            wrong = max(row) if max(row) >= width else min(row)
            raise UsageError(f"there is no feature {wrong}", f"Ids go from 0 to {width - 1}." if width else "")
    indptr = np.cumsum([0, *map(len, rows)])
    ids = np.array([i for row in rows for i in row], np.int64)
    values = np.array([value for row in rows for value in row.values()])
    return sp.csr_matrix((values, ids, indptr), shape=(len(rows), width))
