"""`xmcbench ls`: list methods, data sets, metrics and runs without importing or opening any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from xmcbench.errors import unknown

Row = dict[str, Any]


def ls(
    kind: Annotated[
        str | None, typer.Argument(help="methods, datasets, metrics or runs. Default: a summary of all.")
    ] = (None),
    results: Annotated[Path | None, typer.Option(help="Results folder, for runs.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List methods, data sets, metrics or runs."""
    from xmcbench.cli.plain import paragraph, table

    if kind is not None and kind not in KINDS:
        raise unknown("kind of thing", kind, KINDS)
    rows = {name: list_of(results) for name, list_of in KINDS.items() if kind in (None, name)}
    if as_json:
        typer.echo(json.dumps(rows if kind is None else rows[kind], indent=1))
    elif kind is None:
        for name, entries in rows.items():
            words = ", ".join(dict.fromkeys(str(row["name"]) for row in entries))
            if name == "runs":
                words = f"{len(entries)} in {_results_folder(results)}"
            typer.echo(f"{name}:\n{paragraph(words or 'none')}")
    elif rows[kind]:
        titles = [key.replace("_", " ") for key in rows[kind][0]]
        typer.echo(table([titles, *map(_cells, rows[kind])], short=SHORT.get(kind, {}), drop=DROP.get(kind, ())))
    else:
        typer.echo(f"no {kind}" + (f" in {_results_folder(results)}" if kind == "runs" else ""))


def _methods(_: Path | None) -> list[Row]:
    from xmcbench.runs import registry

    sources = registry.sources().values()
    return [{"name": s.name, "from": s.origin, "defined_in": s.target} for s in sources]


def _datasets(_: Path | None) -> list[Row]:
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.home import imported

    rows = [
        {
            "name": entry.name,
            "train": entry.expected.get("n_train"),
            "test": entry.expected.get("n_test"),
            "labels": entry.expected.get("n_labels"),
            "views": list(entry.views),
            "licence": entry.licence,
            "title": entry.title,
        }
        for entry in catalogue().values()
    ]
    folder = imported()
    imported_names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    unknown_facts: Row = {"train": None, "test": None, "labels": None, "views": [], "licence": "yours"}
    return rows + [{"name": name, **unknown_facts, "title": "imported from your files"} for name in imported_names]


def _metrics(_: Path | None) -> list[Row]:
    from xmcbench.metrics import describe

    suffix = {"needed": "@k", "optional": "[@k]", "none": ""}
    return [
        {
            "name": f"{d.metric}{f'({d.variant})' if d.variant else ''}{suffix[d.cut]}",
            "kind": d.kind,
            "weighted": d.weighted,
            "summary": d.summary,
        }
        for d in describe()
    ]


def _runs(results: Path | None) -> list[Row]:
    from xmcbench.results.store import Store

    damaged: list[str] = []
    records = Store(_results_folder(results)).records(damaged)
    for text in damaged:
        typer.echo(f"warning: {text}", err=True)
    return [
        {
            "name": record.run_id,
            "status": record.status,
            "method": record.method.label,
            "dataset": f"{record.dataset.name} ({record.dataset.view})",
            "seed": record.seed,
            "P@1": record.metric("P@1"),
            "PSP@5": record.metric("PSP@5"),
            "fit_seconds": record.costs.fit_seconds,
        }
        for record in records
    ]


def _results_folder(results: Path | None) -> Path:
    from xmcbench.cli.run import results_folder

    return results or results_folder()


KINDS: Mapping[str, Callable[[Path | None], list[Row]]] = {
    "methods": _methods,
    "datasets": _datasets,
    "metrics": _metrics,
    "runs": _runs,
}


# How to fit a narrow terminal. `xmcbench compare` accepts the end of a run id.
SHORT: Mapping[str, Mapping[str, Callable[[str], str]]] = {"runs": {"name": lambda run_id: run_id[-8:]}}
DROP = {"datasets": ("title", "licence"), "metrics": ("weighted", "kind"), "runs": ("fit seconds", "seed")}


def _cells(row: Row) -> list[str]:
    return [_cell(key, value) for key, value in row.items()]


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if "@" in key:
        return f"{100 * value:.2f} %"
    if isinstance(value, bool):
        return "propensities" if value else ""
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, float):
        return f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
