"""Texts as token ids: in memory for few texts, else cached in a memory-mapped folder under HOME/tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xmcbench.data.arrays import Stored, Writer, open_or_build
from xmcbench.data.home import home, using_encoders
from xmcbench.data.texts import Texts
from xmcbench.errors import UsageError
from xmcbench.method import Progress

FEW = 4096  # texts that are not cached on disk; they take half a second, and single queries leave no folders behind
BLOCK = 4096  # texts tokenised between two calls of `progress`
FORMAT = 1  # version of the folder; raise it when an older reader would misread a newer folder


class Tokens(NamedTuple):
    """A batch: ids (n, T) int64, padded on the right, and mask (n, T) int64, 1 for tokens; None without padding."""

    ids: Tensor
    mask: Tensor | None


class TokenRows:
    """n rows of token ids.

    Parameters
    ----------
    ids : (tokens,) uint16 or int32, the ids of all rows, concatenated.
    offsets : (n + 1,) int64; row i is `ids[offsets[i]:offsets[i + 1]]`; no row is empty.
    pad : the id used for padding.
    """

    def __init__(self, ids: NDArray[Any], offsets: NDArray[np.int64], pad: int) -> None:
        if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(ids) or ids.dtype.kind not in "iu":
            raise ValueError("ids and offsets do not match")
        self.ids, self.offsets, self.pad = ids, offsets, pad
        self.lengths: NDArray[np.int64] = np.diff(offsets)

    def __len__(self) -> int:
        return len(self.lengths)

    def part(self, start: int, stop: int) -> TokenRows:
        """The rows from `start` up to `stop`."""
        offsets = self.offsets[start : stop + 1]
        return TokenRows(self.ids[offsets[0] : offsets[-1]], offsets - offsets[0], self.pad)

    def batch(self, which: NDArray[Any] | slice, device: str) -> Tokens:
        """See `Rows.batch`."""
        lengths, starts = self.lengths[which], self.offsets[:-1][which]
        at = np.arange(int(lengths.max(initial=0)))
        mask = at < lengths[:, None]
        ids = np.full(mask.shape, self.pad, np.int64)
        ids[mask] = self.ids[(starts[:, None] + at)[mask]]
        padded = torch.from_numpy(mask.astype(np.int64)).to(device) if not mask.all() else None
        return Tokens(torch.from_numpy(ids).to(device), padded)


class Tokeniser:
    """A model's tokenizer that cuts texts after `max_length` tokens, special tokens included.

    Attributes
    ----------
    key : hex sha256 of everything that determines a text's ids.

    UsageError if `max_length` is above the model's limit, or leaves no room for text after the special tokens.
    """

    def __init__(self, tokenizer: Any, max_length: int, limit: int | None) -> None:
        from tokenizers import Tokenizer

        # a copy, since the tokenizer may be shared
        self.backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        shortest = self.backend.num_special_tokens_to_add(False) + 1
        if not shortest <= max_length <= (limit or max_length):
            raise UsageError(
                f"max_length is {max_length}; this model reads {shortest} to {limit or 'any number of'} tokens"
            )
        self.backend.no_padding()
        self.backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
        ids = [tokenizer.pad_token_id, tokenizer.eos_token_id, 0]
        self.pad = int(next(token for token in ids if token is not None))
        self.dtype = np.uint16 if max(len(tokenizer), self.pad + 1) <= 1 << 16 else np.int32
        settings = f"{FORMAT} {self.pad} {np.dtype(self.dtype)} "
        self.key = hashlib.sha256(settings.encode() + self.backend.to_str().encode()).hexdigest()

    @cached_property
    def largest(self) -> int:
        """The largest id of a token."""
        return max(self.pad, *self.backend.get_vocab(with_added_tokens=True).values())

    def __call__(self, texts: Sequence[str], progress: Progress | None = None) -> TokenRows:
        """Rows of these texts. `progress` is called with (texts done, texts in all).

        DataError if the folder cannot be written.
        """
        packed = Texts.pack(texts)  # also replaces characters that tokenizers refuse
        if len(packed) <= FEW:
            parts = list(self._blocks(packed, progress))
            ids = np.concatenate([ids for ids, _ in parts])
            return TokenRows(ids, offsets_of([lengths for _, lengths in parts]), self.pad)
        key = hashlib.sha256(f"{self.key} {texts_hash(packed)}".encode()).hexdigest()[:32]

        def build(writer: Writer) -> dict[str, object]:
            lengths: list[NDArray[np.int64]] = []

            def parts() -> Iterator[NDArray[Any]]:
                for ids, block_lengths in self._blocks(packed, progress):
                    lengths.append(block_lengths)
                    yield ids

            writer.save_parts("ids", parts())
            writer.save("offsets", offsets_of(lengths))
            return {}

        def read(stored: Stored) -> TokenRows:
            ids, offsets = stored.arrays["ids"], stored.arrays["offsets"]
            if ids.dtype != self.dtype or offsets.dtype != np.int64 or ids.ndim != 1 or len(offsets) != len(packed) + 1:
                raise ValueError("arrays of other types or lengths")
            rows = TokenRows(ids, offsets, self.pad)
            if stored.unchecked and (ids.min() < 0 or ids.max() > self.largest or rows.lengths.min() < 1):
                raise ValueError("token ids or offsets are out of range")
            return rows

        with using_encoders():
            return open_or_build(home() / "tokens" / key, key, build, read, "tokenised")

    def _blocks(
        self, texts: Sequence[str], progress: Progress | None
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
        """(ids, lengths) of `BLOCK` texts at a time; at least one block, so that there is a dtype."""
        for start in range(0, max(len(texts), 1), BLOCK):
            block = list(texts[start : start + BLOCK])
            # Without special tokens an empty text would be an empty row, which has no embedding.
            rows = [encoding.ids or [self.pad] for encoding in self.backend.encode_batch_fast(block)]
            lengths = np.array([len(row) for row in rows], np.int64)
            yield np.array([token for row in rows for token in row], self.dtype), lengths
            if progress is not None:
                progress(start + len(block), len(texts))


def offsets_of(lengths: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """(n + 1,) int64 from parts of lengths."""
    return np.concatenate([[0], np.cumsum(np.concatenate(lengths), dtype=np.int64)])


def texts_hash(texts: Sequence[str]) -> str:
    """Hex sha256 of texts in order, the same for a list and for texts on disk."""
    packed = Texts.pack(texts)
    digest = hashlib.sha256(np.ascontiguousarray(packed.offsets, "<i8").tobytes())
    for start in range(0, len(packed.blob), 1 << 26):
        digest.update(np.ascontiguousarray(packed.blob[start : start + (1 << 26)]).data)
    return digest.hexdigest()
