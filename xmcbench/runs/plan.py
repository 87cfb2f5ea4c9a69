"""Parse what a user types into a list of runs: names, parameters, grids, seeds.

`elias[beam=20]` sets a parameter, `elias[beam=10|20]` makes two runs. `--set epochs=3` sets a parameter for every
method that has it, `--set tree.trees=1,3` sets a grid for one method. `elias[tune]` selects the tunable parameters on
validation rows, as `--tune` does for every method; parameters that are set are not tuned.

A parameter is set once per method: a second value, in brackets or by `--set`, is refused. Equal runs are planned once.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xmcbench.errors import UsageError, XmcError, explain, unknown
from xmcbench.escaping import plain_text
from xmcbench.method import Method, MethodInfo, NoParams, check_bounds
from xmcbench.runs import registry
from xmcbench.runs.selection import grid_of
from xmcbench.runs.spec import RunSpec, spell


@dataclass(frozen=True)
class _Request:
    """A method as the user typed it: the values of each parameter that is set, and whether to tune the others.

    `usable` is False for a method that can't be imported; `method` then stands in its place.
    """

    source: str
    method: type[Method]
    values: dict[str, list[Any]]
    tune: bool
    already_set: dict[str, tuple[str, str]]  # parameter → (the text that set it, its values with commas between them)
    usable: bool = True


def make_plan(
    methods: Sequence[str],
    datasets: Sequence[str],
    *,
    view: str | None = None,
    settings: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    k: int = 100,
    curve: bool = False,
    tune: bool = False,
    baseline: bool = True,
) -> list[RunSpec]:
    """All runs, data set by data set, without duplicates.

    A method that can't be imported, or not constructed with its defaults, has a run that fails for that reason.

    Parameters
    ----------
    curve : add one run per curve value of each query parameter.
    tune : select tunable parameters that are not set on validation rows, as with name[tune].
    baseline : also run popularity.

    Raises UsageError: the message lists all unknown names and invalid values.
    """
    problems: list[str] = []
    requests: list[_Request] = []
    for text in with_baseline(methods) if baseline else methods:
        try:
            requests.append(_parse(text, curve, tune))
        except UsageError as error:
            problems.append(str(error))
    if not problems:
        problems = _apply(settings, requests)
    if problems:
        raise UsageError("\n".join(problems))
    runs: dict[str, RunSpec] = {}
    for dataset, request in itertools.product(datasets, requests):
        info = request.method.info
        for values in itertools.product(*request.values.values()):
            arguments = dict(zip(request.values, values, strict=True))
            fixed = {*arguments, *info.presets.get(arguments.get("preset", ""), {})}
            grid = grid_of(info, fixed) if request.tune else None
            method = request.method
            try:
                params = build(method, arguments)
            except XmcError as error:
                if arguments:
                    raise
                method, params, grid = registry.unusable(request.source, error), NoParams(), None
            for seed in seeds[:1] if method.info.deterministic else seeds:
                spec = RunSpec(request.source, method, params, dataset, view, seed, k, grid)
                runs.setdefault(spec.spec_hash(dataset, ""), spec)
    return list(runs.values())


def with_baseline(methods: Sequence[str]) -> list[str]:
    """The methods, and popularity if it is not among them."""
    names = [text.partition("[")[0].strip() for text in methods]
    return list(methods) if "popularity" in names else [*methods, "popularity"]


_WORDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", type(None): "none"}


def parse_value(info: MethodInfo, name: str, text: str) -> Any:
    """Convert text to the type in the parameter's annotation.

    Raises UsageError: the parameter is unknown (the hint offers similar names) or the text has another type.
    """
    hints, stripped = typing.get_type_hints(info.parameters), text.strip()
    if name == "preset" and info.presets:
        if stripped not in info.presets:
            raise unknown(f"preset of {info.name}", stripped, info.presets)
        return stripped
    if name not in hints:
        raise unknown(f"parameter of {info.name}", name, _settable(info))
    allowed = alternatives(hints[name])
    if choices := {spell(choice): choice for choice in allowed if not isinstance(choice, type)}:
        if stripped not in choices:
            raise UsageError(f"{info.name}: {name}={text!r} is not valid", f"Valid: {', '.join(choices)}.")
        return choices[stripped]
    if type(None) in allowed and stripped.lower() in ("none", "null", ""):
        return None
    if bool in allowed and stripped.lower() in ("true", "false", "1", "0", "yes", "no"):
        return stripped.lower() in ("true", "1", "yes")
    for kind in (kind for kind in (int, float, str) if kind in allowed):
        try:
            value = kind(stripped)
        except ValueError:
            continue
        if not isinstance(value, float) or math.isfinite(value):
            return value
    expected = " or ".join(_WORDS[kind] for kind in allowed if not (kind is int and float in allowed))
    raise UsageError(f"{info.name}: {name}={text!r} is not {expected}")


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types and literal values that an annotation allows: (int, NoneType) for `int | None`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType, typing.Literal):
        return tuple(part for argument in typing.get_args(hint) for part in alternatives(argument))
    return (hint,)


def _parse(text: str, curve: bool, tune: bool) -> _Request:
    match = re.fullmatch(r"(?P<name>[^\[\]]+?)(\[(?P<inside>[^\[\]]*)\])?", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a method", "Write name or name[parameter=value,parameter=value|value].")
    try:
        method = registry.typed(match["name"])
    except UsageError:
        raise
    except XmcError as error:
        return _Request(match["name"], registry.unusable(match["name"], error), {}, False, {}, usable=False)
    grid: dict[str, list[Any]] = {}
    already_set: dict[str, tuple[str, str]] = {}
    if curve:
        grid = {name: list(values) for name, values in method.info.query_parameters().items()}
    for part in filter(None, (match["inside"] or "").split(",")):
        name, equals, value = part.partition("=")
        name = name.strip()
        if name in already_set:
            both = f"{already_set[name][1]},{value}".replace(",", "|")
            hint = f"For one run with each value: {match['name']}[{name}={both}]." if equals else "Give it once."
            raise UsageError(f"{text!r}: {name} is given twice", hint)
        already_set[name] = text, value.replace("|", ",")
        if part.strip() == "tune":
            tune = True
            continue
        if not equals:
            raise UsageError(f"{text!r}: {part!r} lacks '='", "Write name[parameter=value,parameter=value|value].")
        grid[name] = [parse_value(method.info, name, v) for v in value.split("|")]
    if tune and curve and grid_of(method.info, ()):
        raise UsageError(
            f"{text!r}: a curve comes from one fit, but tuning may select a different fit for each of its values",
            "Tune first, then run --curve with the selected values.",
        )
    return _Request(match["name"], method, grid, tune, already_set)


def _apply(settings: Iterable[str], requests: list[_Request]) -> list[str]:
    problems: list[str] = []
    for text in settings:
        path, equals, value = text.partition("=")
        owner, dot, name = path.strip().rpartition(".")
        if not equals:
            problems.append(str(UsageError(f"--set {text!r} lacks '='", "Write --set PARAMETER=VALUE.")))
            continue
        targets = [
            request
            for request in requests
            if (not dot or owner in (request.source, request.method.info.name))
            and (dot or name in _settable(request.method.info))
        ]
        if not targets and dot:
            hint = f"Its methods: {', '.join(dict.fromkeys(request.method.info.name for request in requests))}."
            problems.append(str(UsageError(f"--set {text!r}: {owner!r} is not a method of this run", hint)))
        elif not targets:
            valid = {name for request in requests for name in _settable(request.method.info)}
            problems.append(str(unknown("parameter", name, valid)))
        for request in targets:
            if not request.usable:
                continue
            if name in request.already_set:
                earlier, values = request.already_set[name]
                hint = f"Set it once. For one run with each value: --set {path.strip()}={values},{value}"
                problem = UsageError(f"--set {text!r}: {earlier!r} sets {name} of {request.source} already", hint)
                problems.append(str(problem))
                continue
            request.already_set[name] = f"--set {text}", value
            try:
                request.values[name] = [parse_value(request.method.info, name, v) for v in value.split(",")]
            except UsageError as error:
                problems.append(str(error))
    return problems


def _settable(info: MethodInfo) -> list[str]:
    """Names that are valid before an equals sign."""
    return [f.name for f in dataclasses.fields(info.parameters)] + (["preset"] if info.presets else [])


def build(method: type[Method], values: Mapping[str, Any]) -> Any:
    """Build the parameters and construct the method once, so that invalid values are rejected before any work.

    Query parameters are validated here, since methods to fit are constructed with their defaults.

    Raises XmcError: UsageError for invalid values; the constructor fails in another way.
    """
    info = method.info
    overrides = {name: value for name, value in values.items() if name != "preset"}
    try:
        params = info.parameters(**{**info.presets.get(values.get("preset", ""), {}), **overrides})
        check_bounds(info.name, params)
        method(dataclasses.replace(params))  # a copy, which the method may change
    except (XmcError, KeyboardInterrupt):
        raise
    except (ValueError, TypeError) as error:
        raise UsageError(f"{info.name}: {plain_text(error)}") from error
    except BaseException as error:
        raise XmcError(f"{info.name} can't be constructed: {explain(error)[1]}") from error
    return params
