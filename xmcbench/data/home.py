"""Folders for downloads, parsed data sets and imports."""

from __future__ import annotations

import os
from pathlib import Path


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
