"""Find problems in a method's `info` and its parameters."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from typing import Any

from xmcbench.method import FAMILIES, MethodInfo
from xmcbench.runs.plan import alternatives

TYPES = (bool, int, float, str, type(None))  # types of values that users can type


def info_problems(info: MethodInfo) -> list[str]:
    """List missing or invalid fields of a MethodInfo and of its parameters."""
    kinds, devices = {"features", "texts", "label_texts"}, {"cpu", "cuda"}
    valid_name = re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", info.name)
    valid_devices = info.devices and set(info.devices) <= devices
    rules = {
        f"name {info.name!r} is not lower case letters, digits and single dashes": not valid_name,
        "summary must be one line of text": not info.summary.strip() or "\n" in info.summary,
        f"family {info.family!r} is none of {', '.join(FAMILIES)}": info.family not in FAMILIES,
        "version must be text, such as '1'": not (isinstance(info.version, str) and info.version),
        "deterministic and not seeded contradict each other": info.deterministic and not info.seeded,
        "comparable scores need a meaning: set scores": info.comparable and not info.scores,
        "scores must be one line of text": "\n" in info.scores,
        "citation must be BibTeX (@…) or empty": bool(info.citation) and not info.citation.lstrip().startswith("@"),
        f"needs {sorted(info.needs)} are not all of {sorted(kinds)}": not set(info.needs) <= kinds,
        f"devices {sorted(info.devices)} must be one or more of {sorted(devices)}": not valid_devices,
    }
    problems = [text for text, broken in rules.items() if broken]
    cls = info.parameters
    if not (dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen):  # type: ignore[attr-defined]
        return [*problems, f"parameters {cls.__name__} must be a dataclass(frozen=True)"]
    try:
        hints = typing.get_type_hints(cls)
    except Exception as error:
        return [*problems, f"the annotations of {cls.__name__} can't be resolved: {error}"]
    for field in dataclasses.fields(cls):
        problems += parameter_problems(field, hints[field.name])
    return problems


def parameter_problems(field: dataclasses.Field[Any], hint: Any) -> list[str]:
    """List problems of one field of a parameters dataclass; `hint` is its type annotation."""
    where = f"parameter {field.name}"
    if field.default is dataclasses.MISSING:
        return [f"{where} has no default: make it with xmcbench.param"]
    problems = [f"{where} has no {part}" for part in ("doc", "source") if not field.metadata.get(part)]
    type_name = getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint).replace("typing.", "")
    if not all((part if isinstance(part, type) else type(part)) in TYPES for part in alternatives(hint)):
        return [*problems, f"{where}: {type_name} is not made of int, float, str, bool, None and Literal"]
    if not _fits(field.default, hint):
        problems.append(f"{where}: default {field.default!r} is not a finite {type_name}")
    values, tuned = field.metadata.get("query", ()), field.metadata.get("tune", ())
    for kind, listed in (("query values", values), ("values to tune", tuned)):
        if not all(_fits(value, hint) for value in listed):
            problems.append(f"{where}: {kind} {listed} are not all finite {type_name}")
    bounds, numbers = field.metadata.get("bounds"), [field.default, *values, *tuned]
    outside = [] if bounds is None else [n for n in numbers if n is not None and not bounds.hold(n)]
    if outside:
        problems.append(f"{where}: {outside[0]!r} is not {bounds}, its own bounds")
    if tuned and field.default not in tuned:
        problems.append(f"{where}: default {field.default!r} is not among the values to tune {tuned}")
    if len(set(tuned)) < len(tuned):
        problems.append(f"{where}: values to tune {tuned} repeat themselves")
    return problems


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is finite and exactly of the annotated type: 1 and 1.0 would be two different experiments."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return any(
        type(value) is part if isinstance(part, type) else type(value) is type(part) and value == part
        for part in alternatives(hint)
    )
