"""The source of the encoders of a fit's models, and rows that are prepared once for all models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.encoders.bow import BowEncoder
from xmcbench.encoders.encoder import Encoder, Rows
from xmcbench.encoders.making import load_encoder, new_encoder, save_encoder
from xmcbench.method import TrainData
from xmcbench.methods.ance.dual import LabelSide
from xmcbench_elias.params import Settled

FOLDER = "encoder"


@dataclass(frozen=True)
class Source:
    """Creates the encoders of all models from one template, which is built or loaded once.

    Attributes
    ----------
    template : the encoder; for a bag of words one of width 1, since reading rows does not depend on the width.
    width : D of the encoders that `new` creates.
    labels : prepared label texts; None if they are not read.
    """

    template: Encoder
    width: int
    labels: LabelSide | None = None

    @classmethod
    def of(cls, params: Settled, train: TrainData, ctx: RunContext) -> Source:
        """Create the encoder of settled `params`.

        XmcError if a package or the model that a transformer needs is missing.
        """
        texts = train.label_texts if params.label_texts and params.dual_epochs else None
        arguments = replace(params, width=1), train, texts, ctx.seed("encoder"), ctx.device, ctx.progress
        template = new_encoder(*arguments)
        reads_labels = texts is not None and not (isinstance(template, BowEncoder) and template.vocabulary is None)
        labels = LabelSide.of(template, texts, train.n_labels, ctx.progress) if reads_labels else None
        return cls(template, _width(template, params.width), labels)

    def new(self, generator: torch.Generator) -> Encoder:
        """A new encoder to be trained, on the CPU: a bag of words with random weights, else a copy of the template."""
        if isinstance(self.template, BowEncoder):
            return BowEncoder(len(self.template.embed), self.width, generator, self.template.vocabulary)
        return copied(self.template)

    def prepare(self, data: TrainData, ctx: RunContext) -> PreparedRows:
        """Prepare rows for the encoders."""
        return PreparedRows(data, self.template.rows(data, ctx.progress))

    def save(self, folder: Path) -> None:
        """Write the encoder into a subfolder, unless it is a bag of features, which the models' weights determine."""
        if not isinstance(self.template, BowEncoder) or self.template.vocabulary is not None:
            save_encoder(self.template, folder / FOLDER)

    @classmethod
    def load(cls, folder: Path, params: Settled, weights: dict[str, NDArray[Any]]) -> Source:
        """Read what `save` wrote; `weights` are a model's `state_dict`.

        DataError if it is missing or damaged; KeyError or ValueError if `weights` are not those of a model.
        """
        if (folder / FOLDER).is_dir():
            template = load_encoder(folder / FOLDER)
        else:
            template = BowEncoder(len(weights["encoder.embed"]), 1, torch.Generator())
        return cls(template, _width(template, weights["label_weight"].shape[1]))


def copied(encoder: Encoder) -> Encoder:
    """A copy with its own weights and a shared vocabulary."""
    vocabulary = getattr(encoder, "vocabulary", None)
    return copy.deepcopy(encoder, {id(vocabulary): vocabulary})


def _width(template: Encoder, width: int | None) -> int:
    return width if isinstance(template, BowEncoder) and width is not None else template.width


@dataclass(frozen=True)
class PreparedRows:
    """Rows with labels, and the same rows prepared for encoders, which does not depend on weights."""

    data: TrainData
    rows: Rows

    def subset(self, which: NDArray[np.int64]) -> PreparedRows:
        """The rows at these positions, without preparing them again."""
        return PreparedRows(self.data.rows(which), RowSubset(self.rows, which))


class RowSubset:
    """The rows at some positions of other rows, as `Rows`."""

    def __init__(self, rows: Rows, which: NDArray[np.int64]) -> None:
        self.rows, self.which = rows, which
        self.lengths: NDArray[np.int64] = rows.lengths[which]

    def __len__(self) -> int:
        return len(self.which)

    def batch(self, which: NDArray[Any], device: str) -> Any:
        """See `Rows`."""
        return self.rows.batch(self.which[which], device)


class JoinedTexts(Sequence[str]):
    """The texts of two sequences, concatenated without reading them."""

    def __init__(self, first: Sequence[str], second: Sequence[str]) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        return self.first[position] if position < len(self.first) else self.second[position - len(self.first)]
