"""RunSpec: one run of a plan, its label, and the hashes that say when two runs are the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xmcbench.method import Method, MethodInfo
from xmcbench.runs import registry
from xmcbench.runs.selection import BY, Grid
from xmcbench.values import plain

DataKey = tuple[str, str | None]  # name of a data set, and a view of it; None is its default view


@dataclass(frozen=True)
class RunSpec:
    """One run: a method with all its parameters, a data set in a view, a seed and k.

    `grid` holds the values to tune: None if tuning was not requested, empty if the method has nothing to tune. Until
    tuning is done, `params` holds the defaults of the tuned parameters.
    """

    source: str  # name in the registry, or file.py:Class
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
    def data(self) -> DataKey:
        """The data set and the view of the run."""
        return self.dataset, self.view

    @property
    def parameters(self) -> dict[str, object]:
        """Parameter → value, in the order of the dataclass."""
        return dataclasses.asdict(self.params)

    @property
    def query(self) -> dict[str, object]:
        """Query parameter → value."""
        return {name: getattr(self.params, name) for name in self.info.query_parameters()}

    @property
    def label(self) -> str:
        """The method's name with the parameters that differ from their defaults: `elias[preset=paper,beam=10]`.

        A tuned run is `elias[tune,beam=10]` whatever values are selected, so that all its seeds share one label.
        Tunable parameters that were set instead are shown even at their defaults.
        """
        tuned, always_shown = dict(self.grid or ()), set(self.info.tunable_parameters() if self.grid else ())
        defaults = {f.name: f.default for f in dataclasses.fields(self.params)}
        parameters = self.parameters
        parts = ["tune"] if self.grid else []
        matching = [
            name for name, values in self.info.presets.items() if values and values.items() <= parameters.items()
        ]
        if matching:
            preset = max(matching, key=lambda name: len(self.info.presets[name]))
            defaults.update(self.info.presets[preset])
            parts.append(f"preset={preset}")
            always_shown -= self.info.presets[preset].keys()
        parts += [
            f"{name}={spell(value)}"
            for name, value in parameters.items()
            if name not in tuned and (value != defaults[name] or name in always_shown)
        ]
        return self.info.name + (f"[{','.join(parts)}]" if parts else "")

    def spec_hash(self, content_hash: str, device: str) -> str:
        """Identity of the run: two runs with the same hash are the same experiment."""
        return _digest({**self._fit_key(content_hash, device), "query": self._set_query, "k": self.k})

    def fit_hash(self, content_hash: str, device: str) -> str:
        """Identity of the fitted model, shared by runs that only differ in query parameters or k.

        The hash of a tuned run includes its grid and the query parameters that are set, because the validation score
        depends on them. A tuned run shares no model with untuned runs, since its parameters are unknown in advance.
        """
        return _digest(self._fit_key(content_hash, device))

    def identity(self, content_hash: str, device: str) -> dict[str, Any]:
        """JSON of what the fitted model depends on, including selected parameters; models and checkpoints hold it."""
        values = {name: value for name, value in self.parameters.items() if name not in self.query}
        identity: dict[str, Any] = json.loads(_text({**self._fit_key(content_hash, device), "parameters": values}))
        return identity

    def with_chosen(self, combination: Mapping[str, Any]) -> RunSpec:
        """The same run with selected values for the parameters of its grid; label and hashes don't change."""
        return dataclasses.replace(self, params=dataclasses.replace(self.params, **combination))

    @property
    def _set_query(self) -> dict[str, object]:
        """The query parameters that are not tuned."""
        tuned = dict(self.grid or ())
        return {name: value for name, value in self.query.items() if name not in tuned}

    @property
    def fit_params(self) -> Any:
        """Parameters for constructing the method: query parameters have their defaults, since runs share fits."""
        defaults = {f.name: f.default for f in dataclasses.fields(self.params) if f.name in self.query}
        return dataclasses.replace(self.params, **defaults)

    def depends_on(self) -> dict[str, Any]:
        """Everything besides parameters and data that determines a fit, as the method says; raises what it raises."""
        method = self.method(self.fit_params)
        dependencies: dict[str, Any] = (
            plain(dict(method.depends_on()), "depends_on") if hasattr(method, "depends_on") else {}
        )
        return dependencies

    def _fit_key(self, content_hash: str, device: str) -> dict[str, object]:
        tuned = dict(self.grid or ())
        fit_values = {n: value for n, value in self.parameters.items() if n not in self.query and n not in tuned}
        tune = {"grid": list(self.grid or ()), "by": BY, "query": self._set_query}
        try:
            dependencies = self.depends_on()
        except KeyboardInterrupt:
            raise
        except BaseException:  # the run fails for the same reason, and its record tells it
            dependencies = {"unknown": None}
        return {
            **({"tune": tune} if self.grid else {}),
            "method": self.info.name,
            "version": self.info.version,
            "code": registry.identity(self.source),
            "parameters": fit_values,
            "data": content_hash,  # of one view of one data set
            "seed": 0 if self.info.deterministic else self.seed,
            "device": device,
            **({"beside": dependencies} if dependencies else {}),
        }


def spell(value: Any) -> str:
    """A parameter value as a user would type it."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _digest(value: Any) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
