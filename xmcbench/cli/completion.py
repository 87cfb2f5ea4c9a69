"""What shells complete: names of methods, data sets, views, metrics and runs.

A shell starts the program for every press of Tab. So nothing here imports numpy, opens a data set or a record, or takes
a lock, and an error means that there is nothing to complete. The functions are the `autocompletion` of typer's
parameters: they get the context with what is typed so far, and the beginning of the word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from xmcbench.escaping import clean

# Those of `xmcbench.metrics`, whose import takes numpy; a test compares them.
WITH_CUT = ("P", "nDCG", "PSP", "PSnDCG", "R", "PSR", "Success", "Coverage", "MacroP", "MacroR", "MacroF1")
WHOLE = ("RR", "RPrec")
CUTS = (1, 3, 5, 10, 100)
FIGURES = ("quality", "curve", "recall", "groups", "deciles", "learning")  # those of `xmcbench.plots`, likewise
Candidates = Callable[[typer.Context], Iterable[str]]
Completion = Callable[[typer.Context, str], list[str]]


def _completing(candidates: Candidates) -> Completion:
    """The candidates that begin with the word, each once; none if they can't be found out."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            names = dict.fromkeys(candidates(ctx))
        except Exception:  # a message would stand in the middle of the user's command
            return []
        return [name for name in names if name.startswith(incomplete) and name == clean(name)]

    return complete


@_completing
def methods(_: typer.Context) -> Iterable[str]:
    from xmcbench.runs.registry import sources

    return sources()


@_completing
def datasets(_: typer.Context) -> Iterable[str]:
    return _datasets()


@_completing
def imports(_: typer.Context) -> Iterable[str]:
    return _imports()


@_completing
def views(ctx: typer.Context) -> Iterable[str]:
    """The views of the data sets that are typed, or else of the default one."""
    from xmcbench.data.catalogue import names
    from xmcbench.data.home import imported
    from xmcbench.running.plan import DEFAULT_DATASET

    typed = next((ctx.params[p] for p in ("dataset", "names", "name") if ctx.params.get(p)), DEFAULT_DATASET)
    for name in [typed] if isinstance(typed, str) else typed:
        entry = names().get(name.partition("[")[0].strip().casefold())
        if entry is not None:
            yield from entry.views
        else:
            yield from json.loads((imported() / name.casefold() / "meta.json").read_bytes())["views"]


@_completing
def runs(ctx: typer.Context) -> Iterable[str]:
    """Ids of runs, the newest first, and names of methods, which mean their newest run."""
    from xmcbench.runs.registry import sources

    yield from _ids(ctx, "records/[!.]*.json")
    yield from sources()


@_completing
def models(ctx: typer.Context) -> Iterable[str]:
    """Ids of the runs whose models are kept, the newest first, and names of methods."""
    from xmcbench.runs.registry import sources

    yield from _ids(ctx, "models/[!.]*/")
    yield from sources()


@_completing
def things(_: typer.Context) -> Iterable[str]:
    """What `info` and `cite` take: methods, data sets and metrics."""
    from xmcbench.runs.registry import sources

    return [*sources(), *_datasets(), *WITH_CUT, *WHOLE]


def metrics(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of metrics; the earlier ones of a list with commas stay."""
    earlier, comma, last = incomplete.rpartition(",")
    return [f"{earlier}{comma}{name}" for name in _metrics(ctx, last)]


@_completing
def figures(_: typer.Context) -> Iterable[str]:
    return FIGURES


@_completing
def _metrics(_: typer.Context) -> Iterable[str]:
    return [*(f"{name}@{k}" for name in WITH_CUT for k in CUTS), *WHOLE]


def _datasets() -> list[str]:
    from xmcbench.data.catalogue import catalogue

    return [*catalogue(), *_imports()]


def _imports() -> list[str]:
    from xmcbench.data.home import imported

    return sorted(path.parent.name for path in imported().glob("[a-z0-9]*/meta.json"))


def _ids(ctx: typer.Context, pattern: str) -> list[str]:
    folder = Path(ctx.params.get("results") or "results").expanduser()
    return sorted((path.name.removesuffix(".json") for path in folder.glob(pattern)), reverse=True)
