"""From what a user types to a list of runs: names, parameters, grids, seeds.

`elias[beam=20]` sets a parameter, `elias[beam=10|20]` makes two runs; `--set epochs=3` sets it for every method
that has it, `--set tree.trees=1,3` for one method and as a grid. `elias[tune]` has the parameters that offer values
chosen on validation rows, as `--tune` does for every method; what is set beside it is not tuned.
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

from xmcbench.errors import UsageError, XmcError, unknown
from xmcbench.method import Method, MethodInfo, check_bounds
from xmcbench.runs import registry
from xmcbench.runs.grid import BY, Grid, grid_of


@dataclass(frozen=True)
class RunSpec:
    """One run: a method with all its parameters, a data set in a view, a seed and k.

    `grid` is what tuning tries: None where nobody asked for it, empty where the method has nothing to tune. Until it is
    done, `params` holds the defaults of its parameters.
    """

    source: str  # what the registry resolves: a name or file.py:Class
    method: type[Method]
    params: Any  # instance of info.parameters
    dataset: str
    view: str | None
    seed: int
    k: int
    grid: Grid | None = None

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
        """The method's name with the parameters that differ from their defaults: `elias[preset=paper,beam=10]`.

        A tuned run is `elias[tune,beam=10]` whatever is chosen, so that its seeds are of one label; parameters that
        could have been tuned and were set instead are shown even at their defaults.
        """
        tuned, held = dict(self.grid or ()), set(self.info.tunable_parameters() if self.grid else ())
        usual = {f.name: f.default for f in dataclasses.fields(self.params)}
        have = self.parameters
        changed = ["tune"] if self.grid else []
        fitting = [name for name, values in self.info.presets.items() if values and values.items() <= have.items()]
        if fitting:
            preset = max(fitting, key=lambda name: len(self.info.presets[name]))
            usual.update(self.info.presets[preset])
            changed.append(f"preset={preset}")
            held -= self.info.presets[preset].keys()
        changed += [
            f"{name}={spell(value)}"
            for name, value in have.items()
            if name not in tuned and (value != usual[name] or name in held)
        ]
        return self.info.name + (f"[{','.join(changed)}]" if changed else "")

    def spec_hash(self, content_hash: str, device: str) -> str:
        """Identity of the run's result: same hash, same experiment."""
        return _digest({**self._fit_key(content_hash, device), "query": self._set_query, "k": self.k})

    def fit_hash(self, content_hash: str, device: str) -> str:
        """Identity of the fitted model: runs that differ in query parameters or k alone share it.

        Tuned runs differ in their grids too, and in query parameters that are set, since scores that decide hang on
        them. They share no model with untuned runs: what they will fit isn't known before they have tuned.
        """
        return _digest(self._fit_key(content_hash, device))

    def with_chosen(self, combination: Mapping[str, Any]) -> RunSpec:
        """The same run with values for the parameters of its grid; label and hashes stay."""
        return dataclasses.replace(self, params=dataclasses.replace(self.params, **combination))

    @property
    def _set_query(self) -> dict[str, Any]:
        """The query-only parameters that aren't tuned."""
        tuned = dict(self.grid or ())
        return {name: value for name, value in self.query.items() if name not in tuned}

    @property
    def fit_params(self) -> Any:
        """The parameters with query-only ones at their defaults: what a method is built with, since runs share fits."""
        defaults = {f.name: f.default for f in dataclasses.fields(self.params) if f.name in self.query}
        return dataclasses.replace(self.params, **defaults)

    def _fit_key(self, content_hash: str, device: str) -> dict[str, Any]:
        tuned = dict(self.grid or ())
        fixed = {n: value for n, value in self.parameters.items() if n not in self.query and n not in tuned}
        tune = {"grid": list(self.grid or ()), "by": BY, "query": self._set_query}
        method = self.method(self.fit_params)
        beside = dict(method.depends_on()) if hasattr(method, "depends_on") else {}
        return {
            **({"tune": tune} if self.grid else {}),
            "method": self.info.name,
            "version": self.info.version,
            "code": registry.identity(self.source),
            "parameters": fixed,
            "data": content_hash,  # of one view of one data set
            "seed": 0 if self.info.deterministic else self.seed,
            "device": device,
            **({"beside": beside} if beside else {}),
        }


@dataclass(frozen=True)
class _Asked:
    """A method as somebody typed it: the values of each parameter set, and whether the others shall be tuned."""

    source: str
    method: type[Method]
    values: dict[str, list[Any]]
    tune: bool


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
) -> list[RunSpec]:
    """All runs, data set by data set, without repetition; the popularity floor is always among them.

    Parameters
    ----------
    curve : also one run per value worth a curve of each query parameter.
    tune : parameters that offer values and are not set will be chosen on validation rows, as by name[tune].

    Raises
    ------
    UsageError : with all unknown names and bad values reported together.
    """
    problems: list[str] = []
    chosen: list[_Asked] = []
    for text in [*methods, *([] if any(_name(m) == "popularity" for m in methods) else ["popularity"])]:
        try:
            chosen.append(_parse(text, curve, tune))
        except UsageError as error:
            problems.append(str(error))
    if not problems:
        problems = _apply(settings, chosen)
    if problems:
        raise UsageError("\n".join(problems))
    runs: dict[str, RunSpec] = {}
    for dataset, asked in itertools.product(datasets, chosen):
        info = asked.method.info
        for values in itertools.product(*asked.values.values()):
            given = dict(zip(asked.values, values, strict=True))
            held = {*given, *info.presets.get(given.get("preset", ""), {})}
            grid = grid_of(info, held) if asked.tune else None
            params = _build(asked.method, given)
            for seed in seeds[:1] if info.deterministic else seeds:
                spec = RunSpec(asked.source, asked.method, params, dataset, view, seed, k, grid)
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


def _parse(text: str, curve: bool, tune: bool) -> _Asked:
    found = re.fullmatch(r"(?P<name>[^\[\]]+?)(\[(?P<inside>[^\[\]]*)\])?", text.strip())
    if found is None:
        raise UsageError(f"{text!r} is not a method", "Write name or name[parameter=value,parameter=value|value].")
    method = registry.get(found["name"])
    grid: dict[str, list[Any]] = {}
    if curve:
        grid = {name: list(values) for name, values in method.info.query_parameters().items()}
    for part in filter(None, (found["inside"] or "").split(",")):
        if part.strip() == "tune":
            tune = True
            continue
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"{text!r}: {part!r} lacks '='", "Write name[parameter=value,parameter=value|value].")
        grid[name.strip()] = [parse_value(method.info, name.strip(), v) for v in value.split("|")]
    if tune and curve and grid_of(method.info, ()):
        raise UsageError(
            f"{text!r}: a curve comes from one fit, and tuning may choose another fit for each of its values",
            "Tune first, then run --curve with what was chosen.",
        )
    return _Asked(found["name"], method, grid, tune)


def _apply(settings: Iterable[str], chosen: list[_Asked]) -> list[str]:
    problems: list[str] = []
    for text in settings:
        path, equals, value = text.partition("=")
        only, dot, name = path.strip().rpartition(".")
        if not equals:
            problems.append(f"--set {text!r} lacks '='")
            continue
        takers = [
            asked
            for asked in chosen
            if (not dot or only in (asked.source, asked.method.info.name))
            and (dot or name in _settable(asked.method.info))
        ]
        if not takers:
            known = {name for asked in chosen for name in _settable(asked.method.info)}
            problems.append(str(unknown("method" if dot else "parameter", only if dot else name, known)))
        for asked in takers:
            try:
                asked.values[name] = [parse_value(asked.method.info, name, v) for v in value.split(",")]
            except UsageError as error:
                problems.append(str(error))
    return problems


def _settable(info: MethodInfo) -> list[str]:
    """What may stand before an equals sign."""
    return [f.name for f in dataclasses.fields(info.parameters)] + (["preset"] if info.presets else [])


def _build(method: type[Method], values: Mapping[str, Any]) -> Any:
    """The parameters, once the method has taken them: what it refuses is refused before any work.

    Fits are built with query parameters at their defaults, so that this is where those given are looked at.
    """
    info = method.info
    own = {name: value for name, value in values.items() if name != "preset"}
    try:
        params = info.parameters(**{**info.presets.get(values.get("preset", ""), {}), **own})
        check_bounds(info.name, params)
        method(params)
    except XmcError:
        raise
    except (ValueError, TypeError) as error:
        raise UsageError(f"{info.name}: {error}") from error
    return params


def _name(text: str) -> str:
    return text.split("[")[0].strip()


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
