"""`xmcbench doctor`: what works here, what doesn't, and why."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

PROBE = """
import sys
from xmcbench.runs import registry
from xmcbench.errors import XmcError
try:
    registry.get(sys.argv[1])
except XmcError as error:
    sys.exit(error.message)
"""
PATIENCE = 120.0  # seconds an import may take; torch from a cold disk needs some
LEAST_FREE = 2 << 30  # bytes; the larger data sets unpack to more, and say so when they are fetched


@dataclass(frozen=True)
class Check:
    """One thing looked at; `ok` is None where there is nothing to judge."""

    name: str
    ok: bool | None
    detail: str


def doctor(
    full: Annotated[bool, typer.Option("--full", help="Also import torch and look for a GPU.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Check versions, machine, folders and every plugin.

    Each plugin is imported in a process of its own. Exit code 1 if a problem was found.
    """
    from xmcbench.cli.plain import hanging

    checks = [*_versions(), *_machine(full), *_folders(), *_plugins(), *_peers()]
    problems = sum(check.ok is False for check in checks)
    if as_json:
        typer.echo(json.dumps({"problems": problems, "checks": [vars(check) for check in checks]}, indent=1))
    else:
        marks = {True: typer.style("ok     ", fg="green"), None: "       ", False: typer.style("PROBLEM", fg="red")}
        for check in checks:
            first, *more = f"{check.name}: {check.detail}".splitlines()
            typer.echo(f"{marks[check.ok]} {hanging(first, 10)}")
            for line in more:
                typer.echo(" " * 10 + hanging(line, 10))
        typer.echo(f"{problems} problem{'' if problems == 1 else 's'} found")
    if problems:
        raise typer.Exit(1)


def _versions() -> list[Check]:
    import platform

    import xmcbench
    from xmcbench.runs.provenance import code_state, versions

    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    state = code_state()
    commit = f", commit {state['commit'][:12]}{' with changes' if state['dirty'] else ''}" if state["commit"] else ""
    return [
        Check("python", supported, f"{platform.python_version()}{'' if supported else '; 3.11 to 3.13 are supported'}"),
        Check("xmcbench", None, f"{xmcbench.__version__} in {Path(xmcbench.__file__).parent}{commit}"),
        Check("libraries", None, ", ".join(f"{name} {version}" for name, version in versions().items())),
        _dependencies(),
    ]


def _dependencies() -> Check:
    """Whether every distribution xmcbench asks for is installed; the installer has checked their versions."""
    import importlib.metadata
    import re

    try:
        asked = importlib.metadata.requires("xmcbench") or []
    except importlib.metadata.PackageNotFoundError:
        return Check("dependencies", False, "xmcbench isn't installed (only on sys.path): pip install it")
    names = [re.split(r"[^A-Za-z0-9._-]", text)[0] for text in asked if "extra ==" not in text]
    missing = []
    for name in names:
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    return Check(
        "dependencies", not missing, f"missing: {', '.join(missing)}" if missing else f"all {len(names)} there"
    )


def _machine(full: bool) -> list[Check]:
    from xmcbench.runs.provenance import describe, hardware

    gpu = "not looked for; --full imports torch and looks"
    if full:
        import torch

        found = hardware()["gpu"]
        gpu = f"torch {torch.__version__} sees no GPU" if found is None else f"{found['name']}, CUDA {found['cuda']}"
    return [Check("machine", None, describe(hardware(), "cpu")), Check("gpu", None, gpu)]


def _folders() -> list[Check]:
    from xmcbench.data.home import home

    checks = [_writable("home folder", home(), "Set XMCBENCH_HOME to a folder you may write to.")]
    existing = next(path for path in (home(), *home().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    checks.append(Check("free disk", free >= LEAST_FREE, f"{free / (1 << 30):.1f} GiB at {existing}"))
    mirror = os.environ.get("XMCBENCH_MIRROR")
    if not mirror:
        checks.append(Check("mirror", None, "none; XMCBENCH_MIRROR may name a folder of already downloaded files"))
    else:
        found = Path(mirror).expanduser().is_dir()
        checks.append(Check("mirror", found, mirror if found else f"XMCBENCH_MIRROR is {mirror}, which is no folder"))
    return [*checks, _numba_cache()]


def _numba_cache() -> Check:
    """Numba keeps compiled kernels beside the source, else in the user's cache; with neither, each start compiles."""
    import platformdirs

    import xmcbench

    said = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(xmcbench.__file__).parent / "sparse" / "__pycache__"
    places = [Path(said)] if said else [beside, Path(platformdirs.user_cache_dir("numba", appauthor=False))]
    hint = "Set NUMBA_CACHE_DIR to a folder you may write to, else every start compiles the kernels again."
    checks = [_writable("kernel cache", place, hint) for place in places]
    return next((check for check in checks if check.ok), checks[0])


def _writable(name: str, folder: Path, hint: str) -> Check:
    """Whether files can be written into a folder, or where it doesn't exist, into its nearest parent that does."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"x")
    except OSError as error:
        return Check(name, False, f"{folder}: can't write to {existing} ({error.strerror})\n{hint}")
    return Check(name, True, str(folder) + ("" if existing == folder else " (will be made)"))


def _plugins() -> list[Check]:
    from concurrent.futures import ThreadPoolExecutor

    from xmcbench.runs import registry

    with ThreadPoolExecutor(max_workers=4) as pool:
        causes = list(pool.map(probe, registry.sources()))
    checks = []
    for source, cause in zip(registry.sources().values(), causes, strict=True):
        detail = f"{source.target} from {source.origin}"
        checks.append(Check(f"method {source.name}", not cause, f"{detail}\n{cause}" if cause else detail))
    checks += [Check("name clash", False, f"{text}; remove one of them") for text in registry.clashes()]
    return checks + [Check("damaged distribution", False, f"{text}\nReinstall it.") for text in registry.damaged()]


def _peers() -> list[Check]:
    """Nothing is wrong where one isn't there; another version than ours is worth knowing."""
    from xmcbench.peers.packages import PEERS, installed

    found = {name: installed(name) for name in PEERS}
    return [
        Check(f"peer {name}", None, f"{peer.distribution} {found[name]}" if found[name] else "not installed")
        for name, peer in PEERS.items()
    ]


def probe(name: str) -> str:
    """Why the method of that name can't be imported, or "". Tried in a child process, which may crash as it likes."""
    command = [sys.executable, "-c", PROBE, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, errors="replace")
    except subprocess.TimeoutExpired:
        return f"its import takes more than {PATIENCE:.0f} s"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip()
    if done.returncode < 0:
        return f"its import ends the process with signal {-done.returncode}: {said[-500:]}"
    return said[-2000:] or f"its import ends the process with exit code {done.returncode}"
