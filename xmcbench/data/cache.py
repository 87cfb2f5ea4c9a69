"""Cache of parsed data sets: one folder of arrays (`xmcbench.data.arrays`) per view.

    HOME/parsed/NAME/VIEW-KEY/   meta.json  train.labels.indptr.npy  …  label_texts.blob.npy  label_texts.offsets.npy

KEY is a hash of the inputs of the parse (source files, recipe, view).
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

FORMAT = 1  # version of the folder layout; raise it when an older reader would misread a newer folder


@dataclass(frozen=True)
class Cached:
    """A parsed data set opened from disk: its content, content hash and folder."""

    parsed: Parsed
    content_hash: str
    folder: Path


def key_of(parts: Mapping[str, Any]) -> str:
    """16 hex digits: hash of the canonical JSON of everything that a parse depends on."""
    text = json.dumps({**parts, "cache format": FORMAT}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder_of(name: str, view: str, key: str) -> Path:
    """The folder of the parsed view with that key; it may not exist yet."""
    return home() / "parsed" / name / f"{view}-{key}"


def open_or_build(folder: Path, key: str, build: Callable[[], Parsed]) -> Cached:
    """Open the parsed data set in `folder`. `build` parses it if the folder is missing or damaged, in one process only.

    Raises
    ------
    DataError : the cache folder can't be written. Errors of `build` are passed on.
    """
    return open_or_build_arrays(
        folder, key, lambda writer: _save(writer, build()), lambda stored: _read(stored, folder), "parsed"
    )


def _save(writer: Writer, parsed: Parsed) -> dict[str, Any]:
    """Save all arrays and return the facts for `meta.json`. One loop saves and hashes, so each array is made once."""
    digest = ContentHash(shapes(parsed))
    for name, array in arrays(parsed):
        writer.save(name, array)
        digest.add(name, array)
    return {"content_hash": digest.text(), "shapes": shapes(parsed), "extra": dict(parsed.extra)}


def _read(stored: Stored, folder: Path) -> Cached:
    facts = stored.facts
    return Cached(assemble(stored.arrays, facts["shapes"], facts["extra"]), facts["content_hash"], folder)
