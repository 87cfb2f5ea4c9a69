"""A separate virtual environment for PECOS in the home folder: PECOS needs numpy < 2, xmcbench needs a newer one.

A virtual environment can't be moved, so it is created in place; a marker file written last shows that it is complete.
Without the marker it is created again from scratch. A lock allows one process at a time to create or remove it.
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
from xmcbench.errors import DataError, XmcError, cannot_write
from xmcbench.files import write_json
from xmcbench.locks import locked
from xmcbench.peers.packages import PEERS

MARK = "xmcbench.json"
# Installed first: given a range, pip would download gigabytes of CUDA libraries that PECOS never uses.
TORCH = "torch==2.13.0"
PACKAGES = (f"libpecos=={PEERS['pecos'].version}", "numpy<2", "scipy<1.14")
Say = Callable[[str], None]


def folder() -> Path:
    """The folder of the environment, whether it exists or not."""
    return home() / "peers" / "pecos"


def python() -> Path:
    """The Python interpreter of the environment."""
    return folder() / "bin" / "python"


def ready() -> str | None:
    """The installed version of PECOS, or None if the environment is missing or incomplete."""
    try:
        version = json.loads((folder() / MARK).read_text(encoding="utf-8"))["libpecos"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(version) if python().exists() else None


def install(say: Say) -> bool:
    """Create the environment unless it has the required version; return whether it was created.

    XmcError if a step failed, with its output; DataError if the home folder can't be written.
    """
    target, required = folder(), PEERS["pecos"].version
    try:
        with locked(target.with_name(f"{target.name}.lock")):
            if ready() == required:
                return False
            shutil.rmtree(target, ignore_errors=True)
            say(f"virtual environment in {target}")
            _do([sys.executable, "-m", "venv", str(target)])
            pip = [str(python()), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            for packages in ((TORCH,), (TORCH, *PACKAGES)):
                say(f"pip install {' '.join(packages)}")
                _do([*pip, *packages])
            _do([str(python()), "-c", "import pecos.xmc.xlinear.model"])
            write_json(target / MARK, {"libpecos": required})
    except OSError as error:
        raise cannot_write(target, error) from error
    return True


def remove() -> bool:
    """Delete the environment; return whether it existed."""
    target = folder()
    if not target.exists():
        return False
    try:
        with locked(target.with_name(f"{target.name}.lock")):
            (target / MARK).unlink(missing_ok=True)  # first, so that a partly removed environment is not used
            shutil.rmtree(target)
    except OSError as error:
        raise DataError(f"{target}: can't be removed ({error.strerror})") from error
    return True


def _do(command: list[str]) -> None:
    """Run a step without variables that would redirect it; pip's index configuration still applies."""
    removed = ("PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_TARGET", "PIP_USER", "PYTHONPATH", "PYTHONHOME")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    if process.returncode:
        output = (process.stderr.strip() or process.stdout.strip())[-2000:]
        arguments = " ".join(command[1:])
        raise XmcError(
            f"`python {arguments}` failed:\n{output}", "The incomplete environment is not used; run the command again."
        )
