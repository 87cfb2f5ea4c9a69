"""A frozen transformer, whose embeddings are computed once, with a small trained layer on top of them.

Embeddings of few texts are in memory, those of many are cached under HOME/embeddings. Many texts are embedded block by
block; each finished block is kept in its own folder until all are done, so an interrupted run resumes after the last
finished block. Texts with the same tokens are embedded once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xmcbench.data import arrays
from xmcbench.data.home import home, using_encoders
from xmcbench.encoders.bow import drop, half_products
from xmcbench.encoders.encoder import Encoder, embed
from xmcbench.encoders.tokens import TokenRows, offsets_of, texts_hash
from xmcbench.encoders.transformer import TransformerEncoder, texts_of
from xmcbench.encoders.weights import put_weights, weights_of
from xmcbench.errors import DataError, Diverged
from xmcbench.files import write_npz
from xmcbench.method import Inputs, Progress, TrainData
from xmcbench.npz_files import read_npz

FILE = "frozen.npz"
BODY = "transformer"
Embeddings = tuple[NDArray[np.float32], NDArray[np.int64]]
FEW = 256  # texts that are not cached on disk; more take seconds
BLOCK = 1 << 12  # distinct texts per block, which an interruption may lose: seconds for MiniLM on two cores
VOLATILE = ("transformers_version", "dtype", "torch_dtype", "architectures")  # configuration that changes no embedding
FORMAT = 1  # version of the folder; raise it when an older reader would misread a newer folder


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


class FrozenEncoder(Encoder):
    """φ(x) = drop(e + U relu(V e + b)) of a transformer's embedding e; U starts at 0, so φ = e before training.

    The transformer is not among the parameters, but moves to a device with them.

    Parameters
    ----------
    transformer : never changed.
    generator : source of the initial V.
    """

    kind: ClassVar[str] = "frozen"

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
        return DenseRows(*embeddings(self.transformer, texts, progress=progress))

    def forward(self, batch: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        with half_products(batch):
            residual = torch.relu(batch @ self.inner.T + self.bias) @ self.outer.T
        return drop(batch + residual.float(), dropout, generator)

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


def embeddings(
    encoder: TransformerEncoder, texts: Sequence[str], keep: bool = True, progress: Progress | None = None
) -> Embeddings:
    """(m, D) float32 embeddings of distinct texts, and (n,) int64, the embedding of each text.

    keep : use the cache on disk.
    progress : called with (texts tokenised, all texts), then with (distinct texts embedded, all distinct texts).

    DataError if the folder cannot be written.
    """
    device = str(encoder.device)
    if not keep or len(texts) <= FEW:
        rows, which = distinct(encoder.label_rows(texts, progress))
        return embed(encoder, rows, device, progress), which
    key = _key(encoder, texts)
    folder = home() / "embeddings" / key

    def build(writer: arrays.Writer) -> dict[str, object]:
        rows, which = distinct(encoder.label_rows(texts, progress))
        starts = range(0, len(rows), BLOCK)

        def parts() -> Iterator[NDArray[np.float32]]:
            for start in starts:
                yield _block(encoder, rows, start, folder.with_name(f"{key}.{start}"), progress)

        writer.save_parts("embeddings", parts())
        writer.save("which", which)
        return {}

    def read(stored: arrays.Stored) -> Embeddings:
        vectors, which = _check_vectors(stored, encoder.width), stored.arrays["which"]
        if which.dtype != np.int64 or which.shape != (len(texts),):
            raise ValueError("which: of another type or shape")
        if stored.unchecked and (which.min() < 0 or which.max() >= len(vectors)):
            raise ValueError("which: names an embedding that does not exist")
        return vectors, which

    with using_encoders():
        cached = arrays.open_or_build(folder, key, build, read)
        for block in folder.parent.glob(f"{key}.*"):
            arrays.remove(block)
    return cached


def _block(
    encoder: TransformerEncoder, rows: TokenRows, start: int, folder: Path, progress: Progress | None
) -> NDArray[np.float32]:
    """Embeddings of the block of rows at `start`, read from its folder if an earlier build wrote it."""
    stop = min(start + BLOCK, len(rows))

    def build(writer: arrays.Writer) -> dict[str, object]:
        def block_progress(done: int, _: int) -> None:
            if progress is not None:
                progress(start + done, len(rows))

        vectors = embed(encoder, rows.part(start, stop), str(encoder.device), block_progress)
        if not np.isfinite(vectors).all():
            raise Diverged("the transformer gives embeddings that are not finite")
        writer.save("embeddings", vectors)
        return {}

    def read(stored: arrays.Stored) -> NDArray[np.float32]:
        vectors = _check_vectors(stored, encoder.width)
        if len(vectors) != stop - start:
            raise ValueError("embeddings: of other rows")
        return vectors

    return arrays.open_or_build(folder, folder.name, build, read)


def _check_vectors(stored: arrays.Stored, width: int) -> NDArray[np.float32]:
    """The stored embeddings; ValueError if they are not a finite (m, width) float32 array."""
    vectors = stored.arrays["embeddings"]
    if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] != width:
        raise ValueError(f"embeddings: {vectors.dtype} {vectors.shape}, not float32 of {width} numbers")
    blocks = range(0, len(vectors), BLOCK) if stored.unchecked else ()
    if not all(np.isfinite(vectors[start : start + BLOCK]).all() for start in blocks):
        raise ValueError("embeddings: not finite")
    return vectors


def _key(encoder: TransformerEncoder, texts: Sequence[str]) -> str:
    """32 hex digits of everything that determines the embeddings, except the batches they are computed in."""
    settings = [FORMAT, encoder.pooling, "bfloat16" if encoder.halves else "float32", encoder.device.type]
    parts = [str(settings), encoder.tokenise.key, _weights_hash(encoder), texts_hash(texts)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _weights_hash(encoder: TransformerEncoder) -> str:
    """Hex sha256 of the model's configuration and weights, independent of the folder they were read from."""
    config = encoder.model.config.to_dict()
    settings = {name: value for name, value in config.items() if name not in VOLATILE and not name.startswith("_")}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, value in sorted(encoder.model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(np.ascontiguousarray(value.cpu().numpy()).data)
    return digest.hexdigest()


def distinct(rows: TokenRows) -> tuple[TokenRows, NDArray[np.int64]]:
    """The distinct rows in order of first occurrence, and (n,) int64, the distinct row of each row."""
    positions: dict[bytes, int] = {}
    bounds = rows.offsets.tolist()
    which = np.empty(len(rows), np.int64)
    first_rows: list[int] = []
    for row in range(len(rows)):
        position = positions.setdefault(rows.ids[bounds[row] : bounds[row + 1]].tobytes(), len(positions))
        which[row] = position
        if position == len(first_rows):
            first_rows.append(row)
    if len(first_rows) == len(rows):
        return rows, which
    lengths = rows.lengths[first_rows]
    offsets = offsets_of([lengths])
    source = np.repeat(rows.offsets[:-1][first_rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
    return TokenRows(rows.ids[source], offsets, rows.pad), which
