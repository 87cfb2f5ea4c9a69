"""A plan as tasks for several machines: one task is one fit, with all runs that share it.

Tasks travel as JSON. A node makes the same runs from it with its own code, and refuses the task if that would give
other runs (`xmcbench.cluster.node`).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from xmcbench.errors import UsageError, XmcError
from xmcbench.method import Facts, Machine
from xmcbench.records import record_file
from xmcbench.runs import registry
from xmcbench.runs.footprint import of_run
from xmcbench.runs.job import Options
from xmcbench.runs.provenance import code_state
from xmcbench.runs.selection import Grid
from xmcbench.runs.spec import DataKey, RunSpec

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.records.record import Record

MEMORY = 4 << 30  # bytes that a run requests whose method does not estimate its need


class Resources(NamedTuple):
    """What a task requests of a node: threads (its cores), GPUs, and bytes of memory."""

    threads: int
    gpus: int
    memory: int


class Code(msgspec.Struct, frozen=True):
    """The code that makes a run: versions of Python and xmcbench, its commit if known, the methods' distributions."""

    python: str
    xmcbench: str
    commit: str | None
    origins: dict[str, str]


class RunPart(msgspec.Struct, frozen=True):
    """One run of a task: what `RunSpec` needs beyond the data set, and its expected identity."""

    source: str
    parameters: dict[str, Any]
    seed: int
    k: int
    grid: Grid | None
    spec_hash: str


class Task(msgspec.Struct, frozen=True):
    """One fit and the runs that share it.

    Attributes
    ----------
    number : place in the plan, from 0.
    fit_hash : identity of the fit, which names its folder on a node.
    dataset, view, content_hash : the data, and the content that a node must have.
    options : those of the runs, with the device and the threads that were chosen for this task.
    memory : bytes requested.
    offline : whether data may come from files alone.
    runs : not empty.
    code : what the submitting machine has.
    command : the command line, for the records.
    earlier : records that the runs supersede, file name → JSON.
    """

    number: int
    fit_hash: str
    dataset: str
    view: str | None
    content_hash: str
    options: Options
    memory: int
    offline: bool
    runs: tuple[RunPart, ...]
    code: Code
    command: str
    earlier: dict[str, str] = {}

    @property
    def resources(self) -> Resources:
        """What the task requests of a node."""
        return Resources(self.options.threads, int(self.options.device == "cuda"), self.memory)

    def specs(self) -> list[RunSpec]:
        """The runs, made by the code of this machine.

        A method that can't be imported gives a run that fails for this reason, as in a plan.
        Raises XmcError: the method has other parameters here.
        """
        return [_spec(self, part) for part in self.runs]


def _spec(task: Task, part: RunPart) -> RunSpec:
    try:
        method = registry.get(part.source)
    except XmcError as error:
        method = registry.unusable(part.source, error)
    try:
        params = method.info.parameters(**part.parameters)
    except Exception as error:
        raise XmcError(f"{part.source} can't be made with these parameters: {error}") from error
    return RunSpec(part.source, method, params, task.dataset, task.view, part.seed, part.k, part.grid)


def resources(runs: Sequence[RunSpec], data: Facts, device: str, options: Options) -> Resources:
    """What runs that share a fit request of a node; memory: that of `--memory`, or the largest of their estimates."""
    machine = Machine(options.threads, device)
    try:
        needs = [of_run(run, data, machine) for run in runs]
    except Exception:  # the runs fail for the same reason, and their records tell it
        needs = []
    known = [MEMORY if need is None else need.memory for need in needs]
    memory = options.memory or max(known, default=MEMORY)
    return Resources(options.threads, int(device == "cuda" and "cuda" in runs[0].info.devices), memory)


def device_of(run: RunSpec, requested: str, *, gpus: bool) -> str:
    """The device of a run on a cluster that has GPUs or not; "auto" takes a GPU where the method can use one.

    The submitting machine need not have the GPU that its runs use.
    Raises UsageError: cuda was requested and the cluster has no GPU.
    """
    if requested == "cuda" and not gpus:
        raise UsageError("--device cuda: no node of the cluster has a GPU", "Leave out --device, or add such a node.")
    return "cuda" if requested != "cpu" and gpus and "cuda" in run.info.devices else "cpu"


class Group(NamedTuple):
    """The runs of a plan that share a fit: its place in the plan, its identity, and the device of its runs."""

    number: int
    fit_hash: str
    device: str
    specs: tuple[RunSpec, ...]


def groups_of(plan: Sequence[RunSpec], data: Mapping[DataKey, Dataset], requested: str, *, gpus: bool) -> list[Group]:
    """The fits of a plan in its order; `requested` is the kind of device, `gpus` whether the cluster has any.

    Raises UsageError: a method is a class in a file, which nodes do not have; or as `device_of`.
    """
    groups: dict[tuple[DataKey, str], list[RunSpec]] = {}
    devices = {}
    for spec in plan:
        if registry.is_in_a_file(spec.source):
            hint = "Make it a distribution, and install it on every node: `xmcbench new method NAME`."
            raise UsageError(f"{spec.info.name}: nodes of a cluster don't have a class in a file", hint)
        device = device_of(spec, requested, gpus=gpus)
        fit = spec.fit_hash(data[spec.data].content_hash, device)
        groups.setdefault((spec.data, fit), []).append(spec)
        devices[fit] = device
    return [Group(number, fit, devices[fit], tuple(specs)) for number, ((_, fit), specs) in enumerate(groups.items())]


def task_of(group: Group, dataset: Dataset, done: Mapping[str, Record], options: Options, *, offline: bool) -> Task:
    """The task of a group, for the command of this process.

    Parameters
    ----------
    done : by the hash of the run, the records that its runs supersede.
    options : `threads` are the cores of the task.
    offline : use no network for data.
    """
    need = resources(group.specs, dataset.facts(), group.device, options)
    content = dataset.content_hash
    parts = [
        RunPart(s.source, asdict(s.params), s.seed, s.k, s.grid, s.spec_hash(content, group.device))
        for s in group.specs
    ]
    earlier = [done[part.spec_hash] for part in parts if part.spec_hash in done]
    return Task(
        number=group.number,
        fit_hash=group.fit_hash,
        dataset=group.specs[0].dataset,
        view=group.specs[0].view,
        content_hash=content,
        options=replace(options, device=group.device, metrics=tuple(options.metrics)),
        memory=need.memory,
        offline=offline,
        runs=tuple(parts),
        code=code_of(part.source for part in parts),
        command=record_file.command(),
        earlier={f"{record.run_id}.json": json.dumps(record.raw) for record in earlier},
    )


def code_of(sources: Iterable[str]) -> Code:
    """The code of this machine that makes runs of these methods."""
    state, known = code_state(), registry.sources()
    origins = {name: known[name].origin if name in known else "not installed" for name in sources}
    return Code(".".join(platform.python_version_tuple()[:2]), state["version"], state["commit"], origins)
