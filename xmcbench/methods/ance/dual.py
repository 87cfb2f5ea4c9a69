"""The dual encoder: documents and label texts share one encoder; labels without text have a learned vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from xmcbench.encoders.encoder import Encoder, Rows, buckets, embed
from xmcbench.method import Progress
from xmcbench.tables.ops import bag


class LabelSide:
    """The inputs from which labels are embedded.

    Attributes
    ----------
    rows : the encoder's input rows of label texts, or None if no label has a text.
    place : (L,) int64, the index of each label in `rows`; −1 for a label without a usable text.
    """

    def __init__(self, rows: Rows | None, place: NDArray[np.int64]) -> None:
        self.rows, self.place = rows, place

    @classmethod
    def of(
        cls, encoder: Encoder, texts: Sequence[str] | None, n_labels: int, progress: Progress | None = None
    ) -> LabelSide:
        """`texts` is None if labels have no texts or the encoder only reads features."""
        place = np.full(n_labels, -1, np.int64)
        if texts is None:
            return cls(None, place)
        rows = encoder.label_rows(texts, progress)
        encoded = np.flatnonzero(rows.lengths > 0)
        with_text = encoded[[bool(texts[int(label)].strip()) for label in encoded]] if len(encoded) else encoded
        place[with_text] = with_text
        return cls(rows, place)


class DualEncoder(nn.Module):
    """Similarity of a document and a label: φ(document) · (φ(label text) + v), embeddings of length one.

    Parameters
    ----------
    encoder : φ, shared by documents and labels.
    with_vector : (L,) bool, labels that have a learned vector v; a label without a usable text has only this vector.
    generator : draws the initial vectors of labels without text; vectors of labels with a text start at zero.
    """

    def __init__(
        self, encoder: Encoder, labels: LabelSide, with_vector: NDArray[np.bool_], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.labels = labels
        self.slot = np.where(with_vector, np.cumsum(with_vector) - 1, -1)  # a label's row in `vectors`
        initial = F.normalize(torch.randn(int(with_vector.sum()), encoder.width, generator=generator), dim=1)
        initial[torch.from_numpy(labels.place[with_vector] >= 0)] = 0
        self.vectors = nn.Parameter(initial)

    def documents(self, batch: Any, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """(n, D) float32 of length one; a row without usable input is zero."""
        return F.normalize(self.encoder(batch, dropout, generator), dim=1)

    def label_embeddings(
        self, ids: NDArray[np.int64], device: str, dropout: float = 0.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """(m, D) float32 embeddings of the labels `ids`."""
        place, slot = self.labels.place[ids], self.slot[ids]
        with_text, with_vector = np.flatnonzero(place >= 0), np.flatnonzero(slot >= 0)
        out = torch.zeros(len(ids), self.encoder.width, device=device)
        if len(with_text):
            assert self.labels.rows is not None
            # Grouped by length, so that one long text does not pad all others.
            for part in buckets(self.labels.rows.lengths[place[with_text]], self.encoder.part):
                positions = with_text[part]
                text_embeddings = self.documents(self.labels.rows.batch(place[positions], device), dropout, generator)
                out = out.index_copy(0, torch.from_numpy(positions).to(device), text_embeddings)
        if len(with_vector):
            slots = torch.from_numpy(slot[with_vector]).to(device)
            ones = torch.ones(len(slots), device=device)
            vector_embeddings = bag(self.vectors, torch.arange(len(slots) + 1, device=device), slots, ones)
            out = out.index_add(0, torch.from_numpy(with_vector).to(device), vector_embeddings)
        return out

    def embed_documents(self, rows: Rows, device: str, progress: Progress | None = None) -> NDArray[np.float32]:
        """(n, D) float32 embeddings of length one, without gradients."""
        return unit(embed(self.encoder, rows, device, progress))

    def embed_labels(self, device: str, progress: Progress | None = None) -> NDArray[np.float32]:
        """(L, D) float32 embeddings of all labels, without gradients."""
        place, slot = self.labels.place, self.slot
        out = np.zeros((len(place), self.encoder.width), np.float32)
        if self.labels.rows is not None:
            out[place >= 0] = unit(embed(self.encoder, self.labels.rows, device, progress))[place[place >= 0]]
        out[slot >= 0] += self.vectors.detach().cpu().numpy()
        return out

    def tables(self) -> list[nn.Parameter]:
        """Parameters with row-sparse gradients: the encoder's, and the label vectors if there are any."""
        return [*self.encoder.tables(), *([self.vectors] if len(self.vectors) else [])]


def unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length one, as `F.normalize` does."""
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), np.float32)
