"""From what a user types to a list of runs: names, parameters, grids, seeds.

`elias[beam=20]` sets a parameter, `elias[beam=10|20]` makes two runs; `--set epochs=3` sets it for every method
that has it, `--set tree.trees=1,3` for one method and as a grid.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xmcbench import registry
from xmcbench.errors import UsageError, XmcError, unknown
from xmcbench.method import Method, MethodInfo


@dataclass(frozen=True)
class RunSpec:
    """One run: a method with all its parameters, a data set in a view, a seed and k."""

    source: str  # what the registry resolves: a name or file.py:Class
    method: type[Method]
    params: Any  # instance of info.parameters
    dataset: str
    view: str | None
    seed: int
    k: int

    @property
    def info(self) -> MethodInfo:
        return self.method.info

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with its value, in the order of its dataclass."""
        return dataclasses.asdict(self.params)

    @property
    def query(self) -> dict[str, Any]:
        """The values of the query-only parameters."""
        return {name: getattr(self.params, name) for name in self.info.query_parameters()}

    @property
    def label(self) -> str:
        """The method's name with the parameters that differ from their defaults: `elias[preset=paper,beam=10]`."""
        usual = {f.name: f.default for f in dataclasses.fields(self.params)}
        have = self.parameters
        changed = []
        fitting = [name for name, values in self.info.presets.items() if values and values.items() <= have.items()]
        if fitting:
            preset = max(fitting, key=lambda name: len(self.info.presets[name]))
            usual.update(self.info.presets[preset])
            changed.append(f"preset={preset}")
        changed += [f"{name}={spell(value)}" for name, value in have.items() if value != usual[name]]
        return self.info.name + (f"[{','.join(changed)}]" if changed else "")

    def spec_hash(self, content_hash: str, device: str) -> str:
        """Identity of the run's result: same hash, same experiment."""
        return _digest({**self._fit_key(content_hash, device), "query": self.query, "k": self.k})

    def fit_hash(self, content_hash: str, device: str) -> str:
        """Identity of the fitted model: runs that differ in query parameters or k alone share it."""
        return _digest(self._fit_key(content_hash, device))

    @property
    def fit_params(self) -> Any:
        """The parameters with query-only ones at their defaults: what a method is built with, since runs share fits."""
        defaults = {f.name: f.default for f in dataclasses.fields(self.params) if f.name in self.query}
        return dataclasses.replace(self.params, **defaults)

    def _fit_key(self, content_hash: str, device: str) -> dict[str, Any]:
        fixed = {name: value for name, value in self.parameters.items() if name not in self.query}
        return {
            "method": self.info.name,
            "version": self.info.version,
            "code": registry.identity(self.source),
            "parameters": fixed,
            "data": content_hash,  # of one view of one data set
            "seed": 0 if self.info.deterministic else self.seed,
            "device": device,
        }


def make_plan(
    methods: Sequence[str],
    datasets: Sequence[str],
    *,
    view: str | None = None,
    settings: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    k: int = 100,
    curve: bool = False,
) -> list[RunSpec]:
    """All runs, data set by data set, without repetition; the popularity floor is always among them.

    Parameters
    ----------
    curve : also one run per value worth a curve of each query parameter.

    Raises
    ------
    UsageError : with all unknown names and bad values reported together.
    """
    problems: list[str] = []
    chosen: list[tuple[str, type[Method], dict[str, list[Any]]]] = []
    for text in [*methods, *([] if any(_name(m) == "popularity" for m in methods) else ["popularity"])]:
        try:
            chosen.append(_parse(text, curve))
        except UsageError as error:
            problems.append(str(error))
    if not problems:
        problems = _apply(settings, chosen)
    if problems:
        raise UsageError("\n".join(problems))
    runs: dict[str, RunSpec] = {}
    for dataset, (source, method, grid) in itertools.product(datasets, chosen):
        for values in itertools.product(*grid.values()):
            params = _build(method.info, dict(zip(grid, values, strict=True)))
            for seed in seeds[:1] if method.info.deterministic else seeds:
                spec = RunSpec(source, method, params, dataset, view, seed, k)
                runs.setdefault(spec.spec_hash(dataset, ""), spec)
    return list(runs.values())


def spell(value: Any) -> str:
    """A parameter's value as a user would type it."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def parse_value(info: MethodInfo, name: str, text: str) -> Any:
    """Text → the type the parameter's annotation names.

    Raises
    ------
    UsageError : unknown parameter (the nearest is offered) or text of another type.
    """
    hints = typing.get_type_hints(info.parameters)
    if name == "preset" and info.presets:
        if text.strip() not in info.presets:
            raise unknown(f"preset of {info.name}", text.strip(), info.presets)
        return text.strip()
    if name not in hints:
        raise unknown(f"parameter of {info.name}", name, _settable(info))
    allowed = typing.get_args(hints[name]) if _is_union(hints[name]) else (hints[name],)
    folded = text.strip()
    for kind in allowed:
        if typing.get_origin(kind) is typing.Literal:
            choices = {spell(choice): choice for choice in typing.get_args(kind)}
            if folded not in choices:
                raise UsageError(f"{info.name}: {name}={text!r}", f"Valid: {', '.join(choices)}.")
            return choices[folded]
    if type(None) in allowed and folded.lower() in ("none", "null", ""):
        return None
    if bool in allowed and folded.lower() in ("true", "false", "1", "0", "yes", "no"):
        return folded.lower() in ("true", "1", "yes")
    for kind in (int, float, str):
        if kind in allowed:
            try:
                value = kind(folded)
            except ValueError:
                continue
            if not isinstance(value, float) or math.isfinite(value):
                return value
    wanted = " or ".join("a finite number" if kind is float else kind.__name__ for kind in allowed)
    raise UsageError(f"{info.name}: {name}={text!r} is not {wanted}")


def _parse(text: str, curve: bool) -> tuple[str, type[Method], dict[str, list[Any]]]:
    found = re.fullmatch(r"(?P<name>[^\[\]]+?)(\[(?P<inside>[^\[\]]*)\])?", text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a method", "Write name or name[parameter=value,parameter=value|value].")
    method = registry.get(found["name"])
    grid: dict[str, list[Any]] = {}
    if curve:
        grid = {name: list(values) for name, values in method.info.query_parameters().items()}
    for part in filter(None, (found["inside"] or "").split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"{text!r}: {part!r} lacks '='", "Write name[parameter=value,parameter=value|value].")
        grid[name.strip()] = [parse_value(method.info, name.strip(), v) for v in value.split("|")]
    return found["name"], method, grid


def _apply(settings: Iterable[str], chosen: list[tuple[str, type[Method], dict[str, list[Any]]]]) -> list[str]:
    problems: list[str] = []
    for text in settings:
        path, equals, value = text.partition("=")
        only, dot, name = path.strip().rpartition(".")
        if not equals:
            problems.append(f"--set {text!r} lacks '='")
            continue
        takers = [
            (method, grid)
            for source, method, grid in chosen
            if (not dot or only in (source, method.info.name)) and (dot or name in _settable(method.info))
        ]
        if not takers:
            known = {name for _, method, _ in chosen for name in _settable(method.info)}
            problems.append(str(unknown("method" if dot else "parameter", only if dot else name, known)))
        for method, grid in takers:
            try:
                grid[name] = [parse_value(method.info, name, v) for v in value.split(",")]
            except UsageError as error:
                problems.append(str(error))
    return problems


def _settable(info: MethodInfo) -> list[str]:
    """What may stand before an equals sign."""
    return [f.name for f in dataclasses.fields(info.parameters)] + (["preset"] if info.presets else [])


def _build(info: MethodInfo, values: Mapping[str, Any]) -> Any:
    own = {name: value for name, value in values.items() if name != "preset"}
    try:
        return info.parameters(**{**info.presets.get(values.get("preset", ""), {}), **own})
    except XmcError:
        raise
    except (ValueError, TypeError) as error:
        raise UsageError(f"{info.name}: {error}") from error


def _name(text: str) -> str:
    return text.split("[")[0].strip()


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
