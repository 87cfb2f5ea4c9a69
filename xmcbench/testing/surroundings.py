"""What a method must leave alone while it works: current folder, home, temporary folder, standard output."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Folders of libraries (compiled kernels, worker processes) that outlive a fit by design and are no method's doing.
LIBRARIES = (".cache", ".nv", ".triton", "Library", "pymp-*", "torchinductor_*", "joblib_memmapping_folder_*")
PLACES = {"current": "in the current folder", "home": "in the home folder", "temporary": "in the temporary folder"}


@contextlib.contextmanager
def surrounded(folder: Path) -> Iterator[Path]:
    """Put current, home and temporary folder of this process below `folder` for a while; gives the current one.

    The user's caches stay where they are: kernels compiled and models downloaded before are found.
    """
    current, home, temporary = (folder / name for name in PLACES)
    for path in (current, home, temporary):
        path.mkdir()
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    said = {"HOME": str(home), "XDG_CACHE_HOME": caches, "TMPDIR": str(temporary)}
    unsaid = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    before = {name: os.environ.get(name) for name in (*said, *unsaid)}
    old, tempdir = Path.cwd(), tempfile.tempdir
    os.environ.update(said)
    for name in unsaid:
        os.environ.pop(name, None)
    tempfile.tempdir = None  # read TMPDIR again
    os.chdir(current)
    try:
        yield current
    finally:
        os.chdir(old)
        tempfile.tempdir = tempdir
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def strays(folder: Path) -> list[str]:
    """What lies in the folders of `surrounded`, in words."""
    return [
        f"{words}: {path.name}"
        for place, words in PLACES.items()
        for path in sorted((folder / place).iterdir())
        if not any(path.match(library) for library in LIBRARIES)
    ]


@contextlib.contextmanager
def captured(folder: Path) -> Iterator[list[str]]:
    """Collect what Python code and native libraries write to standard output and standard error."""
    said: list[str] = []
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    python, saved = io.StringIO(), (os.dup(1), os.dup(2))
    with open(folder / "printed", "w+b") as native:
        for number in (1, 2):
            os.dup2(native.fileno(), number)
        try:
            with contextlib.redirect_stdout(python), contextlib.redirect_stderr(python):
                yield said
        finally:
            for number, old in zip((1, 2), saved, strict=True):
                os.dup2(old, number)
                os.close(old)
            native.seek(0)
            said += [python.getvalue(), native.read().decode(errors="replace")]
