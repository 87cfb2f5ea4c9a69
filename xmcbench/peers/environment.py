"""PECOS's own virtual environment, in the home folder: it wants numpy < 2, which ours can't have.

A virtual environment can't be moved, so it is made in place, and a file written last says that it is whole. Without
that file it is made again from nothing. One process at a time makes or removes it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from xmcbench.data.home import home
from xmcbench.errors import DataError, XmcError
from xmcbench.files import cannot_write, write_json
from xmcbench.peers.packages import PEERS

MARK = "xmcbench.json"
TORCH = "torch==2.13.0"  # first and alone: asked for a range, pip would fetch gigabytes for CUDA that PECOS never uses
PACKAGES = (f"libpecos=={PEERS['pecos'].version}", "numpy<2", "scipy<1.14")
Say = Callable[[str], None]


def folder() -> Path:
    """Where it is or will be."""
    return home() / "peers" / "pecos"


def python() -> Path:
    """Its interpreter."""
    return folder() / "bin" / "python"


def ready() -> str | None:
    """The version of PECOS in it, or None where it isn't whole."""
    try:
        version = json.loads((folder() / MARK).read_text())["libpecos"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(version) if python().exists() else None


def install(say: Say) -> bool:
    """Make the environment, unless it is there in the wanted version; whether anything was done.

    Raises
    ------
    XmcError : a step failed; what it said is in the message.
    DataError : the home folder can't be written.
    """
    from filelock import FileLock

    place, wanted = folder(), PEERS["pecos"].version
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock"):
            if ready() == wanted:
                return False
            shutil.rmtree(place, ignore_errors=True)
            say(f"virtual environment in {place}")
            _do([sys.executable, "-m", "venv", str(place)])
            pip = [str(python()), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            for packages in ((TORCH,), (TORCH, *PACKAGES)):
                say(f"pip install {' '.join(packages)}")
                _do([*pip, *packages])
            _do([str(python()), "-c", "import pecos.xmc.xlinear.model"])
            write_json(place / MARK, {"libpecos": wanted})
    except OSError as error:
        raise cannot_write(place, error) from error
    return True


def remove() -> bool:
    """Delete the environment; whether there was one."""
    from filelock import FileLock

    place = folder()
    if not place.exists():
        return False
    try:
        with FileLock(f"{place}.lock"):
            (place / MARK).unlink(missing_ok=True)  # first: half of it must not look whole
            shutil.rmtree(place)
    except OSError as error:
        raise DataError(f"{place}: can't be removed ({error.strerror})") from error
    return True


def _do(command: list[str]) -> None:
    """Run a step; pip's own configuration says where packages come from, and our pins are not for this place."""
    ours = ("PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_TARGET", "PIP_USER", "PYTHONPATH", "PYTHONHOME")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        shown = " ".join(command[1:])
        raise XmcError(f"`python {shown}` failed:\n{said}", "Nothing half done is used; run the command again.")
