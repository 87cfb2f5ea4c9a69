"""Folders for downloads, parsed data sets and imports."""

from __future__ import annotations

import os
from pathlib import Path

from xmcbench.errors import UsageError
from xmcbench.files import user_path


def home() -> Path:
    """`XMCBENCH_HOME`, or else the platform's cache folder for xmcbench; the folder is not created.

    Raises UsageError: there is no such folder for an unknown user.
    """
    override = folder_in("XMCBENCH_HOME")
    if override:
        return override
    import platformdirs

    folder = Path(platformdirs.user_cache_dir("xmcbench", appauthor=False))
    if not folder.is_absolute():  # platformdirs leaves a ~ that it can't expand
        raise UsageError(f"no home folder is known for this user, so {folder} can't be used", "Set XMCBENCH_HOME.")
    return folder


def folder_in(variable: str) -> Path | None:
    """The absolute path in an environment variable, or None if that is unset or empty.

    Raises UsageError: it begins with the `~` of an unknown user.
    """
    text = os.environ.get(variable)
    return user_path(text, f"{variable}=").absolute() if text else None


def imported() -> Path:
    """The folder of `xmcbench data import`, with one subfolder per data set."""
    return home() / "imported"
