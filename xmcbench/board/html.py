"""The page: one HTML file that loads nothing else, made only from the table model by the templates in `page/`.

The tables are plain HTML and readable without scripts. Scripts add sorting, plots, parts of the label set and pages of
methods, from the same numbers, which the page has as JSON: percent with two decimals, costs in the units of `COSTS`,
hashes shortened; texts from records (metrics, machine classes, parameters) are list elements, never keys.

Every text that a template writes is cleaned (`escaping.html`) and escaped, and so is the JSON (`escaping.script_json`);
scripts insert its texts only as text nodes. A content security policy lists the page's scripts and style by hash, so
that nothing else runs or loads.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xmcbench.board import cells, html_text
from xmcbench.board.html_text import COSTS, HASH, TIMES, heading, identity, machine_name, ordered, rounded
from xmcbench.board.model import FLAGS, Board, Row, Run, Table, Value
from xmcbench.board.protocol import FIELDS
from xmcbench.escaping import html, script_json

SCRIPTS = ("data.js", "table.js", "names.js", "plot.js", "parts.js", "method.js", "main.js")  # in this order


def page(board: Board) -> str:
    """The text of `index.html`; equal boards give equal pages."""
    style, start = _asset("page.css"), _asset("start.js")
    script = "(() => {\n'use strict';\n" + "\n".join(map(_asset, SCRIPTS)) + "})();\n"
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(start)} {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    own = {"policy": policy, "style": style, "start": start, "script": script, "data": script_json(_data(board))}
    newest = max((run.started_utc for table in board.tables for row in table.rows for run in row.runs), default="")
    tested = list(dict.fromkeys(metric for table in board.tables for metric in table.tested))
    unescaped = {name: Markup(part) for name, part in own.items()}
    return _environment().get_template("page.html").render(board=board, newest=newest, tested=tested, **unescaped)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("xmcbench.board", "page"),
        autoescape=True,
        finalize=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(cells=cells, text=html_text, FLAGS=FLAGS)
    return environment


def _data(board: Board) -> object:
    """The board as JSON-serialisable lists and dicts."""
    costs = [[title, unit, unit in TIMES] for title, unit, *_ in COSTS]
    tables = [_table(table) for table in board.tables]
    return {"costs": costs, "flags": FLAGS, "protocol": FIELDS, "tables": tables}


def _table(table: Table) -> dict[str, object]:
    parts = [name for names in table.slices.values() for name in names]
    metrics = list(dict.fromkeys([*table.metrics, *parts]))
    at = {name: i for i, name in enumerate(metrics)}
    return {
        "id": identity(table),
        "title": heading(table),
        "shown": len(table.metrics),  # number of metrics with a column
        "metrics": metrics,
        "tested": [at[name] for name in table.tested if name in at],
        "by": table.tested.index(table.by) if table.tested else 0,
        "parts": [[part, [at[name] for name in names]] for part, names in table.slices.items()],
        "machines": [machine_name(*each) for each in cells.machines(table)],
        "rows": [_row(table, row, metrics) for row in ordered(table)],
        "protocols": [[getattr(row.protocol, name) for name in FIELDS] for row in table.published],  # to filter by
    }


def _row(table: Table, row: Row, metrics: Iterable[str]) -> dict[str, object]:
    as_it_is = ("label", "name", "family", "version", "origin", "selection", "command", "floor", "flags")
    tested = [name for name in table.tested if name in metrics]
    classes = cells.machines(table)
    return {
        **{name: getattr(row, name) for name in as_it_is},
        "parameters": [[name, json.dumps(value, ensure_ascii=False)] for name, value in row.parameters.items()],
        "values": [_value(row.values.get(name)) for name in metrics],
        "ranks": [row.ranks.get(name) for name in tested],
        "costs": [[classes.index((c.machine, c.threads)), int(c.busy), c.runs, *html_text.costs(c)] for c in row.costs],
        "runs": [_run(run, table.metrics) for run in row.runs],
    }


def _value(value: Value | None) -> list[float | None] | None:
    if value is None or value.value is None:
        return None
    return [*map(_percent, (value.value, value.low, value.high, value.sd)), value.seeds]


def _run(run: Run, metrics: Iterable[str]) -> list[object]:
    """Run id, seed, start, commit, machine, hash of the predictions, CPU of others, then the values of `metrics`."""
    commit, sha256 = (run.commit or "")[:HASH], (run.predictions_sha256 or "")[:HASH]
    values = [_percent(run.values.get(metric)) for metric in metrics]
    return [run.run_id, run.seed, run.started_utc, commit, run.machine or "", sha256, rounded(run.others_cpu), *values]


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else float(f"{100 * fraction:.2f}")


def _asset(name: str) -> str:
    return (files("xmcbench.board") / "page" / name).read_text(encoding="utf-8")


def _hash(code: str) -> str:
    """The hash of a script or style for the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
