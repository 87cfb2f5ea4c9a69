"""Rows of a data set as tensors on the model's device, and their embeddings without gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmcbench.context import RunContext
from xmcbench.encoders.bow import BowEncoder
from xmcbench.encoders.encoder import Encoder, Rows, embed, shuffled
from xmcbench_elias.network.source import RowSubset


@dataclass(frozen=True)
class Batch:
    """n rows and their true labels as CSR, without labels if they are not known.

    Attributes
    ----------
    inputs : input of the encoder; None for rows that are already embedded.
    true_indptr, true_labels : (n + 1,), (nnz,) int64; labels ascend within a row.
    """

    inputs: Any
    true_indptr: Tensor
    true_labels: Tensor

    @property
    def n_rows(self) -> int:
        return len(self.true_indptr) - 1

    def part(self, rows: slice) -> Batch:
        """The labels of some of the rows; their inputs are left out."""
        indptr = self.true_indptr[rows.start : rows.stop + 1]
        return Batch(None, indptr - indptr[0], self.true_labels[indptr[0] : indptr[-1]])

    def true_rows(self) -> Tensor:
        """(nnz,) int64: the row of each true label."""
        rows = torch.arange(self.n_rows, device=self.true_indptr.device)
        return torch.repeat_interleave(rows, self.true_indptr.diff())


def make_batch(rows: Rows, labels: sp.csr_matrix, which: NDArray[Any], device: str) -> Batch:
    """The rows at these positions with their labels (n, L)."""
    return Batch(rows.batch(which, device), *_csr(labels[which], device))


def embedded_batch(labels: sp.csr_matrix | int, device: str) -> Batch:
    """A batch of rows that are already embedded; `labels` are (n, L), or n if they are not known."""
    if isinstance(labels, int):
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return Batch(None, torch.zeros(labels + 1, dtype=torch.int64, device=device), none)
    return Batch(None, *_csr(labels, device))


def _csr(labels: sp.csr_matrix, device: str) -> tuple[Tensor, Tensor]:
    arrays = labels.indptr.astype(np.int64), labels.indices.astype(np.int64)
    indptr, indices = (torch.from_numpy(array).to(device) for array in arrays)
    return indptr, indices


def epoch_batches(encoder: Encoder, rows: Rows, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Positions of the rows of each step of an epoch, every row once.

    Bags of words have no padding, so their batches are fully random; others have rows of similar length.
    """
    if not isinstance(encoder, BowEncoder):
        yield from shuffled(rows.lengths, size, rng)
        return
    order = rng.permutation(len(rows))
    yield from (order[start : start + size] for start in range(0, len(order), size))


@torch.no_grad()
def embedded(encoder: Encoder, rows: Rows, start: int, stop: int, ctx: RunContext) -> Tensor:
    """(m, D) float32 on the device: φ of rows start … stop − 1, or fewer at the end of `rows`.

    The bag of words embeds them as one batch, since rounding depends on the batch size and predictions have to be
    reproducible. Other encoders group them by length, since a batch padded to the longest text may not fit.
    """
    which = np.arange(start, min(stop, len(rows)))
    if isinstance(encoder, BowEncoder):
        phi: Tensor = encoder(rows.batch(which, ctx.device)).float()
        return phi

    def shifted_progress(done: int, _: int) -> None:
        ctx.progress(start + done, len(rows))

    return torch.from_numpy(embed(encoder, RowSubset(rows, which), ctx.device, shifted_progress)).to(ctx.device)
