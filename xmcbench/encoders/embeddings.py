"""A transformer's embeddings of texts: computed once, in memory for few texts, else cached under HOME/embeddings.

Many texts are embedded block by block; each finished block is kept in its own folder until all are done, so an
interrupted run resumes after the last finished block. Texts with the same tokens are embedded once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xmcbench.data import arrays
from xmcbench.data.home import home
from xmcbench.encoders.encoder import embed
from xmcbench.encoders.tokens import TokenRows, offsets_of, texts_hash
from xmcbench.encoders.transformer import TransformerEncoder
from xmcbench.method import Progress

Embeddings = tuple[NDArray[np.float32], NDArray[np.int64]]
FEW = 256  # texts that are not cached on disk; more take seconds
BLOCK = 1 << 12  # distinct texts per block, which an interruption may lose: seconds for MiniLM on two cores
VOLATILE = ("transformers_version", "dtype", "torch_dtype", "architectures")  # configuration that changes no embedding
FORMAT = 1  # version of the folder; raise it when an older reader would misread a newer folder


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
        vectors, which = stored.arrays["embeddings"], stored.arrays["which"]
        if len(which) != len(texts) or vectors.shape[1] != encoder.width:
            raise ValueError("wrong shapes")
        return vectors, which

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

        writer.save("embeddings", embed(encoder, rows.part(start, stop), str(encoder.device), block_progress))
        return {}

    def read(stored: arrays.Stored) -> NDArray[np.float32]:
        vectors = stored.arrays["embeddings"]
        if vectors.shape != (stop - start, encoder.width):
            raise ValueError("wrong shape")
        return vectors

    return arrays.open_or_build(folder, folder.name, build, read)


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
