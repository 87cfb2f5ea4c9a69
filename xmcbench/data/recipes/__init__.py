"""Recipes: functions that parse the files of a kind of data set. The catalogue names the recipe of each data set.

A recipe takes the local files by role, the name of a view and the catalogue entry's options, and returns a `Parsed`.
Raise its version whenever it gives other rows, or other names of them, for the same files: the version is part of the
cache key, so that old caches are not used. View `bow` has features, and texts if available; view `text` has only texts.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from xmcbench.data.spec import Parsed
from xmcbench.errors import unknown


def label_matrix(rows: Sequence[Iterable[int]], n_labels: int) -> sp.csr_matrix:
    """(n, L) CSR float32 of ones with sorted ids; a repeated id in a row counts once."""
    sorted_rows = [sorted(set(row)) for row in rows]
    indptr = np.cumsum([0, *map(len, sorted_rows)])
    indices = np.fromiter((label for ids in sorted_rows for label in ids), np.int64, int(indptr[-1]))
    return sp.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=(len(sorted_rows), n_labels))


Files = Mapping[str, Path]
Options = Mapping[str, object]


@dataclass(frozen=True)
class Recipe:
    """A recipe's function as "module:function", imported on use, and the version of its definition."""

    target: str
    version: int

    def run(self, files: Files, view: str, options: Options) -> Parsed:
        """Parse `files` (role → path) into the rows of `view`."""
        module, _, name = self.target.partition(":")
        function: Callable[[Files, str, Options], Parsed] = getattr(importlib.import_module(module), name)
        return function(files, view, options)


_PACKAGE = "xmcbench.data.recipes."
RECIPES = {
    "xc_single": Recipe(_PACKAGE + "xc:single", 1),
    "xc_split": Recipe(_PACKAGE + "xc:split", 1),
    "xc_lf": Recipe(_PACKAGE + "xc:label_features", 1),
    "pecos": Recipe(_PACKAGE + "xc:pecos", 1),
    "eurlex57k": Recipe(_PACKAGE + "eurlex57k:eurlex57k", 2),
    "icd10cm": Recipe(_PACKAGE + "icd10cm:icd10cm", 1),
    "wordnet": Recipe(_PACKAGE + "wordnet:wordnet", 1),
    "edict": Recipe(_PACKAGE + "dictionaries:edict", 1),
    "ding": Recipe(_PACKAGE + "dictionaries:ding", 1),
    "foldoc": Recipe(_PACKAGE + "dictionaries:foldoc", 1),
}


def recipe(name: str) -> Recipe:
    """The recipe of that name; UsageError if it doesn't exist."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
