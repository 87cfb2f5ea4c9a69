"""Why a model gives its labels to one row, with the words of features and the texts of training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from xmcbench.errors import XmcError
from xmcbench.models.model import Label, Model, Predictions
from xmcbench.reasons import Reason, Step

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.method import Inputs


class NamedReason(NamedTuple):
    """A `Reason` with a name: the word of a feature, the text of a training row, or the number if there is none."""

    kind: str
    id: int
    name: str
    value: float
    note: str


class NamedStep(NamedTuple):
    """A `Step` with names."""

    title: str
    value: float
    reasons: list[NamedReason]
    result: str


class Explained(NamedTuple):
    """A predicted label and the steps to its score."""

    label: Label
    steps: list[NamedStep]


def explain(model: Model, inputs: Inputs, top: int, data: Callable[[], Dataset | None]) -> list[Explained]:
    """The `top` best labels of the only row of `inputs`, each with its steps.

    `data` : gives the data set of the model, for the texts of training rows, or None; it is asked where these matter.

    Raises UsageError: the method can't explain.
    """
    model.check_explains()
    labels = Predictions(model.topk(inputs, top), model.naming)[0]
    steps = model.steps(inputs, [label.id for label in labels])
    kinds = {reason.kind for label_steps in steps for one in label_steps for reason in one.reasons}
    dataset = data() if "row" in kinds else None

    def named(reason: Reason) -> NamedReason:
        note = "" if reason.kind == "other" else reason.note
        return NamedReason(reason.kind, reason.id, _name(model, dataset, reason), reason.value, note)

    def with_names(one: Step) -> NamedStep:
        return NamedStep(one.title, one.value, [named(reason) for reason in one.reasons], one.result)

    return [Explained(label, [with_names(one) for one in found]) for label, found in zip(labels, steps, strict=True)]


def data_of(model: Model) -> Dataset | None:
    """The data set that the model was fitted on; None if it is not on this machine, or has changed since."""
    from xmcbench.data import load

    part = model.card.dataset
    try:
        dataset = load(part.name, part.view, offline=True)
    except XmcError:
        return None
    return dataset if dataset.content_hash == part.content_hash else None


def _name(model: Model, dataset: Dataset | None, reason: Reason) -> str:
    if reason.kind == "constant":
        return "(constant)"
    if reason.kind == "other":
        return reason.note
    if reason.kind == "feature":
        return model.vectorizer.term(reason.id) if model.vectorizer is not None else f"feature {reason.id}"
    rows = None if dataset is None else dataset.train
    ids: Sequence[str] | None = None if rows is None else rows.ids
    name = f"row {reason.id}" if ids is None else f"{ids[reason.id]} (row {reason.id})"
    return name if rows is None or rows.texts is None else f"{name}: {rows.texts[reason.id]}"
