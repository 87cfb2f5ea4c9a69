"""Recipes: how a data set's files become rows. One function a kind of data set, named in the catalogue.

A recipe takes the local files by role, the name of a view and the catalogue entry's options, and returns a `Parsed`.
Raise its version whenever it gives other rows for the same files: the version is part of the cache key, so old parses
are left aside. View `bow` has features, and texts where there are any; view `text` has texts alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.data.spec import Split
from xmcbench.errors import unknown


def no_pairs() -> NDArray[np.int64]:
    """The filter of a data set that has none."""
    return np.empty((0, 2), np.int64)


@dataclass(frozen=True)
class Parsed:
    """What a recipe makes of the files: the part of a `Dataset` that the cache keeps (fields as there)."""

    train: Split
    test: Split
    validation: Split | None = None
    label_texts: Sequence[str] | None = None
    train_filter: NDArray[np.int64] = field(default_factory=no_pairs)
    test_filter: NDArray[np.int64] = field(default_factory=no_pairs)
    label_groups: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    row_groups: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


Files = Mapping[str, Path]
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """Where a recipe's function lives ("module:function"; imported on use) and which definition it is."""

    target: str
    version: int

    def run(self, files: Files, view: str, options: Options) -> Parsed:
        """Parse `files` (role → path) into the rows of `view`."""
        module, _, name = self.target.partition(":")
        function: Callable[[Files, str, Options], Parsed] = getattr(importlib.import_module(module), name)
        return function(files, view, options)


_HERE = "xmcbench.data.recipes."
RECIPES = {
    "xc_single": Recipe(_HERE + "xc:single", 1),
    "xc_split": Recipe(_HERE + "xc:split", 1),
    "xc_lf": Recipe(_HERE + "xc:label_features", 1),
    "pecos": Recipe(_HERE + "pecos:pecos", 1),
    "eurlex57k": Recipe(_HERE + "eurlex57k:eurlex57k", 1),
    "icd10cm": Recipe(_HERE + "icd10cm:icd10cm", 1),
    "wordnet": Recipe(_HERE + "wordnet:wordnet", 1),
    "edict": Recipe(_HERE + "edict:edict", 1),
    "ding": Recipe(_HERE + "ding:ding", 1),
    "foldoc": Recipe(_HERE + "foldoc:foldoc", 1),
}


def recipe(name: str) -> Recipe:
    """The recipe of that name; UsageError where the catalogue names one that doesn't exist."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
