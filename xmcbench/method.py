"""The contract between a method and the harness; plugin authors start here.

A method is any class with the members of `Method`; no base class is needed. The harness constructs it with its
parameters, calls `fit` once on training rows, then `predict` on rows without labels. The harness controls seeds,
folders, timing, threads, device and the validation split (all in `ctx`, see `xmcbench.context.RunContext`). A method
prints nothing, sets no global seed and never sees a test label.

Rules beyond the members:

- The order is: construct, `fit`, `save`, `warm_up`, `predict`. Runs that differ only in query parameters share the
  fit: the first run predicts with the fitted instance, later runs with a new instance after `load`. `fit` is never
  called after `load`. Query parameters have their defaults during `fit`; `ctx.query` always holds all of them.
- Tuning, if requested, constructs, fits, warms up and predicts for validation rows with each query value. It neither
  saves nor loads, and does not call `report`.
- `predict` gets k plus the length of the longest filter row, at most L, as its `k`. It is called again for single
  rows to measure latency. It may use `inputs.label_texts`. The harness measures compilation by numba apart from the
  times of fit and prediction; any other compilation counts, unless it is in `warm_up`.
- Raise `xmcbench.errors.Diverged` when training produces a value that is not finite. Any other exception becomes
  status `error`, and the next run starts from the beginning. After Ctrl-C, a kill, a time limit or an out-of-memory
  error the next run resumes from `ctx.checkpoints`.
- Parameters are numbers, strings, booleans, None or `Literal` choices, so that users can type them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from xmcbench.errors import UsageError

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.topk import TopK

Progress = Callable[[int, int], None]  # called with (units done, total units); it may raise to stop the work
FAMILIES = ("floor", "tree", "graph-index", "one-vs-rest", "dense", "neighbours", "external", "other")


@dataclass(frozen=True)
class Bounds:
    """Valid range of a number: larger than `above`, at least `least`, at most `most`, smaller than `below`."""

    above: float | None = None
    least: float | None = None
    most: float | None = None
    below: float | None = None

    def hold(self, value: float) -> bool:
        """Whether `value` is within the bounds; NaN and infinity never are."""
        above, least = (-math.inf if end is None else end for end in (self.above, self.least))
        most, below = (math.inf if end is None else end for end in (self.most, self.below))
        return math.isfinite(value) and above < value < below and least <= value <= most

    def __str__(self) -> str:
        """Text that follows "must be": "above 0", "at least 2", "at least 0 and below 1"."""
        named = {"above": self.above, "at least": self.least, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {value:g}" for word, value in named.items() if value is not None)


def param(
    default: Any,
    doc: str,
    source: str,
    *,
    none: str = "",
    query: tuple[Any, ...] = (),
    tune: tuple[Any, ...] = (),
    control: bool = False,
    **bounds: float,
) -> Any:
    """A documented field of a parameters dataclass.

    Parameters
    ----------
    default : int, float, str, bool or None; the annotation gives the type where the default is None.
    doc : what the parameter does, with its unit.
    source : where the default comes from: a paper's table, another program, "measured: …", "ours: why".
    none : meaning of the value None: the rule that chooses a value in its place.
    query : not empty for a query parameter (such as a beam): the values to plot a curve over. Runs that differ only
        in query parameters share one fit, and `predict` must read the value from `ctx.query`.
    tune : values that tuning tries, ordered by increasing effect and including the default. Tuning fits every
        combination of all tunable parameters: keep the product of their counts at about nine.
    control : the parameter is for controls and ablations of a study; `xmcbench info` lists it apart from the others.
    **bounds : `above`, `least`, `most`, `below` of a number, see `Bounds`; `check_bounds` rejects other values.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from xmcbench import param
    >>> @dataclass(frozen=True)
    ... class Params:
    ...     beam: int = param(10, "nodes kept per level", "ours: a guess", least=1, query=(5, 10, 20))
    >>> Params().beam
    10
    >>> check_bounds("mine", Params(beam=0))
    Traceback (most recent call last):
    xmcbench.errors.UsageError: mine: beam is 0, must be at least 1
    """
    limits = Bounds(**bounds) if bounds else None
    metadata = {"doc": doc, "source": source, "bounds": limits, "none": none}
    return field(default=default, metadata={**metadata, "query": tuple(query), "tune": tuple(tune), "control": control})


def check_bounds(method: str, params: Any) -> None:
    """Reject parameters outside the bounds declared with `param`. The harness calls this for every method.

    Raises
    ------
    UsageError : a value is out of bounds; the message begins with the name `method` and says what is valid.
    """
    for parameter in dataclasses.fields(params):
        bounds, value = parameter.metadata.get("bounds"), getattr(params, parameter.name)
        if bounds is not None and value is not None and not bounds.hold(value):
            valid = bounds if math.isfinite(value) else f"a finite number, {bounds}"
            raise UsageError(f"{method}: {parameter.name} is {value}, must be {valid}")


@dataclass(frozen=True)
class NoParams:
    """The parameters of a method that has none."""


@dataclass(frozen=True)
class MethodInfo:
    """Static description of a method, available before an instance exists.

    Attributes
    ----------
    name : the name users type: lower case letters, digits, dashes.
    summary : one line.
    family : one of `FAMILIES`.
    version : version of the method's definition. It is part of a run's identity: raise it when results change.
    citation : BibTeX, or "" if there is nothing to cite.
    parameters : frozen dataclass whose fields are made by `param`.
    presets : name → parameter values, which users select with `name[preset=paper]`. A parameter that is set next to a
        preset overrides it. Records hold the values.
    needs : the subset of "features", "texts", "label_texts" that the method requires.
    wants_validation : the harness provides `ctx.validation`. If the data set has no official validation split, the
        rows are carved from the training rows and are then missing from `train`.
    deterministic : the seed changes nothing; several seeds are run once.
    seeded : two fits with the same seed are equal. False if a library draws random numbers that can't be seeded:
        several seeds are then repeats, and the contract battery compares no two fits.
    devices : the subset of "cpu", "cuda" that the method can use.
    processes : several processes can fit one model: `fit` is called in each, with `ctx.ranks`, and rank 0 has the
        model afterwards.
    scores : what a score means, in one line, such as "estimated probability of the label, 0 to 1".
    comparable : a score means the same in every row, so that a threshold makes sense: `xmcbench predict --above` is for
        these methods alone. False if scores only order the labels of one row.
    seconds : rough wall-clock seconds of a default run on two cores, by data set name, for the plan's estimate.

    Examples
    --------
    >>> from xmcbench import MethodInfo
    >>> info = MethodInfo(name="mine", summary="labels of the nearest title", family="neighbours", version="1")
    >>> info.devices, info.query_parameters()
    (('cpu',), {})
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
    processes: bool = False
    scores: str = ""
    comparable: bool = False
    seconds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def query_parameters(self) -> dict[str, tuple[Any, ...]]:
        """Query parameters, each with the values to plot a curve over."""
        return self._declared("query")

    def tunable_parameters(self) -> dict[str, tuple[Any, ...]]:
        """Parameters that `xmcbench run --tune` selects on validation rows, each with the values it tries."""
        return self._declared("tune")

    def _declared(self, key: str) -> dict[str, tuple[Any, ...]]:
        return {f.name: f.metadata[key] for f in dataclasses.fields(self.parameters) if f.metadata.get(key)}


@dataclass(frozen=True)
class Inputs:
    """Rows to predict for.

    Attributes
    ----------
    features : (n, d) CSR float32, sorted indices, possibly memory-mapped (never write to it); or None.
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
        """The rows selected by a slice, an int array or a boolean mask, in that order."""
        features = None if self.features is None else self.features[which]
        return dataclasses.replace(self, features=features, texts=_pick(self.texts, which))


@dataclass(frozen=True)
class TrainData(Inputs):
    """Training rows: inputs and their `labels`, (n, L) CSR float32 of ones, sorted indices."""

    labels: sp.csr_matrix

    def rows(self, which: Any) -> TrainData:
        inputs = Inputs.rows(self, which)
        return TrainData(inputs.features, inputs.texts, self.label_texts, self.n_labels, self.labels[which])

    def inputs(self) -> Inputs:
        """The same rows without their labels."""
        return Inputs(self.features, self.texts, self.label_texts, self.n_labels)


def _pick(texts: Sequence[str] | None, which: Any) -> Sequence[str] | None:
    if texts is None or isinstance(which, slice):
        return None if texts is None else texts[which]
    import numpy as np

    return [texts[i] for i in np.arange(len(texts))[which]]


@dataclass(frozen=True)
class Facts:
    """Properties of a data set that are quick to compute, for `skip` and `footprint`: counts, and `spread`."""

    name: str
    view: str
    n_train: int
    n_test: int
    n_features: int
    n_labels: int
    available: frozenset[str]  # subset of "features", "texts", "label_texts"
    entries: int = 0  # stored features of the training rows
    test_entries: int = 0  # stored features of the test rows
    pairs: int = 0  # true labels of all training rows
    text_bytes: int = 0  # of the texts of training rows and labels, if they are stored as bytes
    seen: int = 0  # labels that have a training row; 0 if unknown
    spread: float = 0.0  # features that carry a row: (Σ x²)² / Σ x⁴ of its values x, mean of a sample; 0 if unknown


@dataclass(frozen=True)
class Machine:
    """The machine as `skip` sees it: threads of a process, device ("cpu" or "cuda") and processes of the run."""

    threads: int
    device: str
    processes: int = 1


@dataclass(frozen=True)
class Footprint:
    """What a run of a method takes, estimated before it starts.

    Attributes
    ----------
    memory : bytes that `fit` and `predict` hold at their peak, child processes included. The harness adds the data set,
        the predictions and a process with numpy, scipy and numba; torch is the method's, see `helpers.TORCH`.
    disk : bytes of the saved model and of checkpoints, which exist side by side; 0 if unknown.
    """

    memory: int
    disk: int = 0


@runtime_checkable
class Method(Protocol):
    """Members a method must have. Optional members:

    - `footprint(data, machine)` returns a `Footprint` from `Facts` and `Machine` without reading rows. Plans show it,
      and a run that does not fit is skipped; aim at no less than the peak and at no more than twice it. A method
      without this member has an unknown need: its runs always start. None says the same of single runs.

    - `warm_up(ctx)` compiles and loads; it is timed separately.
    - `depends_on()` returns a mapping of strings with everything besides parameters and data that determines a fit,
      such as the hash of a model whose folder a parameter names. It is part of a run's identity.
    - `report(inputs, score, folder, ctx)` describes the fitted model in files in `folder`, one of them `report.md`.
      It is called last, when the predictions are final, once for all runs that share a fit; `score(topk)` returns
      the default metrics of other predictions for the same test `inputs`, at most 40,000 rows at equal distances.
    - `explain(inputs, labels, ctx)` says why a model gives `labels` (ids) to the one row of `inputs`: for each label a
      list of `xmcbench.reasons.Step`, each a sum whose parts are features of the row or training rows. The sums are
      those that `predict` makes, in other order. `xmcbench explain` shows them.
    """

    info: ClassVar[MethodInfo]

    def __init__(self, params: Any) -> None:
        """Store `params`, an instance of `info.parameters`; do nothing expensive here."""

    def skip(self, data: Facts, machine: Machine) -> str | None:
        """A sentence why this data set can't be run on this machine, or None. The harness checks `needs` first.

        It may be a class method if no parameter matters.
        """

    def fit(self, train: TrainData, ctx: RunContext) -> None:
        """Train on training rows. Split long work into `ctx.phase(...)`s and resume it from `ctx.checkpoints`."""

    def predict(self, inputs: Inputs, k: int, ctx: RunContext) -> TopK:
        """The k best labels of each row, or fewer; never build a dense (n, L) matrix."""

    def save(self, folder: Path) -> None:
        """Write everything `predict` needs into an existing empty folder: npz, safetensors or JSON, no pickle."""

    def load(self, folder: Path) -> None:
        """Read what `save` wrote into an instance with the same parameters."""
