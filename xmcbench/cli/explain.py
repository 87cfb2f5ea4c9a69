"""`xmcbench explain MODEL`: why a model gives its labels to a text."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli.model import MODEL, DatasetName, say_if_replaced
from xmcbench.cli.options import LARGEST_ID, RESULTS, AsJson, Results
from xmcbench.cli.terminal import columns, make_console, print_text, styled
from xmcbench.errors import DataError, UsageError, counted
from xmcbench.escaping import clean

if TYPE_CHECKING:
    from xmcbench.method import Inputs
    from xmcbench.models.explaining import Explained, NamedStep
    from xmcbench.models.model import Model


def explain(
    model: Annotated[str, MODEL],
    text: Annotated[str | None, typer.Option(help="The text.")] = None,
    features: Annotated[Path | None, typer.Option(help="Features, instead of a text: npz, npy, XMC text.")] = None,
    row: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_ID, help="The row of --features; default: 0, the first.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=LARGEST_ID, help="Number of labels.")] = 3,
    reasons: Annotated[int, typer.Option(min=1, max=LARGEST_ID, help="Words or rows shown per sum.")] = 5,
    dataset: DatasetName = None,
    results: Results = RESULTS,
    as_json: AsJson = False,
) -> None:
    """Show why a model gives its labels to a text.

    Linear models: the words by weight × value, in trees on the path to the label. knn: the nearest training rows. Each
    sum is the one that made the score.

    Example: `xmcbench explain tree --text "injury of the left knee"`
    """
    from xmcbench.models.explaining import data_of
    from xmcbench.models.explaining import explain as explained_by
    from xmcbench.models.folder import find_model
    from xmcbench.records.store import Store

    if (text is None) == (features is None):
        raise UsageError("give one of --text and --features", 'Such as --text "a new text".')
    if text is not None and row is not None:
        raise UsageError("--row is for --features", "Leave it out.")
    fitted = find_model(model, Store(results), dataset)
    say_if_replaced(model, fitted.card)
    fitted.check_explains()
    inputs = fitted.inputs([text]) if text is not None else _row_of(fitted, features, row or 0)
    found = explained_by(fitted, inputs, top, lambda: data_of(fitted))
    if as_json:
        for one in found:
            print(json.dumps(_as_object(one), allow_nan=False))
        return
    if inputs.features is not None and inputs.features.nnz == 0:
        print_text(
            "no feature of the model: " + ("no word of the text is known" if text is not None else "an empty row")
        )
    print_text(f"{fitted.card.method.label} on {fitted.card.dataset.name}. {_legend(fitted, found)}")
    if not found:
        print_text("no label is predicted")
    printed: set[tuple[str, float, str]] = set()
    for one in found:
        _print(one, reasons, printed)


def _row_of(model: Model, path: Path | None, row: int) -> Inputs:
    from xmcbench.data.formats import read_matrix

    assert path is not None
    matrix = read_matrix(path)
    if row >= matrix.shape[0]:
        raise DataError(f"{path}: {counted(matrix.shape[0], 'row')}, there is no row {row}", "Rows count from 0.")
    return model.inputs(features=matrix[[row]])


def _as_object(found: Explained) -> dict[str, object]:
    steps = [{**one._asdict(), "reasons": [reason._asdict() for reason in one.reasons]} for one in found.steps]
    return {**found.label._asdict(), "steps": steps}


def _legend(model: Model, found: list[Explained]) -> str:
    """How to read what follows."""
    text = "The lines below a sum add up to it: plus speaks for a label, minus against it."
    if any(one.result.startswith("factor") for label in found for one in label.steps):
        text += " Factors are multiplied."
    if model.vectorizer is not None and any(part.tokens == "pieces" for part in model.vectorizer.options()):
        text += " A piece of a word has a dash, such as -ing."
    return text


def _print(found: Explained, most: int, printed: set[tuple[str, float, str]]) -> None:
    """Print a label and its sums; those in `printed`, such as the upper levels of a tree, are only named again."""
    from xmcbench.data.spec import title_of

    console, label = make_console(), found.label
    console.print()
    console.print(styled(f"{title_of(label.name, label.text)} · score {label.score:.4g}", "bold"))
    for one in found.steps:
        if not one.reasons:
            _print_sum(f"{one.title}: {one.result}", console.width)
            continue
        sum_of = (one.title, one.value, one.result)
        again = " (as above)" if sum_of in printed else ""
        _print_sum(f"{one.title} = {one.value:.4g} → {one.result}{again}", console.width)
        if not again:
            typer.echo(columns(_rows(one, most, console.width), "    "))
        printed.add(sum_of)


def _print_sum(text: str, width: int) -> None:
    typer.echo(textwrap.fill(clean(text), width, initial_indent="  ", subsequent_indent="      "))


def _rows(one: NamedStep, most: int, width: int) -> list[tuple[str, str, str]]:
    """The largest reasons, the sum of the others, and the constant."""
    constants = [r for r in one.reasons if r.kind == "constant"]
    others = one.reasons[: len(one.reasons) - len(constants)]
    longest = max(20, width - (36 if any(reason.note for reason in others[:most]) else 16))
    rows = [(f"{r.value:+.4f}", _short(r.name, longest), r.note) for r in [*others[:most], *constants]]
    if rest := others[most:]:
        rows.insert(most, (f"{sum(r.value for r in rest):+.4f}", f"({len(rest):,} more)", ""))
    return rows


def _short(text: str, length: int) -> str:
    plain = clean(text[: 4 * length])
    return plain if len(plain) <= length else plain[: length - 1] + "…"
