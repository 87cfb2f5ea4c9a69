"""Whether several processes are about to do the same: versions, code, data, methods, parameters and seeds."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xmcbench.errors import UsageError, XmcError, counted
from xmcbench.escaping import plain_text
from xmcbench.processes import Ranks
from xmcbench.runs import registry
from xmcbench.runs.provenance import code_state, versions

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.runs.spec import DataKey, RunSpec

SAME = ("torch", "numpy", "numba")  # libraries whose versions decide on the last bits of results
BASELINE = "floor"  # family of what is run beside the methods that the user named, by rank 0


def refuse_undivided(plan: Sequence[RunSpec], ranks: Ranks | None) -> None:
    """Raise UsageError if the plan has a method that several processes, if there are any, can't train together."""
    if ranks is None:
        return
    undivided = [spec.info.name for spec in plan if not spec.info.processes and spec.info.family != BASELINE]
    if undivided:
        names = ", ".join(dict.fromkeys(undivided))
        problem = f"{names}: not trained by several processes, and {ranks.count} were started"
        raise UsageError(problem, "Run it without torchrun.")


@contextmanager
def compared(ranks: Ranks | None) -> Iterator[dict[str, str]]:
    """The block fills in the facts of this process, which are then compared with those of the others.

    What the block raises in one process is raised by rank 0. See `agree`; nothing is compared without other processes.
    """
    facts: dict[str, str] = {}
    try:
        yield facts
    except XmcError as error:
        if ranks is not None:
            agree(ranks, {}, error)
        raise
    if ranks is not None:
        agree(ranks, facts)


def facts_of(plan: Sequence[RunSpec], data: Mapping[DataKey, Dataset], device: str) -> dict[str, str]:
    """What must be equal in all processes, each by its name in messages."""
    code, installed = code_state(), versions()
    sources = dict.fromkeys(spec.source for spec in plan)
    return {
        "Python": platform.python_version(),
        "xmcbench": code["version"],
        "commit of xmcbench": str(code["commit"]),
        **{name: installed.get(name, "none") for name in SAME},
        **{f"code of {plain_text(source, 80)}": _text(registry.identity(source)) for source in sources},
        **{f"version of {spec.info.name}": spec.info.version for spec in plan},
        "kind of device": device,
        **{f"data of {name} ({view})": part.content_hash[:16] for (name, view), part in data.items()},
        "seeds": _listed(spec.seed for spec in plan),
        "methods with parameters": _listed(spec.label for spec in plan),
    }


def agree(ranks: Ranks, own: Mapping[str, str], error: Exception | None = None) -> None:
    """Compare the facts of all processes. `error`: what kept this one from having any; rank 0 tells all such errors.

    Raises
    ------
    UsageError : in rank 0, the facts differ.
    XmcError : in rank 0, another process has an error that it has not.
    SystemExit : in other ranks, if there is any error or difference.
    """
    everyone = ranks.exchange({"facts": dict(own), "error": "" if error is None else str(error)})
    failed = [other for other, one in enumerate(everyone) if one["error"]]
    differing = _differences(ranks, [one["facts"] for one in everyone])
    if not failed and not differing:
        return
    if ranks.rank:
        raise SystemExit(0)  # rank 0 has the exit code of all
    if error is not None:
        return  # the caller raises it
    if failed:
        raise XmcError(f"{ranks.name(failed[0])}: {everyone[failed[0]]['error']}")
    hint = "Install the same versions on all nodes, and start all processes with the same command."
    raise UsageError("\n".join(differing), hint)


def _differences(ranks: Ranks, everyone: list[dict[str, str]]) -> list[str]:
    """One sentence for each process that differs from rank 0."""
    sentences, first = [], everyone[0]
    for other, own in enumerate(everyone):
        names = [name for name in {**first, **own} if first.get(name) != own.get(name)]
        if names:
            parts = [f"{name} {own.get(name, 'none')} instead of {first.get(name, 'none')}" for name in names[:3]]
            rest = f" and {counted(len(names) - 3, 'more difference')}" if len(names) > 3 else ""
            sentences.append(f"{ranks.name(other)} differs from {ranks.name(0)}: {'; '.join(parts)}{rest}")
    return sentences


def _listed(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def _text(parts: Mapping[str, str]) -> str:
    return " ".join(parts.values())
