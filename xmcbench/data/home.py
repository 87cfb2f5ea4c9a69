"""Where xmcbench keeps what it downloads, parses and imports."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """`XMCBENCH_HOME`, else the platform's cache folder for xmcbench; nothing is created."""
    said = os.environ.get("XMCBENCH_HOME")
    if said:
        return Path(said).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("xmcbench", appauthor=False))


def imported() -> Path:
    """Where `xmcbench data import` puts data sets, one folder each."""
    return home() / "imported"
