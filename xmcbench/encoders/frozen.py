"""A transformer kept as it is, whose embeddings are made once, and a small trained layer on top of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xmcbench.encoders.bow import drop
from xmcbench.encoders.embeddings import embeddings
from xmcbench.encoders.encoder import PART, Progress
from xmcbench.encoders.transformer import TransformerEncoder, texts_of
from xmcbench.errors import DataError
from xmcbench.files import read_npz, write_npz
from xmcbench.method import Inputs, TrainData

FILE = "frozen.npz"
BODY = "transformer"


class DenseRows:
    """n rows that are embeddings already.

    Parameters
    ----------
    distinct : (m, D) float32, possibly memory-mapped.
    which : (n,) int64, the row of `distinct` that each row is.
    """

    def __init__(self, distinct: NDArray[np.float32], which: NDArray[np.int64]) -> None:
        self.distinct, self.which = distinct, which
        self.lengths: NDArray[np.int64] = np.full(len(which), distinct.shape[1], np.int64)

    def __len__(self) -> int:
        return len(self.which)

    def batch(self, which: NDArray[Any] | slice, device: str) -> Tensor:
        """(m, D) float32."""
        return torch.from_numpy(self.distinct[self.which[which]]).to(device)


class FrozenEncoder(nn.Module):
    """φ(x) = drop(e + U relu(V e + b)) of a transformer's embedding e; U starts at 0, so φ = e before training.

    The transformer isn't among the parameters, yet goes to a device with them.

    Parameters
    ----------
    transformer : never changed.
    generator : V is drawn from it.
    """

    kind: ClassVar[str] = "frozen"
    part: int = PART

    def __init__(self, transformer: TransformerEncoder, generator: torch.Generator) -> None:
        super().__init__()
        self._body = (transformer.requires_grad_(False),)  # in a tuple, torch doesn't take it for a part of this module
        self.width = width = transformer.width
        self.inner = nn.Parameter(torch.randn(width, width, generator=generator) * (2 / width) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.outer = nn.Parameter(torch.zeros(width, width))

    @property
    def transformer(self) -> TransformerEncoder:
        """What the embeddings come from."""
        return self._body[0]

    @property
    def progress(self) -> Progress | None:
        """Told texts done and in all by `rows` and `label_rows`; None: nobody is."""
        return self.transformer.progress

    @progress.setter
    def progress(self, to: Progress | None) -> None:
        self.transformer.progress = to

    def _apply(self, fn: Any, recurse: bool = True) -> FrozenEncoder:
        apply: Any = super()._apply  # torch's, which is not typed: what `to` and its like go through
        apply(fn, recurse)
        apply = self.transformer._apply
        apply(fn)
        return self

    def __deepcopy__(self, memo: Any) -> FrozenEncoder:
        """A layer of its own on the same transformer, which nothing changes."""
        made = FrozenEncoder(self.transformer, torch.Generator())
        made.load_state_dict(self.state_dict())
        return made

    def rows(self, inputs: Inputs) -> DenseRows:
        """Embeddings of their texts; many training rows' are kept under HOME/embeddings.

        Those of rows to predict for are not, so that a prediction costs what it costs the second time too.

        Raises
        ------
        DataError : they have no texts.
        """
        return DenseRows(*embeddings(self.transformer, texts_of(inputs), isinstance(inputs, TrainData)))

    def label_rows(self, texts: Sequence[str]) -> DenseRows:
        """See `Encoder.label_rows`."""
        return DenseRows(*embeddings(self.transformer, texts))

    def forward(self, batch: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """See `Encoder`."""
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=batch.device.type != "cpu"):
            added = torch.relu(batch @ self.inner.T + self.bias) @ self.outer.T
        return drop(batch + added.float(), dropout, generator)

    def tables(self) -> list[nn.Parameter]:
        """None."""
        return []

    def save(self, folder: Path) -> None:
        """The layer as npz, the transformer in a folder of its own."""
        (folder / BODY).mkdir(exist_ok=True)
        self.transformer.save(folder / BODY)
        arrays = {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}
        write_npz(folder / FILE, arrays, compressed=False)

    @classmethod
    def load(cls, folder: Path) -> FrozenEncoder:
        """Read what `save` wrote.

        Raises
        ------
        DataError : a file is missing or damaged.
        """
        arrays = read_npz(folder / FILE)
        made = cls(TransformerEncoder.load(folder / BODY), torch.Generator())
        try:
            made.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
        except (RuntimeError, TypeError) as error:
            raise DataError(f"{folder / FILE}: not the layer of a frozen encoder ({error})", "Fit again.") from error
        return made
