"""What an encoder is to a method: rows made ready once, batches drawn from them, embeddings as a torch module.

    from xmcbench.encoders.encoder import embed, shuffled
    from xmcbench.encoders.making import new_encoder
    from xmcbench.tables.optim import Optimisers

    encoder = new_encoder(params, train, train.label_texts, ctx.seed("encoder"), ctx.device, ctx.progress)
    encoder.to(ctx.device)
    rows = encoder.rows(train)                                    # vectorised or tokenised, once
    tables = encoder.tables()                                     # their gradients are sparse: AdamW can't take them
    rest = [p for p in encoder.parameters() if all(p is not table for table in tables)]
    optimiser = Optimisers([(table, 2e-2) for table in tables], [{"params": rest, "lr": 3e-3}], decay=0.01)
    for which in shuffled(rows.lengths, 512, ctx.rng("order")):   # batches of rows of like length
        phi = encoder(rows.batch(which, ctx.device))              # (len(which), encoder.width)
        loss(phi, which).backward()
        optimiser.step(1.0)
    optimiser.settle()                                            # decay that rows out of use are owed
    everything = embed(encoder, rows, ctx.device, ctx.progress)   # (n, width) numpy, without gradients

`params` inherits from `xmcbench.encoders.params.EncoderParams`, whose `check` refuses bad values; a method's `skip`
returns `xmcbench.encoders.packages.lacks(params, data)` and its `depends_on` `packages.identity(params)`; `save` and
`load` use `making.save_encoder` and `load_encoder`. In `predict` say `encoder.progress = ctx.progress` first: it
still holds that of fitting, whose deadline is another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xmcbench.method import Inputs

PART = 1 << 19  # stored numbers embedded at a time: some hundred megabytes of activations
MOST_ROWS = 1 << 13  # at a time, however short they are: each has some hundred numbers of its own
Progress = Callable[[int, int], None]


class Rows(Protocol):
    """n rows made ready for an encoder; `lengths` (n,) int64 is what each costs: stored features, or tokens."""

    lengths: NDArray[np.int64]

    def __len__(self) -> int: ...

    def batch(self, which: NDArray[Any], device: str) -> Any:
        """The rows at these places, in that order, as the encoder's `forward` takes them."""


class Encoder(Protocol):
    """A torch module from batches to embeddings.

    Attributes
    ----------
    kind : by which `xmcbench.encoders.making.load_encoder` finds its class again.
    width : D, numbers of an embedding.
    progress : told rows done and rows in all by `rows` and `label_rows` where they take long; it may raise to stop.
        None: nobody is told. May be set at any time.
    """

    kind: ClassVar[str]
    width: int
    progress: Progress | None

    @property
    def part(self) -> int:
        """What `embed` gives it at a time, in the unit of `Rows.lengths`."""

    def rows(self, inputs: Inputs) -> Rows:
        """Documents, by their features or their texts."""

    def label_rows(self, texts: Sequence[str]) -> Rows:
        """Label texts, read as documents are.

        Raises
        ------
        UsageError : it reads features alone, and texts have none.
        """

    def __call__(self, batch: Any, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(n, D) float32. Dropout draws from `generator` and from nothing global; none without one."""

    def to(self, device: str) -> Any:
        """As torch's modules have it."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """As torch's modules have it."""

    def tables(self) -> list[nn.Parameter]:
        """Parameters whose gradients are row-sparse (`xmcbench.tables`); all others are dense."""

    def save(self, folder: Path) -> None:
        """Everything `load_encoder` needs, as plain files in an existing folder."""


def buckets(lengths: NDArray[np.int64], most: int = PART) -> list[NDArray[np.int64]]:
    """Places of all rows, the longest first, cut so that rows of a bucket × its longest row stay within `most`.

    Rows of like length stand together, so little of a padded batch is padding.
    """
    order = np.argsort(-lengths, kind="stable")
    found, start = [], 0
    while start < len(order):
        stop = start + min(MOST_ROWS, max(1, most // max(int(lengths[order[start]]), 1)))
        found.append(order[start:stop])
        start = stop
    return found


def embed(
    encoder: Encoder,
    rows: Rows,
    device: str,
    progress: Progress | None = None,
    most: int | None = None,
) -> NDArray[np.float32]:
    """(n, D) float32 embeddings of all rows, in their order, without dropout or gradients.

    progress : told rows done and rows in all, a bucket at a time; it may raise to stop.
    most : stored numbers or tokens at a time; none: `encoder.part`.
    """
    out = np.empty((len(rows), encoder.width), np.float32)
    done = 0
    with torch.inference_mode():
        for which in buckets(rows.lengths, most or encoder.part):
            out[which] = encoder(rows.batch(which, device)).float().cpu().numpy()
            done += len(which)
            if progress is not None:
                progress(done, len(rows))
    return out


def shuffled(
    lengths: NDArray[np.int64], size: int, rng: np.random.Generator, window: int = 16
) -> Iterator[NDArray[np.int64]]:
    """Batches of `size` rows for one epoch, every row once: random, yet of like length in each batch.

    Rows are shuffled, cut into windows of `window` batches, sorted by length within each, and the batches shuffled
    again: wide enough that little is padding, narrow enough that batches stay mixed.
    """
    order = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), size * window):
        part = order[start : start + size * window]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[at : at + size] for at in range(0, len(part), size)]
    yield from (batches[i] for i in rng.permutation(len(batches)))
