"""Provenance of a result: machine, system, libraries, threads, and the state of the source tree."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

import xmcbench
from xmcbench.escaping import plain_text
from xmcbench.runs.machine import available_cores

LIBRARIES = (
    *("numpy", "scipy", "numba", "llvmlite", "scikit-learn", "torch", "transformers", "safetensors", "triton"),
    *("omikuji", "napkinxc", "libpecos", "hnswlib", "faiss-cpu", "pyxclib"),
)
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "NUMBA_THREADING_LAYER"),
    *("MKL_CBWR", "OMP_WAIT_POLICY", "VECLIB_MAXIMUM_THREADS", "TOKENIZERS_PARALLELISM", "CUDA_VISIBLE_DEVICES"),
)


class CodeState(TypedDict):
    """Version and, if xmcbench runs from a git checkout, commit and whether tracked files were changed."""

    version: str
    commit: str | None
    dirty: bool | None


def environment(threads: int, device: str) -> dict[str, object]:
    """Facts needed to judge times and to reproduce the scores of a run with so many threads on "cpu" or "cuda".

    They are JSON-serialisable, and None where unknown. Raises nothing.
    """
    from threadpoolctl import threadpool_info

    machine = hardware()
    keys = ("user_api", "internal_api", "num_threads", "version", "threading_layer", "architecture")  # no paths
    return {
        "machine_class": {"scores": device, "costs": describe(machine, device)},
        "hardware": machine,
        "device": device,
        "os": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {"xmcbench": xmcbench.__version__, **versions()},
        "threads": {
            "given": threads,
            "variables": {name: plain_text(os.environ[name]) for name in THREAD_VARIABLES if name in os.environ},
            "pools": [{key: pool[key] for key in keys if key in pool} for pool in threadpool_info()],
        },
    }


def describe(machine: Mapping[str, Any], device: str) -> str:
    """Describe the machine in one line; costs are only compared between runs with equal lines.

    Memory is rounded to 4 GiB, since machines of the same model report slightly different sizes.
    """
    memory = machine["memory_bytes"]
    parts = [
        machine["cpu"] or "unknown cpu",
        f"{machine['cores_available']} cores",
        "unknown memory" if memory is None else f"{4 * round(memory / (4 << 30))} GiB",
    ]
    return ", ".join([*parts, machine["gpu"]["name"]] if device == "cuda" and machine["gpu"] else parts)


def hardware() -> Mapping[str, Any]:
    """CPU model, cores (in total and available to this process), bytes of memory, and GPU if torch is imported."""
    import psutil

    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_available": available_cores(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "gpu": gpu(),
    }


def gpu() -> Mapping[str, Any] | None:
    """Name, memory, count and CUDA version of the GPU; None if torch isn't imported or sees no GPU."""
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
    """Versions of the installed libraries in `LIBRARIES`, read from metadata without importing them."""
    by_name = {}
    for name in LIBRARIES:
        with suppress(Exception):  # not installed, or its metadata is damaged
            by_name[name] = str(importlib.metadata.version(name))
    return by_name


@functools.cache
def code_state() -> CodeState:
    """The state of the source tree; unknown values are None, and git has a time limit of two seconds."""
    root = Path(xmcbench.__file__).resolve().parents[1]
    state: CodeState = {"version": xmcbench.__version__, "commit": None, "dirty": None}
    if not (root / ".git").exists() or not (root / "pyproject.toml").is_file():
        return state  # an installed copy; a repository around it would be another project's
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {**state, "commit": commit or None, "dirty": None if changes is None else bool(changes)}


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        process = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=2, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return process.stdout.strip()


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or None
