"""Parameters of label trees, and their values for Parabel, Bonsai and XR-Linear."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from xmcbench.errors import UsageError
from xmcbench.method import check_bounds, param

PARABEL = "Prabhu et al., WWW 2018; omikuji"
BONSAI = "Khandagale et al., Machine Learning 2020; omikuji's README"
PECOS = "Yu et al., JMLR 2022; PECOS 1.2"

# The defaults are XR-Linear's. All three have at most 100 labels in a last cluster, C = 1, tolerance and threshold of
# 0.1, and a beam of 10.
PRESETS: dict[str, dict[str, object]] = {
    "parabel": {"trees": 3, "arity": 2, "power": 2},
    "bonsai": {"trees": 3, "clusters": "kmeans", "arity": 100, "depth": 3, "power": 2},
    "xrlinear": {},
}
SOURCES = {"parabel": PARABEL, "bonsai": BONSAI, "xrlinear": PECOS}


@dataclass(frozen=True)
class TreeParams:
    """The defaults and the preset `xrlinear` are PECOS's; the presets `parabel` and `bonsai` are omikuji's versions.

    Each preset is also a method; prefer the method's name in tables and commands.
    """

    trees: int = param(1, "trees whose scores are averaged; 3 in Parabel and Bonsai", PECOS, above=0)
    clusters: Literal["balanced", "kmeans"] = param(
        "balanced", "how labels are split: balanced 2-means, or k-means with k = arity", PECOS
    )
    arity: int = param(
        16, "maximum number of children of a node above the labels; a power of two where balanced", PECOS, least=2
    )
    max_leaf: int = param(100, "labels of a cluster that is not split further", "Parabel; PECOS max_leaf_size", above=0)
    depth: int | None = param(
        None,
        "maximum number of levels of classifiers, only for kmeans",
        f"{PECOS}; 3 in Bonsai",
        least=1,
        none="until no cluster is too large",
    )
    negatives: Literal["teacher", "matcher"] = param(
        "teacher", "rows of a node: those with a label below its parent; or also those whose beam has the parent", PECOS
    )
    power: int = param(
        3, "p: a margin z becomes exp(−max(0, 1 − z)^p); 2 in Parabel", "PECOS l3-hinge", least=2, most=3
    )
    cost: float = param(
        1.0,
        "C, weight of the squared hinge loss against the L2 penalty",
        "Parabel, PECOS, LIBLINEAR",
        above=0,
        tune=(0.3, 1.0, 3.0),
    )
    tolerance: float = param(
        0.1, "classifiers stop at this spread of projected gradients", "LIBLINEAR solver 1, PECOS", above=0
    )
    max_iter: int = param(
        100,
        "maximum number of passes over the rows of a classifier; for a node trained as one-vs-rest, of rounds of up to "
        "five passes",
        "napkinXC; Parabel's 20 end some classifiers before their time where C is large",
        above=0,
    )
    threshold: float = param(0.1, "weights of smaller magnitude are dropped", "Parabel; PECOS threshold", least=0)
    beam: int = param(
        10,
        "nodes kept on each level in prediction",
        "Parabel; PECOS beam_size",
        above=0,
        query=(5, 10, 20, 50),
        tune=(10, 20),
    )


def params_of(preset: str) -> type[Any]:
    """`TreeParams` with the values of a preset as defaults."""
    fields = []
    for field in dataclasses.fields(TreeParams):
        values, default, metadata = PRESETS[preset], field.default, dict(field.metadata)
        if field.name in values:
            default = values[field.name]
        if field.name in values or metadata["source"] == PECOS:
            metadata["source"] = SOURCES[preset]
        fields.append((field.name, field.type, dataclasses.field(default=default, metadata=metadata)))
    name = f"{preset.capitalize()}Params"
    cls = dataclasses.make_dataclass(name, fields, frozen=True, namespace={"__doc__": f"`tree[preset={preset}]`."})
    cls.__module__ = __name__  # where the annotations are looked up
    return cls


def check(name: str, params: Any) -> None:
    """UsageError if a value is invalid; the message names the parameter and the valid values."""
    check_bounds(name, params)
    if params.clusters == "balanced" and params.arity & (params.arity - 1):
        raise UsageError(
            f"{name}: arity is {params.arity}, must be a power of two where clusters are balanced",
            "Valid: 2, 4, 8, 16, 32, …",
        )
    if params.depth is not None and params.clusters == "balanced":
        raise UsageError(f"{name}: depth is {params.depth}, which is only valid with clusters=kmeans")
