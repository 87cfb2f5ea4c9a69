"""What a model's folder says of itself: `model.json` for programs, README.md for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from xmcbench.amounts import number, percent
from xmcbench.errors import DataError
from xmcbench.escaping import code, markdown
from xmcbench.inputs import read_json, typed
from xmcbench.records.record import DatasetPart, MethodPart, Metric
from xmcbench.runs.selection import Count

FORMAT = 1  # version of the folder layout; raise it when an older reader would misread a newer folder
CARD, README = "model.json", "README.md"
SHOWN = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@5", "R@100")  # scores in README.md
AGAIN = "Export the model again, or copy its folder again."


class ModelCard(Struct, frozen=True, kw_only=True):
    """The content of `model.json`.

    Attributes
    ----------
    run_id, metrics : the run that fitted the model, and its scores on the test rows.
    method, query, seed : method, version and parameters; the values of query parameters; the run's seed.
    dataset : the data set that the model was fitted on.
    available : which of "features", "texts" and "label_texts" the method got.
    depth : labels that the run predicted per row, before filter pairs were removed. Predictions are made to this depth
        at least, so that their first labels are those of the run.
    text_column : columns of a table that the texts of an import were in, such as "title,content"; "" if unknown.
    libraries : versions of Python and libraries at the time of the fit.
    files : sha256 by relative path of all files but this one; "folder" for subfolders.
    sizes : bytes by relative path of the same files; empty in models of earlier versions.
    seal : hash of everything else.
    """

    run_id: str
    created: str
    method: MethodPart
    query: dict[str, Any]
    seed: int | None
    dataset: DatasetPart
    available: tuple[str, ...]
    depth: Count
    metrics: tuple[Metric, ...]
    libraries: dict[str, Any]
    files: dict[str, str]
    sizes: dict[str, int] = {}
    text_column: str = ""
    format: int = FORMAT
    seal: str = ""


class _Version(Struct):
    format: int


def sealed(card: ModelCard) -> bytes:
    """The text of `model.json`."""
    raw = msgspec.to_builtins(card)
    return json.dumps({**raw, "seal": _seal(raw)}, indent=1, sort_keys=True).encode()


def _seal(raw: Mapping[str, object]) -> str:
    rest = {name: value for name, value in raw.items() if name != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_card(folder: Path) -> ModelCard:
    """The card of an exported model, whose other files are not looked at.

    Raises DataError: there is no model in the folder, or its card is damaged, edited, or of another format.
    """
    path = folder / CARD
    if not path.is_file():
        found = "no such folder" if not folder.is_dir() else f"no model, since it has no {CARD}"
        raise DataError(f"{folder}: {found}", "`xmcbench model export RUN --to FOLDER` writes one.")
    raw = read_json(path, AGAIN)
    written_by = typed(raw, _Version, str(path), AGAIN).format
    if written_by != FORMAT:
        hint = "Export the model again, or use the version of xmcbench that wrote it."
        raise DataError(f"{path}: format {written_by}, this version of xmcbench reads {FORMAT}", hint)
    card = typed(raw, ModelCard, str(path), AGAIN)
    if card.seal != _seal(raw):
        raise DataError(f"{path}: changed after the export", AGAIN)
    return card


def facts(card: ModelCard) -> list[tuple[str, str]]:
    """(title, text) of what a reader wants to know of a model first."""
    method, data = card.method, card.dataset
    values = {metric.name: metric.value for metric in card.metrics}
    scores = ", ".join(f"{name} {percent(values[name])}" for name in SHOWN if values.get(name) is not None)
    reads = "texts" if "vectorizer" in card.files or "features" not in card.available else ""
    features = f"rows of {number(data.n_features)} features" if "features" in card.available else ""
    if not reads and "texts" in card.available:
        features += ", with their texts where the method reads them"
    return [
        ("method", f"{method.label}, version {method.version}"),
        ("data set", f"{data.name} (view {data.view}, revision {data.revision})"),
        ("labels", f"{number(data.n_labels)}{'' if 'label_texts' in card.available else ', without names'}"),
        ("reads", " or ".join(filter(None, (reads, features)))),
        ("test scores", scores or "none"),
        ("run", f"{card.run_id}, seed {card.seed}"),
        ("written", f"{card.created}, xmcbench {card.libraries.get('xmcbench', 'unknown')}"),
    ]


def readme(card: ModelCard, *, reads_texts: bool) -> bytes:
    """README.md of an exported model: what it is, what it scored, and how to use it."""
    method, data = card.method, card.dataset
    values = {metric.name: metric for metric in card.metrics}
    shown = [values[name] for name in SHOWN if name in values and values[name].value is not None]
    lines = [
        f"# {markdown(method.label)}, fitted on {markdown(data.name)}",
        "",
        f"A model of xmcbench: {markdown(method.name)} version "
        f"{markdown(method.version)}, {data.n_labels:,} labels, fitted on {data.n_train:,} rows of "
        f"{markdown(data.name)} (view {markdown(data.view)}, revision {markdown(data.revision or 'unknown')}).",
        "",
        "| metric | on the test rows, percent | 95 % interval |",
        "|---|---:|---:|",
        *map(_row, shown),
        "",
        "## Use",
        "",
    ]
    if reads_texts:
        lines += [
            '    xmcbench predict FOLDER --text "a new text"',
            "    xmcbench predict FOLDER --texts new.csv --to labels.csv",
            "",
            "    import xmcbench as xb",
            '    model = xb.load_model("FOLDER")',
            '    print(model.predict(["a new text"], k=5)[0])',
        ]
        if card.text_column:
            columns = f"{code(card.text_column)}{' (joined with a space)' if ',' in card.text_column else ''}"
            lines += ["", f"In tables, texts are read from {columns} unless `--text-column` is given."]
    else:
        lines += [
            f"The model reads rows of {data.n_features or 0:,} features, not texts:",
            "",
            "    xmcbench predict FOLDER --features rows.npz --to labels.csv",
        ]
        if "texts" in card.available:
            lines += ["", "If the method reads texts too, give them beside the features: `--texts rows.txt`."]
    lines += [
        "",
        "## Origin",
        "",
        f"- Run {code(card.run_id)}, seed {card.seed}, model written {markdown(card.created)}",
        f"- Content of the data set: {code(data.content_hash)}",
        f"- Parameters: {code(json.dumps(method.parameters, sort_keys=True))}",
        f"- Method of {markdown(method.origin or 'unknown origin')}; loading needs it installed in the same version",
        f"- Versions: {code(', '.join(f'{name} {version}' for name, version in sorted(card.libraries.items())))}",
        "",
        f"`{CARD}` has these facts and the hash of every file. No file holds code, and loading runs none.",
        "",
    ]
    return "\n".join(lines).encode()


def _row(metric: Metric) -> str:
    interval = f"{_percent(metric.low)} to {_percent(metric.high)}"
    return f"| {markdown(metric.name)} | {_percent(metric.value)} | {interval} |"


def _percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.2f}"
