"""A transformer's embeddings of texts, made once: in memory where texts are few, else under HOME/embeddings.

Long work is done by blocks, each kept in a folder of its own until all are there: what is stopped goes on from the
last whole block. Texts of the same tokens are embedded once.
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

Made = tuple[NDArray[np.float32], NDArray[np.int64]]
FEW = 256  # texts; more take seconds
BLOCK = 1 << 12  # distinct texts that a stop may cost: MiniLM on two cores takes 5 s, 33 s where they are long
VOLATILE = ("transformers_version", "dtype", "torch_dtype", "architectures")  # of a configuration: change nothing
FORMAT = 1  # of the folder; raise it when an older reader would misread a newer folder


def embeddings(encoder: TransformerEncoder, texts: Sequence[str], keep: bool = True) -> Made:
    """(m, D) float32 embeddings of distinct texts, and (n,) int64, which of them each text has.

    keep : look for them on disk, and leave them there.
    `encoder.progress` is told texts tokenised of all, then distinct texts embedded of all; it may raise to stop.

    Raises
    ------
    DataError : the folder can't be written.
    """
    device = str(encoder.device)
    if not keep or len(texts) <= FEW:
        rows, which = distinct(encoder.label_rows(texts))
        return embed(encoder, rows, device, encoder.progress), which
    key = _key(encoder, texts)
    folder = home() / "embeddings" / key

    def build(writer: arrays.Writer) -> dict[str, object]:
        rows, which = distinct(encoder.label_rows(texts))
        starts = range(0, len(rows), BLOCK)

        def parts() -> Iterator[NDArray[np.float32]]:
            for start in starts:
                yield _block(encoder, rows, start, folder.with_name(f"{key}.{start}"), device)

        writer.save_parts("embeddings", parts())
        writer.save("which", which)
        return {}

    def read(stored: arrays.Stored) -> Made:
        found, which = stored.arrays["embeddings"], stored.arrays["which"]
        if len(which) != len(texts) or found.shape[1] != encoder.width:
            raise ValueError("other shapes")
        return found, which

    made = arrays.open_or_build(folder, key, build, read)
    for block in folder.parent.glob(f"{key}.*"):
        arrays.remove(block)
    return made


def _block(encoder: TransformerEncoder, rows: TokenRows, start: int, folder: Path, device: str) -> NDArray[np.float32]:
    """Embeddings of the block of rows at `start`, read from its folder where an earlier build left it."""
    stop = min(start + BLOCK, len(rows))

    def build(writer: arrays.Writer) -> dict[str, object]:
        def told(done: int, _: int) -> None:
            if encoder.progress is not None:
                encoder.progress(start + done, len(rows))

        writer.save("embeddings", embed(encoder, rows.part(start, stop), device, told))
        return {}

    def read(stored: arrays.Stored) -> NDArray[np.float32]:
        found = stored.arrays["embeddings"]
        if found.shape != (stop - start, encoder.width):
            raise ValueError("another shape")
        return found

    return arrays.open_or_build(folder, folder.name, build, read)


def _key(encoder: TransformerEncoder, texts: Sequence[str]) -> str:
    """32 hex digits of all that decides the embeddings, to their last bit but for the batch they are computed in."""
    settings = [FORMAT, encoder.pooling, "bfloat16" if encoder.halves else "float32", encoder.device.type]
    parts = [str(settings), encoder.tokenise.key, _weights_hash(encoder), texts_hash(texts)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _weights_hash(encoder: TransformerEncoder) -> str:
    """Hex sha256 of the model: its configuration and its weights, wherever they were read from."""
    config = encoder.model.config.to_dict()
    said = {name: value for name, value in config.items() if name not in VOLATILE and not name.startswith("_")}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for name, value in sorted(encoder.model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(np.ascontiguousarray(value.cpu().numpy()).data)
    return digest.hexdigest()


def distinct(rows: TokenRows) -> tuple[TokenRows, NDArray[np.int64]]:
    """Rows that differ, in the order of first sight, and (n,) int64, which of them each row is."""
    seen: dict[bytes, int] = {}
    bounds = rows.offsets.tolist()
    which = np.empty(len(rows), np.int64)
    first: list[int] = []
    for row in range(len(rows)):
        place = seen.setdefault(rows.ids[bounds[row] : bounds[row + 1]].tobytes(), len(seen))
        which[row] = place
        if place == len(first):
            first.append(row)
    if len(first) == len(rows):
        return rows, which
    lengths = rows.lengths[first]
    offsets = offsets_of([lengths])
    source = np.repeat(rows.offsets[:-1][first] - offsets[:-1], lengths) + np.arange(offsets[-1])
    return TokenRows(rows.ids[source], offsets, rows.pad), which
