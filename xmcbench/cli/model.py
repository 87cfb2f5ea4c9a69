"""`xmcbench model`: export a fitted model as a folder, and show what a model is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from xmcbench.cli import completion
from xmcbench.cli.options import AS_FOLDER, ONLY_DATASET, RESULTS, AsJson, Results
from xmcbench.cli.terminal import columns, number, percent, say

if TYPE_CHECKING:
    from xmcbench.models.card import ModelCard

MODEL = typer.Argument(
    autocompletion=completion.models,
    help="A model's folder, a run (id or part of it), or a method's name (its newest run with a model).",
)
DatasetName = Annotated[str | None, ONLY_DATASET]
model_app = typer.Typer(help="Fitted models as folders that need nothing else.", no_args_is_help=True)


@model_app.command()
def export(
    run: Annotated[str, MODEL],
    to: Annotated[Path, typer.Option(**AS_FOLDER, help="The new folder.")],
    dataset: DatasetName = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a model that is there.")] = False,
    results: Results = RESULTS,
) -> None:
    """Copy the model of a run that was made with --keep-models to a folder that needs nothing else."""
    from xmcbench.models import folder
    from xmcbench.records.store import Store

    folder.export(folder.model_folder(run, Store(results), dataset), to, replace=replace)
    say(f"model: {to}")


@model_app.command()
def info(
    model: Annotated[str, MODEL],
    dataset: DatasetName = None,
    results: Results = RESULTS,
    as_json: AsJson = False,
) -> None:
    """Show method, data set, scores and versions of a model, after its files were checked."""
    from xmcbench.models import folder
    from xmcbench.records.store import Store

    path = folder.model_folder(model, Store(results), dataset)
    card = folder.check(path)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(card), indent=1, sort_keys=True))
    else:
        _print(path, card)


def _print(path: Path, card: ModelCard) -> None:
    from xmcbench.models.card import SHOWN

    method, data = card.method, card.dataset
    values = {metric.name: metric.value for metric in card.metrics}
    scores = ", ".join(f"{name} {percent(values[name])}" for name in SHOWN if values.get(name) is not None)
    reads = "texts" if "vectorizer" in card.files or "features" not in card.available else ""
    features = f"rows of {number(data.n_features)} features" if "features" in card.available else ""
    rows = [
        ("folder", path),
        ("method", f"{method.label}, version {method.version}"),
        ("data set", f"{data.name} (view {data.view}, revision {data.revision})"),
        ("labels", f"{number(data.n_labels)}{'' if 'label_texts' in card.available else ', without names'}"),
        ("reads", " or ".join(filter(None, (reads, features)))),
        ("test scores", scores or "none"),
        ("run", f"{card.run_id}, seed {card.seed}"),
        ("written", f"{card.created}, xmcbench {card.libraries.get('xmcbench', 'unknown')}"),
    ]
    typer.echo(columns(rows))
