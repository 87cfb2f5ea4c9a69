"""`xmcbench doctor`: check the installation."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from xmcbench.cli.options import RESULTS, AsJson, Results
from xmcbench.cli.terminal import print_check

PROBE = """
import sys
from xmcbench.runs import registry
from xmcbench.errors import XmcError
try:
    registry.get(sys.argv[1])
except XmcError as error:
    sys.exit(error.message)
"""
PATIENCE = 120.0  # time limit of an import in seconds; torch is slow to load from a cold disk
MIN_FREE_BYTES = 2 << 30  # larger data sets need more, which `data fetch` checks


@dataclass(frozen=True)
class Check:
    """One result; `ok` is None for plain information."""

    name: str
    ok: bool | None
    detail: str


def doctor(
    full: Annotated[bool, typer.Option("--full", help="Also import torch and look for a GPU.")] = False,
    warm: Annotated[
        bool, typer.Option("--warm", help="Also compile the kernels of all methods, for later runs.")
    ] = False,
    results: Results = RESULTS,
    as_json: AsJson = False,
) -> None:
    """Check versions, machine, folders, imported data and plugins.

    Each file of an imported data set is read and compared with its hash at import. Each plugin is imported in a
    separate process. Exit code 1 if a problem was found.
    """
    if warm:
        from xmcbench.cli.warming import warm as compile_kernels

        compile_kernels()
    of_home = [*_leftovers(results), *_imports()] if _home_fault() is None else []
    checks = [*_versions(), *_machine(full), *_folders(), *of_home, *_plugins(), *_peers()]
    problems = sum(check.ok is False for check in checks)
    if as_json:
        typer.echo(json.dumps({"problems": problems, "checks": [vars(check) for check in checks]}, indent=1))
    else:
        for check in checks:
            print_check(check.ok, f"{check.name}: {check.detail}")
        typer.echo(f"{problems} problem{'' if problems == 1 else 's'} found")
    if problems:
        raise typer.Exit(1)


def _versions() -> list[Check]:
    import xmcbench
    from xmcbench.runs.provenance import code_state, versions

    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    state = code_state()
    commit = f", commit {state['commit'][:12]}{' with changes' if state['dirty'] else ''}" if state["commit"] else ""
    return [
        Check("python", supported, platform.python_version() + ("" if supported else "; 3.11 to 3.13 are supported")),
        Check("xmcbench", None, f"{xmcbench.__version__} in {Path(xmcbench.__file__).parent}{commit}"),
        Check("libraries", None, ", ".join(f"{name} {version}" for name, version in versions().items())),
        _dependencies(),
    ]


def _dependencies() -> Check:
    """Whether all required distributions are installed; pip has checked their versions."""
    from importlib.metadata import PackageNotFoundError, distributions, requires

    try:
        requirements = requires("xmcbench") or []
    except PackageNotFoundError:
        return Check(
            "dependencies",
            False,
            "xmcbench is imported from a folder, not installed; in its checkout: pip install -e .",
        )
    names = [re.split(r"[^A-Za-z0-9._-]", text)[0] for text in requirements if "extra ==" not in text]
    missing = [name for name in names if not any(distributions(name=name))]
    detail = f"missing: {', '.join(missing)}" if missing else f"all {len(names)} installed"
    return Check("dependencies", not missing, detail)


def _machine(full: bool) -> list[Check]:
    from xmcbench.amounts import size
    from xmcbench.memory import available, capacity
    from xmcbench.runs.provenance import describe, hardware

    memory = f"{size(available())} of {size(capacity())} are free for a run"
    detail = "not checked; --full imports torch and checks"
    if full:
        import torch

        gpu = hardware()["gpu"]
        detail = f"{gpu['name']}, CUDA {gpu['cuda']}" if gpu else f"torch {torch.__version__} sees no GPU"
    machine = Check("machine", None, describe(hardware(), "cpu"))
    return [machine, Check("memory", None, memory), Check("gpu", None, detail)]


def _folders() -> list[Check]:
    from xmcbench.data.home import home
    from xmcbench.data.ledger import damage
    from xmcbench.data.places import mirror
    from xmcbench.errors import UsageError

    try:
        folder = mirror()
        none = "none; XMCBENCH_MIRROR may name a folder of already downloaded files"
        found = Check("mirror", True if folder else None, str(folder or none))
    except UsageError as error:
        found = Check("mirror", False, str(error))
    if (fault := _home_fault()) is not None:
        return [fault, found, _numba_cache()]
    existing = next(path for path in (home(), *home().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    return [
        _writable("home folder", home(), "Set XMCBENCH_HOME to a folder you may write to."),
        Check("free disk", free >= MIN_FREE_BYTES, f"{free / (1 << 30):.1f} GiB at {existing}"),
        found,
        Check("recorded hashes", not damage(), damage() or "hashes of first downloads: none is lost"),
        _numba_cache(),
    ]


def _home_fault() -> Check | None:
    from xmcbench.data.home import home
    from xmcbench.errors import DataError

    try:
        home()
    except DataError as error:
        return Check("home folder", False, str(error))
    return None


def _leftovers(results: Path) -> list[Check]:
    """How much killed processes left in the home folder and in a results folder; nothing is removed."""
    from xmcbench.data.home import folders, home
    from xmcbench.errors import counted
    from xmcbench.files import abandoned
    from xmcbench.records import leftovers

    in_home = [path for folder in folders() for path in abandoned(folder)]
    return [
        Check("left by killed processes", None, f"{folder}: {counted(len(paths), 'unfinished file')}; {then}")
        for folder, paths, then in (
            (home(), in_home, "the next import, download or run removes them"),
            (results, leftovers.abandoned(results), "the next run, merge or score --as removes them"),
        )
        if paths
    ]


def _imports() -> list[Check]:
    """Whether the files of every imported data set are those that were imported."""
    from xmcbench.data.home import reading
    from xmcbench.data.imported import find_imported, imported_names
    from xmcbench.data.inventory import imported_states
    from xmcbench.errors import DataError

    checks = []
    for name in imported_names():
        try:
            with reading(name):
                found = find_imported(name)
                problems = dict.fromkeys(state.problem for state in imported_states(found, verify=True) if not state.ok)
        except DataError as error:
            checks.append(Check(f"data set {name}", False, str(error)))
            continue
        detail = "\n".join(problems) or f"{found.folder}, revision {found.revision}"
        checks.append(Check(f"data set {name}", not problems, detail))
    return checks


def _numba_cache() -> Check:
    """Whether numba can cache compiled kernels: next to the source, else in the user's cache folder."""
    import platformdirs

    import xmcbench

    configured = os.environ.get("NUMBA_CACHE_DIR")
    next_to_source = Path(xmcbench.__file__).parent / "sparse" / "__pycache__"
    of_user = platformdirs.user_cache_path("numba", appauthor=False)
    folders = [Path(configured)] if configured else [next_to_source, of_user]
    hint = "Set NUMBA_CACHE_DIR to a folder you may write to, or every start compiles the kernels again."
    checks = [_writable("kernel cache", folder, hint) for folder in folders]
    return next((check for check in checks if check.ok), checks[0])


def _writable(name: str, folder: Path, hint: str) -> Check:
    """Whether a folder is writable or, if it doesn't exist, its nearest existing parent."""
    existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"x")
    except OSError as error:
        return Check(name, False, f"{folder}: can't write to {existing} ({error.strerror})\n{hint}")
    return Check(name, True, str(folder) + ("" if existing == folder else " (will be created)"))


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
    """Installed versions of peers; a missing peer is not a problem."""
    from xmcbench.peers.packages import PEERS, installed

    found = {name: (peer.distribution, installed(name)) for name, peer in PEERS.items()}
    return [Check(f"peer {name}", None, f"{d} {v}" if v else "not installed") for name, (d, v) in found.items()]


def probe(name: str) -> str:
    """The reason why a method can't be imported, or "". A child process imports it, since the import may crash."""
    command = [sys.executable, "-P", "-c", PROBE, name]  # -P: no module of the current folder
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, errors="replace")
    except subprocess.TimeoutExpired:
        return f"its import takes more than {PATIENCE:.0f} s"
    if process.returncode == 0:
        return ""
    output = process.stderr.strip()
    if process.returncode < 0:
        return f"its import ends the process with signal {-process.returncode}: {output[-500:]}"
    return output[-2000:] or f"its import ends the process with exit code {process.returncode}"
