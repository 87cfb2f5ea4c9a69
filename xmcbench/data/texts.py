"""A sequence of strings stored as one utf-8 blob and int64 offsets, which may be memory-mapped."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 22  # bytes decoded at once


class Texts(Sequence[str]):
    """n strings in a blob that may stay on disk; a string is decoded on access.

    Parameters
    ----------
    blob : (bytes,) uint8, utf-8.
    offsets : (n + 1,) int64 positions in `blob`; text i is `blob[offsets[i]:offsets[i + 1]]`.
    """

    def __init__(self, blob: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.blob = blob
        self.offsets = offsets

    @classmethod
    def pack(cls, texts: Iterable[str]) -> Texts:
        """Pack strings in memory. A lone surrogate, which utf-8 cannot encode, becomes "?"."""
        if isinstance(texts, Texts):
            start, stop = int(texts.offsets[0]), int(texts.offsets[-1])
            return cls(texts.blob[start:stop], texts.offsets - start)
        blob, offsets = bytearray(), [0]
        for text in texts:
            blob += text.encode("utf-8", "replace")
            offsets.append(len(blob))
        return cls(np.frombuffer(blob, np.uint8), np.array(offsets, np.int64))

    def problem(self) -> str:
        """What is wrong with the offsets, or that a text is not utf-8; "" if nothing is."""
        ends, length = self.offsets, len(self.blob)
        if len(ends) == 0 or ends[0] < 0 or ends[-1] > length or (ends[1:] < ends[:-1]).any():
            return "the offsets do not fit the texts"
        if (self.blob[ends[ends < length]] & 0b11000000 == 0b10000000).any():
            return "a text starts within a character"
        decoder = codecs.getincrementaldecoder("utf-8")()
        end = int(ends[-1])
        for start in range(int(ends[0]), end, BLOCK):
            stop = min(start + BLOCK, end)
            try:
                decoder.decode(self.blob[start:stop].tobytes(), final=stop == end)
            except UnicodeDecodeError:
                return "a text is not utf-8"
        return ""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, which: int) -> str: ...
    @overload
    def __getitem__(self, which: slice) -> Sequence[str]: ...
    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            start, stop, step = which.indices(len(self))
            if step == 1:
                return Texts(self.blob, self.offsets[start : max(start, stop) + 1])
            return [self[i] for i in range(start, stop, step)]
        row = which.__index__()
        if row < 0:
            row += len(self)
        if not 0 <= row < len(self):
            raise IndexError(f"text {which} of {len(self)}")
        return self._read(row, row + 1)[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), 1024):  # read the blob in blocks
            yield from self._read(start, min(start + 1024, len(self)))

    def __repr__(self) -> str:
        return f"<{len(self)} texts, {int(self.offsets[-1] - self.offsets[0])} bytes>"

    def _read(self, start: int, stop: int) -> list[str]:
        ends = self.offsets[start : stop + 1].tolist()
        raw = self.blob[ends[0] : ends[-1]].tobytes()
        return [raw[a - ends[0] : b - ends[0]].decode() for a, b in pairwise(ends)]
