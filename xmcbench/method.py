"""The contract between a method and the harness: what a plugin author reads first.

A method is any class with the members of `Method`; no base class is needed. The harness builds it with its
parameters, calls `fit` once on training rows, then `predict` on rows without labels. It owns seeds, folders,
timing, threads, device and the validation split (all in `ctx`, see `xmcbench.context.RunContext`); a method
prints nothing, seeds nothing global and never sees a test label.

What an author should know beyond the members:

- The order is: construct, `fit`, `save`, `warm_up`, `predict`. Runs that differ in query parameters alone share the
  fit: the first predicts with the fitted instance, later ones with a new one after `load`. `fit` is never called
  after `load`. Query-only parameters have their defaults while fitting; `ctx.query` always holds all of them.
- Tuning, where users ask for it, constructs, fits, warms up and predicts for validation rows with each query value; it
  neither saves nor loads, and `report` is not called.
- `predict` is asked for k plus the longest filter row, at most L, and later for single rows, whose latency is timed.
  It may use `inputs.label_texts`. Compilation that happens in `fit` counts as fitting; move it to `warm_up` where
  that is the fairer account.
- Raise `xmcbench.errors.Diverged` when training leaves the finite numbers; any other exception becomes status
  `error`, and the next run starts from the beginning. After Ctrl-C, a kill, a time limit or lack of memory the next
  run goes on from `ctx.checkpoints`.
- Parameters are numbers, texts, booleans, None or `Literal` choices, since users type them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from xmcbench.errors import UsageError

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.topk import TopK

FAMILIES = ("floor", "tree", "graph-index", "one-vs-rest", "dense", "neighbours", "external", "other")


@dataclass(frozen=True)
class Bounds:
    """Numbers a parameter may be: larger than `above`, at least `least`, at most `most`, smaller than `below`."""

    above: float | None = None
    least: float | None = None
    most: float | None = None
    below: float | None = None

    def hold(self, value: float) -> bool:
        """Whether `value` is one of them; NaN and infinity never are."""
        return (
            math.isfinite(value)
            and (self.above is None or value > self.above)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """As in "must be …": above 0, at least 2, at least 0 and below 1."""
        named = {"above": self.above, "at least": self.least, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {value:g}" for word, value in named.items() if value is not None)


def param(
    default: Any,
    doc: str,
    source: str,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    none: str = "",
    query: tuple[Any, ...] = (),
    tune: tuple[Any, ...] = (),
) -> Any:
    """A documented field of a parameters dataclass.

    Parameters
    ----------
    default : int, float, str, bool or None; None takes its type from the annotation.
    doc : what it does, with its unit.
    source : where the default comes from: a paper's table, another program, "measured: …", "ours: why".
    above, least, most, below : bounds of a number, see `Bounds`; `check_bounds` refuses others.
    none : what None means, where it is a value: the rule that chooses one in its place.
    query : non-empty for a parameter that changes prediction only (a beam): the values worth a curve. Runs that
        differ in such parameters alone share one fit, and `predict` must read the value from `ctx.query`.
    tune : values worth trying where users ask for tuning, in rising order of effect, the default among them. Every
        combination of all such parameters is fitted: keep their product at about nine.
    """
    bounds = None if above is least is most is below is None else Bounds(above, least, most, below)
    told = {"doc": doc, "source": source, "query": tuple(query), "tune": tuple(tune), "bounds": bounds, "none": none}
    return field(default=default, metadata=told)


def check_bounds(method: str, params: Any) -> None:
    """Refuse parameters outside the bounds that their `param` declares. The harness does so for every method.

    Raises
    ------
    UsageError : the parameter, its value and what is valid; `method` is the name it begins with.
    """
    for one in dataclasses.fields(params):
        bounds, value = one.metadata.get("bounds"), getattr(params, one.name)
        if bounds is not None and value is not None and not bounds.hold(value):
            valid = bounds if math.isfinite(value) else f"a finite number, {bounds}"
            raise UsageError(f"{method}: {one.name} is {value}, must be {valid}")


@dataclass(frozen=True)
class NoParams:
    """For methods without parameters."""


@dataclass(frozen=True)
class MethodInfo:
    """What the harness knows of a method before it makes one.

    Attributes
    ----------
    name : as users type it: lower case letters, digits, dashes.
    summary : one line.
    family : one of `FAMILIES`.
    version : of the method's definition; part of a run's identity, so raise it when results change.
    citation : BibTeX, or "" where there is nothing to cite.
    parameters : frozen dataclass whose fields are made by `param`; its docstring may say more.
    presets : parameter values by a name users can give for all of them, `name[preset=paper]`; what is set beside a
        preset wins over it. Records hold the values.
    needs : of "features", "texts", "label_texts", those without which the method can't run.
    wants_validation : the harness hands over `ctx.validation`; where the data set has no official split of
        that kind, it is carved from the training rows, which are then missing from `train`.
    deterministic : the seed changes nothing; several seeds are run once.
    seeded : two fits with one seed are the same. False where a library draws numbers that no seed reaches: several
        seeds are then so many repeats, and the contract battery compares no two fits.
    devices : of "cpu", "cuda", those it can use.
    seconds : rough wall seconds of a default run by data set name on two cores, for the plan's estimate.
    """

    name: str
    summary: str
    family: str
    version: str
    citation: str = ""
    parameters: type[Any] = NoParams
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    needs: tuple[str, ...] = ()
    wants_validation: bool = False
    deterministic: bool = False
    seeded: bool = True
    devices: tuple[str, ...] = ("cpu",)
    seconds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def query_parameters(self) -> dict[str, tuple[Any, ...]]:
        """Parameters that change prediction only, each with the values worth a curve."""
        fields = dataclasses.fields(self.parameters)
        return {f.name: f.metadata["query"] for f in fields if f.metadata.get("query")}

    def tunable_parameters(self) -> dict[str, tuple[Any, ...]]:
        """Parameters that `xmcbench run --tune` chooses on validation rows, each with the values it tries."""
        fields = dataclasses.fields(self.parameters)
        return {f.name: f.metadata["tune"] for f in fields if f.metadata.get("tune")}


@dataclass(frozen=True)
class Inputs:
    """Rows to predict for.

    Attributes
    ----------
    features : (n, d) CSR float32, sorted indices, possibly memory-mapped (never write into it); or None.
    texts : n strings; or None.
    label_texts : L strings; or None.
    n_labels : L, the width of the label space.
    """

    features: sp.csr_matrix | None
    texts: Sequence[str] | None
    label_texts: Sequence[str] | None
    n_labels: int

    @property
    def n_rows(self) -> int:
        if self.features is not None:
            return int(self.features.shape[0])
        return len(self.texts) if self.texts is not None else 0

    def rows(self, which: Any) -> Inputs:
        """The rows named by a slice, an int array or a boolean mask, in that order."""
        features = None if self.features is None else self.features[which]
        return dataclasses.replace(self, features=features, texts=_pick(self.texts, which))


@dataclass(frozen=True)
class TrainData(Inputs):
    """Training rows: inputs and their labels, (n, L) CSR float32 of ones, sorted indices."""

    labels: sp.csr_matrix

    def rows(self, which: Any) -> TrainData:
        inputs = Inputs.rows(self, which)
        return TrainData(inputs.features, inputs.texts, self.label_texts, self.n_labels, self.labels[which])

    def inputs(self) -> Inputs:
        """The same rows without their labels."""
        return Inputs(self.features, self.texts, self.label_texts, self.n_labels)


def _pick(texts: Sequence[str] | None, which: Any) -> Sequence[str] | None:
    if texts is None or isinstance(which, slice):
        return texts if texts is None else texts[which]
    import numpy as np

    chosen = np.asarray(which)
    return [texts[int(i)] for i in (np.flatnonzero(chosen) if chosen.dtype == bool else chosen)]


@dataclass(frozen=True)
class Facts:
    """What can be known of a data set without looking at its rows; `Method.skip` decides on it."""

    name: str
    view: str
    n_train: int
    n_test: int
    n_features: int
    n_labels: int
    available: frozenset[str]  # of "features", "texts", "label_texts"


@dataclass(frozen=True)
class Machine:
    """What `skip` may look at: cores, bytes of memory, the run's device ("cpu" or "cuda") and its bytes."""

    threads: int
    memory_bytes: int
    device: str
    gpu_memory_bytes: int = 0


@runtime_checkable
class Method(Protocol):
    """What a method must have. Optional beside it:

    - `warm_up(ctx)` compiles and loads; it is timed apart.
    - `depends_on()` names what decides a fit beside parameters and data, as a mapping of texts: the hash of a model
      whose folder a parameter names. It is part of a run's identity.
    - `report(inputs, score, folder, ctx)` tells of the fitted model, in files of its own in `folder`, `report.md` among
      them. It comes last, when the run's predictions can't change any more, once for all runs that share a fit;
      `score(topk)` gives the default metrics of other predictions for the same test `inputs`.
    """

    info: ClassVar[MethodInfo]

    def __init__(self, params: Any) -> None:
        """Keep `params`, an instance of `info.parameters`; nothing heavy happens here."""

    def skip(self, data: Facts, machine: Machine) -> str | None:
        """A sentence why this data set can't be run on this machine, or None. `needs` is checked before.

        May be a class method where no parameter matters.
        """

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Learn from training rows. Long work is cut into `ctx.phase(...)`s and resumes from `ctx.checkpoints`."""

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k best labels of each row (fewer where there are fewer), never a dense (n, L) matrix."""

    def save(self, folder: Path) -> None:
        """Write what `predict` needs into an existing empty folder: npz, safetensors or JSON, no pickle."""

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, into an instance made with the same parameters."""
