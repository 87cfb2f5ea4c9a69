"""Parsed data sets on disk: one folder of arrays a view (`xmcbench.data.arrays`), parsed once by whoever comes first.

    HOME/parsed/NAME/VIEW-KEY/   meta.json  train.labels.indptr.npy  …  label_texts.blob.npy  label_texts.offsets.npy

KEY is a hash of what goes into the parse (source files, recipe, view).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcbench.data.arrays import Stored, Writer
from xmcbench.data.arrays import open_or_build as open_or_build_arrays
from xmcbench.data.home import home
from xmcbench.data.packing import ContentHash, arrays, assemble, shapes
from xmcbench.data.recipes import Parsed

FORMAT = 1  # of the folder; raise it when an older reader would misread a newer folder


@dataclass(frozen=True)
class Cached:
    """A parse opened from disk: the rows, their hash, and the folder they lie in."""

    parsed: Parsed
    content_hash: str
    folder: Path


def key_of(parts: Mapping[str, Any]) -> str:
    """16 hex digits of the canonical JSON of all that a parse depends on."""
    text = json.dumps({**parts, "cache format": FORMAT}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder_of(name: str, view: str, key: str) -> Path:
    """Where the parse of that key lies, or will lie."""
    return home() / "parsed" / name / f"{view}-{key}"


def open_or_build(folder: Path, key: str, build: Callable[[], Parsed]) -> Cached:
    """The parse in `folder`, made by `build` if it isn't there or is damaged. Two processes parse once.

    Raises
    ------
    DataError : the cache folder can't be written; or whatever `build` raises.
    """
    return open_or_build_arrays(
        folder, key, lambda writer: _fill(writer, build()), lambda stored: _read(stored, folder), "parsed"
    )


def _fill(writer: Writer, parsed: Parsed) -> dict[str, Any]:
    """All arrays of one parse; the content hash is taken on the way, so that each array is made once."""
    digest = ContentHash(shapes(parsed))
    for name, array in arrays(parsed):
        writer.save(name, array)
        digest.add(name, array)
    return {"content_hash": digest.text(), "shapes": shapes(parsed), "extra": dict(parsed.extra)}


def _read(stored: Stored, folder: Path) -> Cached:
    facts = stored.facts
    return Cached(assemble(stored.arrays, facts["shapes"], facts["extra"]), facts["content_hash"], folder)
