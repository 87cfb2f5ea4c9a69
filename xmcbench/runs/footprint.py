"""What a run will take of memory and disk, before it starts: the method's estimate, and what the harness adds to it."""

from __future__ import annotations

import dataclasses
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcbench.amounts import size
from xmcbench.errors import XmcError
from xmcbench.escaping import kind_of
from xmcbench.memory import available
from xmcbench.method import Facts, Footprint, Machine
from xmcbench.runs.selection import combinations
from xmcbench.runs.spec import spell

if TYPE_CHECKING:
    from xmcbench.runs.spec import RunSpec

BASE = 180 << 20  # bytes of a process with numpy, scipy and numba, and its kernels; measured on tiny data sets
COMPILING = 90 << 20  # while the first run on a machine compiles, as of `popularity`, `knn` and `ovr`
ROW = 400  # bytes per test row of the values of metrics and of what they are counted from; measured
PER_ROW_VALUES = 200  # bytes per test row in the files of a record's per-row values, before they are compressed
FACTORS = (2.0, 10.0, 0.5, 0.1)  # on numbers that are not whole
LARGEST_GUESS = 1024  # where a parameter is None, smaller powers of two are tried


def of_run(spec: RunSpec, data: Facts, machine: Machine) -> Footprint | None:
    """Bytes of memory that the whole process of a run holds at its peak, and bytes that it writes; None if unknown.

    A tuned run needs what the largest combination of its grid needs.

    Raises XmcError: the method's `footprint` returned something else, or whatever it raises.
    """
    needs = [of_method(spec.with_chosen(chosen) if chosen else spec, data, machine) for chosen in combinations(spec)]
    known = [need for need in needs if need is not None]
    if len(known) < len(needs):
        return None
    predictions = 8 * data.n_test * min(spec.k, data.n_labels)  # ids and scores; filters add little
    memory = BASE + data_bytes(data) + 2 * predictions + ROW * data.n_test
    memory += max(COMPILING, *(need.memory for need in known))
    return Footprint(memory, predictions + PER_ROW_VALUES * data.n_test + max(need.disk for need in known))


def of_method(spec: RunSpec, data: Facts, machine: Machine) -> Footprint | None:
    """The method's own estimate for one combination of parameters. Raises as `of_run`."""
    estimate = getattr(spec.method(spec.params), "footprint", None)
    need: object = None if estimate is None else estimate(data, machine)
    if need is None:
        return None
    if not isinstance(need, Footprint):
        raise XmcError(f"footprint returned a {kind_of(need)}, not a Footprint or None")
    if not all(type(part) is int for part in (need.memory, need.disk)) or need.memory <= 0 or need.disk < 0:
        raise XmcError(
            f"footprint returned {need.memory!r} and {need.disk!r} bytes", "Give whole numbers, not negative."
        )
    return need


def data_bytes(data: Facts) -> int:
    """Bytes of a data set's arrays in memory: features, labels (about as many per test row) and texts."""
    rows = data.n_train + data.n_test
    labels = 8 * data.pairs * rows // max(data.n_train, 1)
    return 8 * (data.entries + data.test_entries) + labels + 16 * rows + data.text_bytes


def too_large(spec: RunSpec, data: Facts, machine: Machine, limit: int | None, folder: Path) -> str | None:
    """Why a run can't fit into memory, or on the disk of `folder`; None if it fits or its need is unknown.

    `limit`: bytes of memory that it may hold; None for what is available. Raises as `of_run`.
    """
    need = of_run(spec, data, machine)
    if need is None:
        return None
    most = available() if limit is None else limit
    if need.memory > most:
        bound = "are available" if limit is None else "are the limit (--memory)"
        helps = advice(spec, data, machine, most, limit)
        return f"needs about {size(need.memory)} of memory, and {size(most)} {bound}; {helps}"
    free = free_disk(folder)
    if need.disk > free:
        return (
            f"writes up to {size(need.disk)} (model, checkpoints, predictions), and {size(free)} are free on the disk "
            "of the results folder; free some space, or choose another folder by --results"
        )
    return None


def free_disk(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not exist."""
    absolute = folder.absolute()
    return shutil.disk_usage(next(path for path in (absolute, *absolute.parents) if path.exists())).free


def advice(spec: RunSpec, data: Facts, machine: Machine, most: int, limit: int | None) -> str:
    """The parameter that brings a run below `most` bytes with the smallest change of its need, or helps most."""
    found: list[tuple[int, str]] = []
    others = "use fewer rows or labels, or " + ("another machine" if limit is None else "a larger --memory")
    for name, value in smaller_values(spec):
        try:
            need = of_run(dataclasses.replace(spec, params=value, grid=None), data, machine)
        except XmcError:  # not a valid combination of parameters
            continue
        if need is not None:
            found.append((need.memory, f"{name}={spell(getattr(value, name))}"))
    fitting = [pair for pair in found if pair[0] <= most]
    if fitting:
        memory, setting = max(fitting, key=lambda pair: pair[0])
        return f"{setting} would need about {size(memory)}"
    whole = of_run(spec, data, machine)
    memory, setting = min(found, default=(0, ""))
    if whole is not None and setting and memory < 0.9 * whole.memory:
        return f"even {setting} would need about {size(memory)}: {others}"
    return f"no parameter lowers that enough: {others}"


def smaller_values(spec: RunSpec) -> Iterator[tuple[str, Any]]:
    """(name, parameters) with one parameter changed: whole numbers halved again and again, others up and down, texts
    to their other choices."""
    for field in dataclasses.fields(spec.params):
        if field.metadata.get("control"):
            continue
        value = getattr(spec.params, field.name)
        for other in _others(value, typing.get_type_hints(type(spec.params)).get(field.name)):
            params = dataclasses.replace(spec.params, **{field.name: other})
            bounds = field.metadata.get("bounds")
            if isinstance(other, str | bool) or bounds is None or bounds.hold(other):
                yield field.name, params


def _others(value: object, hint: object) -> list[Any]:
    choices = [choice for part in (hint, *typing.get_args(hint)) for choice in typing.get_args(part)]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str) or any(isinstance(choice, str) for choice in choices):
        return [choice for choice in choices if isinstance(choice, str) and choice != value]
    if value is None and int in typing.get_args(hint):
        value = LARGEST_GUESS
    if isinstance(value, float):
        return [value * factor for factor in FACTORS]
    if isinstance(value, int):
        return [value >> shift for shift in range(1, value.bit_length())]
    return []
