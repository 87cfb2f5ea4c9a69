"""Watch what a method must not touch: current, home and temporary folder, standard output and error."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

# Folders of libraries (compiled kernels, worker processes), which outlive a fit by design.
LIBRARIES = (".cache", ".nv", ".triton", "Library", "pymp-*", "torchinductor_*", "joblib_memmapping_folder_*")
PLACES = {"current": "in the current folder", "home": "in the home folder", "temporary": "in the temporary folder"}


@contextlib.contextmanager
def surrounded(folder: Path) -> Iterator[Path]:
    """Move the current, home and temporary folder of this process below `folder`; yield the current one.

    The user's cache folder does not change, so that compiled kernels and downloaded models are reused.
    """
    current, home, temporary = (folder / name for name in PLACES)
    for path in (current, home, temporary):
        path.mkdir()
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    with (
        mock.patch.dict(os.environ, HOME=str(home), XDG_CACHE_HOME=caches, TMPDIR=str(temporary)),
        mock.patch.object(tempfile, "tempdir", None),  # makes tempfile read TMPDIR again
        contextlib.chdir(current),
    ):
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            os.environ.pop(name, None)
        yield current


def strays(folder: Path) -> list[str]:
    """Describe each file or folder in the folders of `surrounded`."""
    return [
        f"{location}: {path.name}"
        for place, location in PLACES.items()
        for path in sorted((folder / place).iterdir())
        if not any(path.match(library) for library in LIBRARIES)
    ]


@contextlib.contextmanager
def captured(folder: Path) -> Iterator[list[str]]:
    """Capture what Python code and native libraries write to standard output and standard error."""
    texts: list[str] = []
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    python, saved = io.StringIO(), (os.dup(1), os.dup(2))
    with open(folder / "printed", "w+b") as native:
        for descriptor in (1, 2):
            os.dup2(native.fileno(), descriptor)
        try:
            with contextlib.redirect_stdout(python), contextlib.redirect_stderr(python):
                yield texts
        finally:
            for descriptor, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)
            native.seek(0)
            texts += [python.getvalue(), native.read().decode(errors="replace")]
