"""A frozen transformer, whose embeddings are computed once, with a small trained layer on top of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xmcbench.encoders.bow import drop, half_products
from xmcbench.encoders.embeddings import embeddings
from xmcbench.encoders.encoder import PART
from xmcbench.encoders.transformer import TransformerEncoder, texts_of
from xmcbench.encoders.weights import put_weights, weights_of
from xmcbench.errors import DataError
from xmcbench.files import read_npz, write_npz
from xmcbench.method import Inputs, Progress, TrainData

FILE = "frozen.npz"
BODY = "transformer"


class DenseRows:
    """n rows of precomputed embeddings.

    Parameters
    ----------
    distinct : (m, D) float32, possibly memory-mapped.
    which : (n,) int64, each row's position in `distinct`.
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

    The transformer is not among the parameters, but moves to a device with them.

    Parameters
    ----------
    transformer : never changed.
    generator : source of the initial V.
    """

    kind: ClassVar[str] = "frozen"
    part: int = PART

    def __init__(self, transformer: TransformerEncoder, generator: torch.Generator) -> None:
        super().__init__()
        self._body = (transformer.requires_grad_(False),)  # a tuple, so that torch does not register it as a submodule
        self.width = width = transformer.width
        self.inner = nn.Parameter(torch.randn(width, width, generator=generator) * (2 / width) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        self.outer = nn.Parameter(torch.zeros(width, width))

    @property
    def transformer(self) -> TransformerEncoder:
        """The frozen transformer."""
        return self._body[0]

    def _apply(self, fn: Any, recurse: bool = True) -> FrozenEncoder:
        apply: Any = super()._apply  # untyped in torch; `to` and similar methods call it
        apply(fn, recurse)
        apply = self.transformer._apply
        apply(fn)
        return self

    def __deepcopy__(self, memo: Any) -> FrozenEncoder:
        """Copy the layer and share the transformer, which is never changed."""
        copy = FrozenEncoder(self.transformer, torch.Generator())
        copy.load_state_dict(self.state_dict())
        return copy

    def rows(self, inputs: Inputs, progress: Progress | None = None) -> DenseRows:
        """Embeddings of the rows' texts; those of many training rows are cached under HOME/embeddings.

        Embeddings of rows to predict for are not cached, so that repeated predictions take the same time. DataError if
        the rows have no texts.
        """
        return DenseRows(*embeddings(self.transformer, texts_of(inputs), isinstance(inputs, TrainData), progress))

    def label_rows(self, texts: Sequence[str], progress: Progress | None = None) -> DenseRows:
        """See `Encoder.label_rows`."""
        return DenseRows(*embeddings(self.transformer, texts, progress=progress))

    def forward(self, batch: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """See `Encoder`."""
        with half_products(batch):
            residual = torch.relu(batch @ self.inner.T + self.bias) @ self.outer.T
        return drop(batch + residual.float(), dropout, generator)

    def tables(self) -> list[nn.Parameter]:
        """No parameter has sparse gradients."""
        return []

    def save(self, folder: Path) -> None:
        """Write the layer as npz and the transformer into a subfolder."""
        (folder / BODY).mkdir(exist_ok=True)
        self.transformer.save(folder / BODY)
        write_npz(folder / FILE, weights_of(self), compressed=False)

    @classmethod
    def load(cls, folder: Path) -> FrozenEncoder:
        """Read what `save` wrote; DataError if a file is missing or damaged."""
        weights = read_npz(folder / FILE)
        encoder = cls(TransformerEncoder.load(folder / BODY), torch.Generator())
        try:
            put_weights(encoder, weights)
        except (RuntimeError, TypeError) as error:
            raise DataError(f"{folder / FILE}: not the layer of a frozen encoder ({error})", "Fit again.") from error
        return encoder
