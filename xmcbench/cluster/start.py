"""Connect to the cluster that a command names."""

from __future__ import annotations

from pathlib import Path

from xmcbench.cluster.engine import Engine
from xmcbench.errors import UsageError, install_extra

EXTRAS = {"ray": "ray", "slurm": "submitit"}  # what `--on` names → the extra that it needs


def engine(on: str, address: str | None, results: Path) -> Engine:
    """The engine that executes the tasks of a plan.

    Parameters
    ----------
    on : "ray" or "slurm". address : of a Ray cluster; None starts Ray on this machine. results : the results folder.

    Raises
    ------
    UsageError : unknown name, a package is not installed, an address for Slurm, or no cluster can be used.
    """
    if on not in EXTRAS:
        raise UsageError(f"--on {on!r} is no kind of cluster", f"Valid: {', '.join(EXTRAS)}.")
    if address is not None and on != "ray":
        raise UsageError("--address is the address of a Ray cluster", "Leave it out; Slurm has its own settings.")
    try:
        if on == "ray":
            from xmcbench.cluster.ray_engine import RayEngine

            return RayEngine(address)
        from xmcbench.cluster.slurm_engine import SlurmEngine

        return SlurmEngine(results)
    except ImportError as error:
        extra = EXTRAS[on]
        raise UsageError(f"{extra} is not installed", f"Install the extra `{extra}`: {install_extra(extra)}") from error
