"""`xmcbench model`: export a fitted model as a folder, and show what a model is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from xmcbench.cli import completion
from xmcbench.cli.options import AS_FOLDER, ONLY_DATASET, RESULTS, AsJson, Results
from xmcbench.cli.terminal import columns, say

if TYPE_CHECKING:
    from xmcbench.models.card import ModelCard

MODEL = typer.Argument(
    autocompletion=completion.models,
    help="A model's folder, a run (id or part of it), or a method's name (its newest run with a model).",
)
DatasetName = Annotated[str | None, ONLY_DATASET]
model_app = typer.Typer(help="Fitted models as folders that need nothing else.", no_args_is_help=True)


def say_if_replaced(model: str, card: ModelCard) -> None:
    """Note that the data set of a run's model was imported again since; a folder is taken as it is."""
    from xmcbench.data.imported import replaced_by

    data = card.dataset
    if not Path(model).is_dir() and (now := replaced_by(data.name, data.revision)):
        again = f"xmcbench run '{card.method.label}' --dataset {data.name} --keep-models"
        said = f"note: the model is of revision {data.revision} of {data.name}, which is now {now}"
        say(f"{said}: `{again}` fits it again", err=True)


@model_app.command()
def export(
    run: Annotated[str, MODEL],
    to: Annotated[Path, typer.Option(**AS_FOLDER, help="The new folder.")],
    dataset: DatasetName = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model that is there.")] = False,
    results: Results = RESULTS,
) -> None:
    """Copy a kept model to a folder that needs nothing else.

    `xmcbench run --keep-models` keeps it.
    """
    from xmcbench.models import folder
    from xmcbench.models.card import read_card
    from xmcbench.records.store import Store

    source = folder.model_folder(run, Store(results), dataset)
    say_if_replaced(run, read_card(source))
    folder.export(source, to, replace=replace)
    say(f"model: {to}")


@model_app.command()
def info(
    model: Annotated[str, MODEL],
    dataset: DatasetName = None,
    results: Results = RESULTS,
    as_json: AsJson = False,
) -> None:
    """Check a model's files, and show what it is."""
    from xmcbench.models import folder
    from xmcbench.records.store import Store

    path = folder.model_folder(model, Store(results), dataset)
    card = folder.check(path)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(card), indent=1, sort_keys=True))
    else:
        _print(path, card, folder.cannot_load(card, path))


def _print(path: Path, card: ModelCard, fault: str) -> None:
    from xmcbench.models.card import facts

    rows = [("folder", str(path)), *facts(card)]
    typer.echo(columns([*rows, ("not loaded here", fault)] if fault else rows))
