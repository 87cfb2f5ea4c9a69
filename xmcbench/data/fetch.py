"""From a catalogue entry to files on disk: found, unpacked or downloaded, and checked."""

from __future__ import annotations

from pathlib import Path

from xmcbench.data.catalogue import Entry
from xmcbench.data.home import home


def folder(entry: Entry) -> Path:
    """Where downloads of this entry lie, and where a user puts own copies."""
    return home() / "downloads" / entry.name
