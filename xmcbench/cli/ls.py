"""`xmcbench ls`: list methods, data sets, metrics and runs without importing or opening any of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli.options import RESULTS, AsJson, Results, readable_records, warn_of_lost_hashes
from xmcbench.cli.terminal import number, paragraph, percent, print_table, say
from xmcbench.errors import DataError, UsageError, unknown

if TYPE_CHECKING:
    from xmcbench.records.record import Record

Row = Mapping[str, object]
COUNTS = {"train": "n_train", "test": "n_test", "labels": "n_labels"}  # column of data sets → name of the count


@dataclass(frozen=True)
class Kind:
    """How to list one kind of thing: its rows, and how its table fits a narrow terminal (see `print_table`)."""

    rows: Callable[[Path], list[Row]]
    drop: tuple[str, ...] = ()
    short: Mapping[str, Callable[[str], str]] = field(default_factory=dict)


def ls(
    kind: Annotated[str | None, typer.Argument(help="methods, datasets, metrics or runs. Default: all.")] = None,
    results: Results = RESULTS,
    as_json: AsJson = False,
) -> None:
    """List methods, data sets, metrics or runs."""
    if kind is not None and kind not in KINDS:
        raise unknown("kind of thing", kind, KINDS)
    rows = {name: listed.rows(results) for name, listed in KINDS.items() if kind in (None, name)}
    if as_json:
        typer.echo(json.dumps(rows if kind is None else rows[kind], indent=1))
    elif kind is None:
        for name, entries in rows.items():
            words = ", ".join(dict.fromkeys(str(row["name"]) for row in entries))
            typer.echo(f"{name}:\n{paragraph(f'{len(entries)} in {results}' if name == 'runs' else words or 'none')}")
    elif rows[kind]:
        titles = [_title(key) for key in rows[kind][0]]
        numbers = [_title(key) for key, value in rows[kind][0].items() if isinstance(value, int | float)]
        cells = [[_cell(key, value) for key, value in row.items()] for row in rows[kind]]
        print_table([titles, *cells], right=numbers, drop=KINDS[kind].drop, short=KINDS[kind].short)
    else:
        say(f"no {kind}" + (f" in {results}" if kind == "runs" else ""))


def _methods(_: Path) -> list[Row]:
    from xmcbench.runs import registry

    return [{"name": s.name, "from": s.origin, "defined_in": s.target} for s in registry.sources().values()]


def _datasets(_: Path) -> list[Row]:
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.imported import imported_names

    warn_of_lost_hashes()
    rows: list[Row] = [
        {
            "name": entry.name,
            **{title: entry.expected.get(count) for title, count in COUNTS.items()},
            "views": list(entry.views),
            "licence": entry.licence,
            "title": entry.title,
        }
        for entry in catalogue().values()
    ]
    for name in imported_names():
        with suppress(UsageError):  # another process removed it meanwhile
            rows.append(_imported_row(name))
    return rows


def _imported_row(name: str) -> Row:
    from xmcbench.data.imported import find_imported

    try:
        found = find_imported(name)
    except DataError:
        damaged = "imported, but damaged: see `xmcbench data verify`"
        return {"name": name, **dict.fromkeys(COUNTS), "views": [], "licence": "yours", "title": damaged}
    counts = {title: found.counts.get(count) for title, count in COUNTS.items()}
    title = f"imported from your files, revision {found.revision}"
    return {"name": name, **counts, "views": list(found.views), "licence": "yours", "title": title}


def _metrics(_: Path) -> list[Row]:
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


def _runs(results: Path) -> list[Row]:
    from xmcbench.records.store import Store

    store = Store(results)
    return [
        {
            "name": record.run_id,
            "status": record.status,
            "method": record.method.label,
            "dataset": f"{record.dataset.name} ({record.dataset.view}){_earlier(record)}",
            "revision": record.dataset.revision,
            "seed": record.seed,
            "model": "kept" if store.model(record.run_id).is_dir() else "",
            "P@1": record.metric("P@1"),
            "PSP@5": record.metric("PSP@5"),
            "fit_seconds": record.costs.fit_seconds,
        }
        for record in readable_records(store)
    ]


def _earlier(record: Record) -> str:
    from xmcbench.data.imported import replaced_by

    return ", imported again since" if replaced_by(record.dataset.name, record.dataset.revision) else ""


KINDS: Mapping[str, Kind] = {
    "methods": Kind(_methods),
    "datasets": Kind(_datasets, drop=("title", "licence")),
    "metrics": Kind(_metrics, drop=("weighted", "kind")),
    # `xmcbench compare` accepts the end of a run id
    "runs": Kind(_runs, drop=("revision", "fit seconds", "seed", "model"), short={"name": lambda run_id: run_id[-8:]}),
}


def _title(key: str) -> str:
    return f"{key} %" if "@" in key else key.replace("_", " ")


def _cell(key: str, value: object) -> str:
    match value:
        case bool():
            return "propensities" if value else ""
        case float():
            return percent(value) if "@" in key else f"{value:.1f}"
        case None | int():
            return number(value)
        case list():
            return ", ".join(value)
    return str(value)
