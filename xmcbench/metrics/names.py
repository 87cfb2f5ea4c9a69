"""Metric names: `NAME[(param=value,…)][@k][:slice]`, such as P@1, PSP(norm=none)@5, P@5:tail.

Case does not matter on input; `str(name)` is the one canonical text, used as JSON key and table header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from xmcbench.errors import UsageError, unknown
from xmcbench.metrics import labels, propensity, ranking
from xmcbench.metrics.definition import Definition

ALL = (*ranking.DEFINITIONS, *propensity.DEFINITIONS, *labels.DEFINITIONS)
METRICS = tuple(dict.fromkeys(d.metric for d in ALL))
DEFAULT = (
    *(f"{metric}@{k}" for metric in ("P", "nDCG", "PSP", "PSnDCG") for k in (1, 3, 5)),
    *("R@10", "R@100", "RPrec", "Coverage@5", "MacroF1@5"),
)
SKIP = "empty=skip"  # the mean leaves out rows without a true label, as pyxclib's remove_invalid and recall_at_k do

_DEFINED = {(d.metric, variant): d for d in ALL for variant in (d.variant, *d.same)}
_ALIASES = {"precision": "p", "recall": "r", "mrr": "rr", "r-precision": "rprec", "rprecision": "rprec"}
_FORM = re.compile(
    r"(?P<name>[a-z0-9-]+)(\((?P<params>[^()]*)\))?(@(?P<k>[0-9]{1,9}))?(:(?P<slice>[a-z0-9_.-]+))?", re.IGNORECASE
)


@dataclass(frozen=True)
class Name:
    """A parsed metric name: metric, parameters in canonical order, cut-off, and slice."""

    metric: str
    params: tuple[str, ...] = ()
    k: int | None = None
    slice: str | None = None

    def __str__(self) -> str:
        params = f"({','.join(self.params)})" if self.params else ""
        cut = "" if self.k is None else f"@{self.k}"
        return f"{self.metric}{params}{cut}{f':{self.slice}' if self.slice else ''}"

    @property
    def definition(self) -> Definition:
        return _DEFINED[self.metric, "".join(p for p in self.params if p != SKIP)]

    @property
    def skips_empty(self) -> bool:
        """Whether the mean leaves out rows without a true label (`SKIP`)."""
        return SKIP in self.params


def parse(text: str) -> Name:
    """Read one metric name.

    Raises UsageError: the message has the nearest valid name, parameter or form.
    """
    match = _FORM.fullmatch(re.sub(r"\s", "", text))
    if not match:
        raise UsageError(
            f"metric {text!r} is not of the form NAME(param=value)@k:slice", "Such as P@1, PSP@5, P@5:tail."
        )
    by_fold = {metric.casefold(): metric for metric in METRICS}
    folded_name = match["name"].casefold()
    folded_name = _ALIASES.get(folded_name, folded_name)
    if folded_name not in by_fold:
        raise unknown("metric", match["name"], METRICS)
    metric = by_fold[folded_name]
    params = tuple(sorted({p for p in (match["params"] or "").casefold().split(",") if p}))
    _check_params(text, metric, params)
    name = Name(
        metric, params, None if match["k"] is None else int(match["k"]), (match["slice"] or "").casefold() or None
    )
    if name.k == 0:
        raise UsageError(f"metric {text!r}: the cut-off must be at least 1")
    if name.k is None and name.definition.cut == "needed":
        raise UsageError(f"metric {text!r} needs a cut-off", f"Such as {metric}@5.")
    if name.k is not None and name.definition.cut == "none":
        raise UsageError(f"metric {text!r}: {metric} takes no cut-off", f"Write {metric}.")
    return name


def parse_all(texts: Iterable[str | Name]) -> list[Name]:
    """Read several names, in order, without duplicates; all faults are reported together."""
    names: list[Name] = []
    errors: list[UsageError] = []
    for text in texts:
        try:
            names.append(text if isinstance(text, Name) else parse(text))
        except UsageError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise UsageError("\n".join(str(error) for error in errors))
    return list(dict.fromkeys(names))


def split(text: str) -> list[str]:
    """The names in "P@1,PSP(norm=none)@5": commas inside parentheses do not separate names."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def describe() -> list[Definition]:
    """Every definition, for `xmcbench ls metrics`."""
    return list(ALL)


def _check_params(text: str, metric: str, params: tuple[str, ...]) -> None:
    variants = [variant for name, variant in _DEFINED if name == metric and variant]
    chosen = [param for param in params if param != SKIP]
    for param in chosen:
        if param not in variants:
            raise unknown(f"parameter in {text!r}:", param, [*variants, SKIP])
    if len(chosen) > 1:
        raise UsageError(f"metric {text!r}: {' and '.join(chosen)} exclude each other", "Give one of them.")
    if SKIP in params and _DEFINED[metric, "".join(chosen)].kind != "mean of rows":
        raise UsageError(f"metric {text!r}: {SKIP} has no meaning there", "Only a mean of rows can leave rows out.")
