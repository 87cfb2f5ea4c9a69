"""Synthetic data sets by name: "synthetic", "synthetic[labels=100000,rows=50000]", "synthetic[preset=amazon-670k]".

`planted` has the generative model, `presets` the shapes of real data sets.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from xmcbench import limits
from xmcbench.data.presets import preset
from xmcbench.data.spec import Parsed
from xmcbench.errors import DataError, UsageError, counted, unknown

VERSION = 1  # version of the generative model; raise it when the same parameters give other rows
BYTES_PER_WORD = 16  # of rows, in features and texts together
RARE = 1e-4  # least probability that a draw of a label's parents has no repeats
NOT_COUNTS = ("noise", "texts", "preset")  # parameters that have no lowest value
TRUTH = {"true": True, "false": False}
STEEPEST = 4  # exponent of frequencies, with which the first label has nearly all rows


@dataclass(frozen=True)
class Parameters:
    """Parameters of a synthetic data set; the defaults (ours) train in about a minute."""

    rows: int = 10_000  # training rows
    test: int = 2_000  # test rows
    labels: int = 2_000
    features: int = 5_000  # words
    per_row: float = 3.0  # mean number of label slots per row
    parents: int = 2  # of each label
    branching: int = 20  # labels for each node; a node has branching × parents children
    noise: float = 0.3  # share of slots that show only their parent
    seed: int = 0
    per_topic: float = 1.0  # mean number of label slots that share a parent in a row
    words: int = 4  # words owned by each label and each node
    background: float = 5.0  # mean number of noise words per row
    exponent: float = 1.0  # label frequencies are proportional to (rank + shift)^−exponent, where ranks begin at 1
    shift: float = 0.0
    texts: bool = True  # of rows and labels; without them a data set is as one in XMC text files
    preset: str = ""  # name of the preset that these values were given beside; see `presets`

    def __post_init__(self) -> None:
        values = {key: value for key, value in dataclasses.asdict(self).items() if key not in NOT_COUNTS}
        lowest = dict.fromkeys(values, 1) | {"labels": 2, "seed": 0, "background": 0, "exponent": 0, "shift": 0}
        errors = [f"{key}={value}: at least {lowest[key]}" for key, value in values.items() if not value >= lowest[key]]
        if not 0 <= self.noise <= 1:
            errors.append(f"noise={self.noise}: between 0 and 1")
        if self.exponent > STEEPEST:
            errors.append(f"exponent={self.exponent}: at most {STEEPEST}")
        if self.per_topic > self.per_row:
            errors.append(f"per_topic={self.per_topic}: more than per_row={self.per_row}")
        if not errors and self.parents > self.nodes:
            parents = counted(self.nodes, "parent")
            few = f"{self.labels} labels have {parents}, one for each {self.branching} (branching)"
            least = self.branching * (self.parents - 1) + 1
            errors.append(f"parents={self.parents}: {few}; give labels={least} or more, or parents={self.nodes}")
        if max(value for key, value in values.items() if key != "seed") >= 2**31:
            errors.append("sizes must be below 2³¹")
        elif not errors:
            errors += self._too_large()
        if errors:
            raise UsageError(f"synthetic: {'; '.join(errors)}")

    def _too_large(self) -> list[str]:
        """Faults of values that are valid, but need more memory or time than any machine has."""
        words = self.words * (self.labels * (1 + self.parents) + self.nodes)  # of the world and of label texts
        errors = []
        for count, what in ((self.entries, "words in all rows"), (words, "words of labels")):
            if count > limits.SYNTHETIC_ENTRIES:
                errors.append(f"about {count:,} {what}, at most {limits.SYNTHETIC_ENTRIES:,} are possible")
        if self.features > limits.COLUMNS:
            errors.append(f"features={self.features}: at most {limits.COLUMNS:,}")
        if self.seed >= 2**63:
            errors.append("seed must be below 2⁶³")
        taken = np.arange(min(self.parents, self.nodes)) / self.nodes
        if np.log1p(-taken).sum() < np.log(RARE):
            problem = (
                f"parents={self.parents}: too many of {self.nodes} nodes, since a label's are drawn until they differ"
            )
            errors.append(f"{problem}; give fewer, or a smaller branching")
        return errors

    @property
    def entries(self) -> int:
        """The expected number of words in all rows, repeated ones and those of hidden labels included."""
        per_row = self.words * (self.per_row / self.per_topic + self.per_row) + self.background
        return int((self.rows + self.test) * per_row)

    @property
    def nodes(self) -> int:
        return -(-self.labels // self.branching)

    @property
    def name(self) -> str:
        """ "synthetic", or "synthetic[labels=…,…]" with the values that differ from the defaults, in a fixed order.

        With a preset, "synthetic[preset=…,…]" with those that differ from the preset's.
        """
        default = dataclasses.asdict(Parameters()) | dict(preset(self.preset) if self.preset else {})
        values = dataclasses.asdict(self)
        changed = [(key, values[key]) for key in ("preset", *values) if values[key] != default[key]]
        return "synthetic" + (
            f"[{','.join(f'{key}={spelled(value)}' for key, value in dict(changed).items())}]" if changed else ""
        )


def parameters(name: str) -> Parameters:
    """Read "synthetic", "synthetic[labels=100000,rows=50000]" or "synthetic[preset=amazon-670k,rows=50000]".

    Values given beside a preset replace its own. UsageError for an unknown key or an invalid value.
    """
    match = re.fullmatch(r"\s*synthetic\s*(?:\[(.*)\])?\s*", name, re.IGNORECASE)
    if match is None:
        raise UsageError(f"{name!r} is not a synthetic data set", 'Write "synthetic[labels=100000,rows=50000,seed=1]".')
    types = {key: type(value) for key, value in dataclasses.asdict(Parameters()).items()}
    values: dict[str, Any] = {}
    for part in (match[1] or "").split(",") if (match[1] or "").strip() else []:
        key, _, value = (word.strip() for word in part.partition("="))
        if key not in types:
            raise unknown("parameter of synthetic", key, types)
        if key in values:
            raise UsageError(f"{name!r}: {key} is given twice")
        try:
            values[key] = TRUTH[value.casefold()] if types[key] is bool else types[key](value)
        except (ValueError, KeyError):
            expected = {int: "a whole number", bool: "true or false"}.get(types[key], "a number")
            raise UsageError(f"{name!r}: {key}={value!r} is not {expected}") from None
    if "preset" in values:
        values["preset"] = values["preset"].casefold()
        values = {**preset(values["preset"]), **values}
    return Parameters(**values)


def spelled(value: object) -> str:
    """A value as it is written in a name."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def make(p: Parameters) -> Parsed:
    """Generate both splits, label texts (words of a label and its parents) if rows have any, the ceiling in `extra`.

    DataError if the rows need more memory than is free.
    """
    from xmcbench.data.ceiling import Ceiling
    from xmcbench.data.planted import label_texts, make_split, make_world

    try:
        limits.check_memory(BYTES_PER_WORD * p.entries)
    except MemoryError as error:
        raise DataError(f"{p.name}: {error}", "Give fewer rows, or use a machine with more memory.") from error
    world = make_world(p)
    ceiling = Ceiling(world)
    train = make_split(p, world, "train")
    test = make_split(p, world, "test", ceiling.add)
    rows = "these" if ceiling.n_rows == p.test else f"the first {ceiling.n_rows:,}"
    meaning = (
        f"expected P@k on {rows} test rows of a predictor that knows the generating model and tells the label slots of "
        "a row apart; no method can expect more"
    )
    absent = {"preset": "", "texts": True}  # not given: data sets from before these parameters are the same
    parameters_given = {key: value for key, value in dataclasses.asdict(p).items() if value != absent.get(key)}
    extra = {"parameters": parameters_given, "best_reachable": {**ceiling.precision(), "meaning": meaning}}
    return Parsed(train, test, label_texts=label_texts(world, p.features) if p.texts else None, extra=extra)
