"""The dual encoder: documents and label texts through one encoder; labels without text have a vector of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from xmcbench.encoders.encoder import Encoder, Rows, buckets, embed
from xmcbench.tables.ops import bag

Progress = Callable[[int, int], None]


class LabelSide:
    """What a label is embedded from.

    Attributes
    ----------
    rows : the encoder's rows of the labels that have a text it can read, or None where none has.
    place : (L,) int64, a label's row in `rows`; −1: it has none, and its vector is learned.
    """

    def __init__(self, rows: Rows | None, place: NDArray[np.int64]) -> None:
        self.rows, self.place = rows, place

    @classmethod
    def of(cls, encoder: Encoder, texts: Sequence[str] | None, n_labels: int) -> LabelSide:
        """`texts` None where the labels have none, or the encoder reads features alone."""
        place = np.full(n_labels, -1, np.int64)
        if texts is None:
            return cls(None, place)
        rows = encoder.label_rows(texts)
        read = np.flatnonzero(rows.lengths > 0)
        named = read[[bool(texts[int(label)].strip()) for label in read]] if len(read) else read
        place[named] = named
        return cls(rows, place)


class DualEncoder(nn.Module):
    """Similarity of a document and a label: φ(document) · (φ(label text) + v), embeddings of length one.

    Parameters
    ----------
    encoder : φ, shared by documents and labels.
    own : (L,) bool, labels that have a vector v of their own; one without a text it can read has nothing else.
    generator : draws the vectors of labels without text; those beside a text start at zero.
    """

    def __init__(self, encoder: Encoder, labels: LabelSide, own: NDArray[np.bool_], generator: torch.Generator) -> None:
        super().__init__()
        assert isinstance(encoder, nn.Module)
        self.encoder: Encoder = encoder
        self.labels = labels
        self.slot = np.where(own, np.cumsum(own) - 1, -1)  # a label's row in `vectors`
        start = F.normalize(torch.randn(int(own.sum()), encoder.width, generator=generator), dim=1)
        start[torch.from_numpy(labels.place[own] >= 0)] = 0
        self.vectors = nn.Parameter(start)

    def documents(self, batch: Any, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(n, D) float32 of length one; a row the encoder makes nothing of is zero."""
        return F.normalize(self.encoder(batch, dropout, generator), dim=1)

    def label_embeddings(
        self, ids: NDArray[np.int64], device: str, dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """(m, D) float32 of the labels named."""
        place, slot = self.labels.place[ids], self.slot[ids]
        read, own = np.flatnonzero(place >= 0), np.flatnonzero(slot >= 0)
        out = torch.zeros(len(ids), self.encoder.width, device=device)
        if len(read):
            assert self.labels.rows is not None
            # By length, so that one long text does not pad all others to its own.
            for part in buckets(self.labels.rows.lengths[place[read]], self.encoder.part):
                some = read[part]
                found = self.documents(self.labels.rows.batch(place[some], device), dropout, generator)
                out = out.index_copy(0, torch.from_numpy(some).to(device), found)
        if len(own):
            named = torch.from_numpy(slot[own]).to(device)
            ones = torch.ones(len(named), device=device)
            added = bag(self.vectors, torch.arange(len(named) + 1, device=device), named, ones)
            out = out.index_add(0, torch.from_numpy(own).to(device), added)
        return out

    def embed_documents(self, rows: Rows, device: str, progress: Progress | None = None) -> NDArray[np.float32]:
        """(n, D) float32 of length one, without gradients."""
        return unit(embed(self.encoder, rows, device, progress))

    def embed_labels(self, device: str, progress: Progress | None = None) -> NDArray[np.float32]:
        """(L, D) float32 of all labels, without gradients."""
        place, slot = self.labels.place, self.slot
        out = np.zeros((len(place), self.encoder.width), np.float32)
        if self.labels.rows is not None:
            out[place >= 0] = unit(embed(self.encoder, self.labels.rows, device, progress))[place[place >= 0]]
        out[slot >= 0] += self.vectors.detach().cpu().numpy()
        return out

    def tables(self) -> list[nn.Parameter]:
        """Parameters with row-sparse gradients: the encoder's, and the labels' vectors where there are any."""
        return [*self.encoder.tables(), *([self.vectors] if len(self.vectors) else [])]


def unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length one, as `F.normalize` does."""
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), np.float32)
