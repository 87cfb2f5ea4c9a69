"""Where a result comes from: machine, system, libraries, threads, and the state of this source tree."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import xmcbench
from xmcbench.runs.machine import available_cores

LIBRARIES = (
    *("numpy", "scipy", "numba", "llvmlite", "scikit-learn", "torch", "transformers", "safetensors", "triton"),
    *("omikuji", "napkinxc", "libpecos", "hnswlib", "faiss-cpu", "pyxclib"),
)
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER"),
    *("OMP_WAIT_POLICY", "VECLIB_MAXIMUM_THREADS", "TOKENIZERS_PARALLELISM", "CUDA_VISIBLE_DEVICES"),
)


def environment(threads: int, device: str) -> dict[str, Any]:
    """All a reader needs to judge times and to repeat scores; JSON-able, unknown is None, and nothing in it fails.

    Parameters
    ----------
    threads : how many the run was given.
    device : "cpu" or "cuda".
    """
    machine = hardware()
    return {
        "machine_class": {"scores": device, "costs": describe(machine, device)},
        "hardware": machine,
        "device": device,
        "os": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {"xmcbench": xmcbench.__version__, **versions()},
        "threads": {"given": threads, "variables": thread_variables(), "pools": thread_pools()},
    }


def describe(machine: dict[str, Any], device: str) -> str:
    """One line; costs are compared only between runs whose lines are equal. Memory is rounded to 4 GiB, for machines
    of one make report a little more or less.
    """
    memory = machine["memory_bytes"]
    parts = [
        machine["cpu"] or "unknown cpu",
        f"{machine['cores_available']} cores",
        "unknown memory" if memory is None else f"{4 * round(memory / (4 << 30))} GiB",
    ]
    return ", ".join([*parts, machine["gpu"]["name"]] if device == "cuda" and machine["gpu"] else parts)


def hardware() -> dict[str, Any]:
    """CPU model, cores (of the machine, and those this process may use), bytes of memory, GPU if torch is in use."""
    import psutil

    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_available": available_cores(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "gpu": gpu(),
    }


def gpu() -> dict[str, Any] | None:
    """Name, bytes, driver and count of CUDA devices; None where torch isn't imported or sees none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    device = torch.cuda.get_device_properties(0)
    return {
        "name": device.name,
        "memory_bytes": int(device.total_memory),
        "count": torch.cuda.device_count(),
        "cuda": torch.version.cuda,
        "capability": f"{device.major}.{device.minor}",
    }


def versions() -> dict[str, str]:
    """Versions of those libraries in `LIBRARIES` that are installed, from their metadata: nothing is imported."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def thread_variables() -> dict[str, str]:
    """Environment variables that set thread numbers or choose devices, those that are set."""
    return {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}


def thread_pools() -> list[dict[str, Any]]:
    """BLAS and OpenMP libraries in this process, with their thread numbers and versions, without their paths."""
    from threadpoolctl import threadpool_info

    keys = ("user_api", "internal_api", "num_threads", "version", "threading_layer", "architecture")
    return [{key: pool[key] for key in keys if key in pool} for pool in threadpool_info()]


@functools.cache
def code_state() -> dict[str, Any]:
    """Version and, where xmcbench runs from a git checkout, commit and whether tracked files were changed.

    Unknown is None; git gets two seconds.
    """
    root = Path(xmcbench.__file__).resolve().parents[1]
    state: dict[str, Any] = {"version": xmcbench.__version__, "commit": None, "dirty": None}
    if not (root / ".git").exists() or not (root / "pyproject.toml").is_file():
        return state  # an installed copy; a repository it may lie in is somebody else's
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {**state, "commit": commit or None, "dirty": None if changes is None else bool(changes)}


def _git(root: Path, *words: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or None
