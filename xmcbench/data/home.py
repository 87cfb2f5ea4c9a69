"""Folders for downloads, parsed data sets and imports."""

from __future__ import annotations

import os
from pathlib import Path

from xmcbench.files import sweep


def home() -> Path:
    """`XMCBENCH_HOME`, or else the platform's cache folder for xmcbench; the folder is not created."""
    override = os.environ.get("XMCBENCH_HOME")
    if override:
        return Path(override).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("xmcbench", appauthor=False))


def imported() -> Path:
    """The folder of `xmcbench data import`, with one subfolder per data set."""
    return home() / "imported"


def folders() -> list[Path]:
    """The existing folders in which downloads, parsed data sets, imports and what methods cache are written."""
    parents = [home() / name for name in ("downloads", "parsed")]
    listed = [path for parent in parents if parent.is_dir() for path in sorted(parent.iterdir())]
    written = [home(), *(home() / name for name in ("imported", "tokens", "embeddings", "peers")), *listed]
    return [path for path in written if path.is_dir()]


def sweep_home() -> None:
    """Remove unfinished files of killed processes."""
    for folder in folders():
        sweep(folder)
