"""Where the encoders of a fit's models come from, and rows made ready for them, once for all models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.encoders.bow import BowEncoder
from xmcbench.encoders.encoder import Encoder, Rows
from xmcbench.encoders.making import load_encoder, new_encoder, save_encoder
from xmcbench.method import TrainData
from xmcbench.methods.ance.dual import LabelSide
from xmcbench_elias.params import Settled

if TYPE_CHECKING:
    from xmcbench.context import RunContext

FOLDER = "encoder"


@dataclass(frozen=True)
class Source:
    """What every model's encoder starts from: made or read from disk once.

    Attributes
    ----------
    template : the encoder; of the bag of words one of width 1, which reads rows as one of any width does.
    width : D of the encoders that `new` makes.
    labels : what labels are embedded from; None where their texts aren't read.
    """

    template: Encoder
    width: int
    labels: LabelSide | None = None

    @classmethod
    def of(cls, params: Settled, train: TrainData, ctx: RunContext) -> Source:
        """The encoder that settled `params` ask for.

        Raises
        ------
        XmcError : what a transformer needs isn't installed or isn't found.
        """
        texts = train.label_texts if params.label_texts and params.dual_epochs else None
        given = replace(params, width=1), train, texts, ctx.seed("encoder"), ctx.device, ctx.progress
        template = new_encoder(*given)
        reads = texts is not None and not (isinstance(template, BowEncoder) and template.vocabulary is None)
        labels = LabelSide.of(template, texts, train.n_labels) if reads else None
        return cls(template, _width(template, params.width), labels)

    def new(self, generator: torch.Generator) -> Encoder:
        """An encoder to be trained, on the CPU: a bag of words with weights drawn from `generator`, else a copy."""
        if isinstance(self.template, BowEncoder):
            return BowEncoder(len(self.template.embed), self.width, generator, self.template.vocabulary)
        return copied(self.template)

    def ready(self, data: TrainData) -> Ready:
        """See `Ready`."""
        return Ready(data, self.template.rows(data))

    def save(self, folder: Path) -> None:
        """Write the encoder into a folder in `folder`; of a bag of given features its models' weights say it all."""
        if not isinstance(self.template, BowEncoder) or self.template.vocabulary is not None:
            save_encoder(self.template, folder / FOLDER)

    @classmethod
    def load(cls, folder: Path, params: Settled, weights: dict[str, NDArray[Any]]) -> Source:
        """Read what `save` wrote; `weights` are a model's `state_dict`.

        Raises
        ------
        DataError : it is missing or damaged. KeyError, ValueError : `weights` are no model's.
        """
        if (folder / FOLDER).is_dir():
            template = load_encoder(folder / FOLDER)
        else:
            template = BowEncoder(len(weights["encoder.embed"]), 1, torch.Generator())
        return cls(template, _width(template, weights["label_weight"].shape[1]))


def copied(encoder: Encoder) -> Encoder:
    """A copy with weights of its own; whoever is told of its progress is not copied, nor is a vocabulary."""
    shared = encoder.progress, getattr(encoder, "vocabulary", None)
    return copy.deepcopy(encoder, {id(each): each for each in shared})


def _width(template: Encoder, width: int | None) -> int:
    return width if isinstance(template, BowEncoder) and width is not None else template.width


@dataclass(frozen=True)
class Ready:
    """Rows with labels, and the same rows as encoders take them, which depends on no weights."""

    data: TrainData
    rows: Rows

    def some(self, which: NDArray[np.int64]) -> Ready:
        """The rows at these places, not made ready again."""
        return Ready(self.data.rows(which), Some(self.rows, which))


class Some:
    """The rows at some places of others."""

    def __init__(self, rows: Rows, which: NDArray[np.int64]) -> None:
        self.rows, self.which = rows, which
        self.lengths: NDArray[np.int64] = rows.lengths[which]

    def __len__(self) -> int:
        return len(self.which)

    def batch(self, which: NDArray[Any], device: str) -> Any:
        """See `Rows`."""
        return self.rows.batch(self.which[which], device)


class Joined(Sequence[str]):
    """Texts of one sequence, then of another; none is read before it is asked for."""

    def __init__(self, first: Sequence[str], second: Sequence[str]) -> None:
        self.first, self.second = first, second

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        place = range(len(self))[at]
        return self.first[place] if place < len(self.first) else self.second[place - len(self.first)]
