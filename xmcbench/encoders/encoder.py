"""The contract of encoders: prepare rows once, take batches from them, embed them with a torch module.

    from xmcbench.encoders.encoder import embed, shuffled
    from xmcbench.encoders.making import new_encoder
    from xmcbench.tables.optim import Optimisers

    encoder = new_encoder(params, train, train.label_texts, ctx.seed("encoder"), ctx.device, ctx.progress)
    encoder.to(ctx.device)
    rows = encoder.rows(train, ctx.progress)                      # vectorised or tokenised, once
    tables = encoder.tables()                                     # torch's AdamW does not accept sparse gradients
    rest = [p for p in encoder.parameters() if all(p is not table for table in tables)]
    optimiser = Optimisers([(table, 2e-2) for table in tables], [{"params": rest, "lr": 3e-3}], decay=0.01)
    for which in shuffled(rows.lengths, 512, ctx.rng("order")):   # batches of rows of similar length
        phi = encoder(rows.batch(which, ctx.device))              # (len(which), encoder.width)
        loss(phi, which).backward()
        optimiser.step(1.0)
    optimiser.settle()                                            # apply the pending weight decay
    everything = embed(encoder, rows, ctx.device, ctx.progress)   # (n, width) numpy, without gradients

`params` inherits from `xmcbench.encoders.params.EncoderParams`; `xmcbench.encoders.params.check` refuses bad values. A
method's `skip` returns `xmcbench.encoders.params.lacks(params, data)` and its `depends_on`
`params.identity(params)`; `save` and `load` use `making.save_encoder` and `load_encoder`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xmcbench.method import Inputs, Progress

Placed = TypeVar("Placed", bound=nn.Module)
PART = 1 << 19  # stored numbers per batch when embedding: some hundred megabytes of activations
MAX_ROWS = 1 << 13  # rows per batch when embedding, however short: each has some hundred activations


class Rows(Protocol):
    """n rows prepared for an encoder; `lengths` (n,) int64 is the cost of each: stored features, or tokens."""

    lengths: NDArray[np.int64]

    def __len__(self) -> int: ...

    def batch(self, which: NDArray[Any], device: str) -> Any:
        """The rows at these positions, in that order, in the form that the encoder's `forward` takes."""


class Encoder(nn.Module):
    """A torch module from batches to embeddings.

    Attributes
    ----------
    kind : name by which `xmcbench.encoders.making.load_encoder` selects the class.
    width : D, the length of an embedding.
    """

    kind: ClassVar[str]
    width: int

    @property
    def part(self) -> int:
        """Batch size of `embed`, in the unit of `Rows.lengths`."""
        return PART

    def rows(self, inputs: Inputs, progress: Progress | None = None) -> Rows:
        """Prepare documents from their features or texts; DataError if these are missing.

        progress : called with (rows done, rows in all) if reading takes long.
        """
        raise NotImplementedError

    def label_rows(self, texts: Sequence[str], progress: Progress | None = None) -> Rows:
        """Prepare label texts, in the same way as documents; UsageError if the encoder reads only features."""
        raise NotImplementedError

    def forward(self, batch: Any, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(n, D) float32. Dropout draws only from `generator`; there is none without it."""
        raise NotImplementedError

    def tables(self) -> list[nn.Parameter]:
        """Parameters whose gradients are row-sparse (`xmcbench.tables`); all others are dense."""
        return []

    def save(self, folder: Path) -> None:
        """Write everything `load_encoder` needs as plain files into an existing folder."""
        raise NotImplementedError


def buckets(lengths: NDArray[np.int64], budget: int = PART) -> list[NDArray[np.int64]]:
    """Positions of all rows in batches, longest rows first; (rows of a batch) × (its longest row) is at most `budget`.

    Rows of similar length are in one batch, so little of it is padding.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        stop = start + min(MAX_ROWS, max(1, budget // max(int(lengths[order[start]]), 1)))
        batches.append(order[start:stop])
        start = stop
    return batches


def placed(module: Placed, device: str) -> Placed:
    """A module on a device. Asking one parameter first is faster: `to` looks at all of them, for each query."""
    first = next(module.parameters(), None)
    return module if first is not None and first.device.type == torch.device(device).type else module.to(device)


def embed(
    encoder: Encoder, rows: Rows, device: str, progress: Progress | None = None, budget: int | None = None
) -> NDArray[np.float32]:
    """(n, D) float32 embeddings of all rows, in their order, without dropout or gradients.

    progress : called with (rows done, n) after each batch.
    budget : stored numbers or tokens per batch; None: `encoder.part`.
    """
    out = np.empty((len(rows), encoder.width), np.float32)
    done = 0
    with torch.inference_mode():
        for which in buckets(rows.lengths, budget or encoder.part):
            out[which] = encoder(rows.batch(which, device)).float().cpu().numpy()
            done += len(which)
            if progress is not None:
                progress(done, len(rows))
    return out


def shuffled(
    lengths: NDArray[np.int64], size: int, rng: np.random.Generator, window: int = 16
) -> Iterator[NDArray[np.int64]]:
    """Batches of `size` rows for one epoch, every row once: random, but of similar length in each batch.

    Rows are shuffled, cut into windows of `window` batches and sorted by length within each; then the batches are
    shuffled. A wide window gives little padding, a narrow one random batches.
    """
    order = rng.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), size * window):
        part = order[start : start + size * window]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[at : at + size] for at in range(0, len(part), size)]
    yield from (batches[i] for i in rng.permutation(len(batches)))
