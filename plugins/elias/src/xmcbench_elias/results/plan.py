"""The runs of RESULTS.md, and the commands that create them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from xmcbench.runs.plan import make_plan
from xmcbench.runs.spec import spell
from xmcbench_elias.method import Elias
from xmcbench_elias.params import EliasParams

STEPS = {"stage1": "stage 1", "model": "+ stage 2", "ranker": "+ ranker", "final": "final"}
MEMBERS, NO_INDEX = "× 3 members", "full one-vs-all"
OTHERS = ("ance", "omikuji", "bonsai", "ovr")  # other methods in the figure


class Board(NamedTuple):
    """A data set in one of its views."""

    dataset: str
    view: str


def _boards(*names: str) -> tuple[Board, ...]:
    return tuple(Board(name, "bow") for name in names)


@dataclass(frozen=True)
class Plan:
    """The content of RESULTS.md.

    Attributes
    ----------
    boards : boards with a table of stages. control : boards on which the learned index is compared with the tree's.
    studied : boards of the sweeps, the edges and the figure. weights, leaves : values of `shortlist_weight` and
        `row_leaves` in the sweeps, three of the paper's seven (`text.BY_WEIGHT` and `text.BY_LEAVES`), since each is a
        fit. seeds, sweep_seeds : seeds of the runs, and of the sweeps.
    """

    boards: tuple[Board, ...] = (
        Board("icd10cm", "bow"),
        Board("icd10cm-code", "code"),
        Board("eurlex-4.3k", "bow"),
        Board("eurlex-4.3k", "title"),
        *_boards("wordnet", "synthetic", "delicious", "bibtex", "edict", "ding", "foldoc"),
    )
    control: tuple[Board, ...] = _boards("icd10cm", "wordnet", "eurlex-4.3k")
    studied: tuple[Board, ...] = _boards("wordnet", "icd10cm")
    weights: tuple[float, ...] = (0.0, 4.0, 40.0)
    leaves: tuple[int, ...] = (2, 10, 50)
    seeds: tuple[int, ...] = (0, 1, 2)
    sweep_seeds: tuple[int, ...] = (0,)


def elias(**parameters: object) -> str:
    """The argument of `xmcbench run`, such as `elias[output=model]`."""
    inside = ",".join(f"{name}={spell(value)}" for name, value in parameters.items())
    return f"elias[{inside}]" if inside else "elias"


def steps() -> dict[str, str]:
    """Title → method of the rows of a table of stages; outputs that are not in `STEPS` come last."""
    outputs = Elias.info.query_parameters()["output"]
    other_outputs = {str(name): f"output={name}" for name in outputs if name not in STEPS}
    rows = {title: elias(output=name) for name, title in {**STEPS, **other_outputs}.items()}
    return {**rows, MEMBERS: elias(members=3), NO_INDEX: elias(index="none", ranker="none", output="model")}


def swept(name: str, value: float) -> str:
    """A point of a sweep: the network alone, so that at the default no further run is needed."""
    return GRAPH if value == getattr(EliasParams(), name) else elias(**{name: value}, ranker="none", output="model")


# The network alone: it does not depend on the ranker, which would take a third of the time.
TREE = elias(index="tree", ranker="none", output="model")
GRAPH = elias(output="model")


@cache
def resolved(text: str, board: Board, seeds: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """The label of this run's records, and its seeds: only one for a deterministic method."""
    name = text.partition("[")[0]
    specs = [s for s in make_plan([text], [board.dataset], view=board.view, seeds=seeds) if s.source == name]
    return specs[0].label, tuple(spec.seed for spec in specs)


def command(texts: Sequence[str], board: Board, seeds: Sequence[int]) -> str:
    """The command for these runs; runs that share a fit are fitted once."""
    words = ["xmcbench", "run", *_merged(texts), "--dataset", board.dataset]
    if not board.dataset.startswith("synthetic"):  # synthetic data has one view
        words += ["--view", board.view]
    return shlex.join([*words, "--seeds", ",".join(map(str, seeds))])


def commands(plan: Plan) -> Iterator[str]:
    """The commands of all runs: one per board, and one per sweep of a board."""
    for board in plan.boards:
        tree = [TREE] if board in plan.control else []
        yield command([*steps().values(), *tree, *(OTHERS if board in plan.studied else ())], board, plan.seeds)
    for board in plan.studied:
        for name, values in (("shortlist_weight", plan.weights), ("row_leaves", plan.leaves)):
            yield command([swept(name, value) for value in values], board, plan.sweep_seeds)


def _merged(texts: Sequence[str]) -> list[str]:
    """Merge methods that differ in the value of one parameter: `elias[output=stage1|model]`."""
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for text in texts:
        name, _, inside = text.rstrip("]").partition("[")
        parts = [part.partition("=") for part in inside.split(",") if part]
        groups.setdefault((name, *(part[0] for part in parts)), []).append(tuple(part[2] for part in parts))
    merged = []
    for (name, *names), rows in groups.items():
        columns = [list(dict.fromkeys(column)) for column in zip(*rows, strict=True)]
        several = sum(len(column) > 1 for column in columns) > 1
        for values in rows if several else [tuple("|".join(column) for column in columns)]:
            inside = ",".join(f"{key}={value}" for key, value in zip(names, values, strict=True))
            merged.append(f"{name}[{inside}]" if inside else name)
    return merged
