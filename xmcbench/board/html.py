"""The page: one HTML file that loads nothing else, made only from the table model by the templates in `page/`.

The tables and the sentences of the start view are plain HTML and readable without scripts. Scripts add the matrix of
methods and data sets, intervals, sorting, comparisons of two rows, plots, parts of the label set and pages of methods,
from the same numbers, which the page has as JSON: percent with two decimals, costs in the units of `COSTS`, hashes
shortened; texts from records (metrics, machine classes, parameters) are list elements, never keys.

Every text that a template writes is cleaned (`escaping.html`) and escaped, and so is the JSON (`escaping.script_json`);
scripts insert its texts only as text nodes. A content security policy lists the page's scripts and style by hash, so
that nothing else runs or loads.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from xmcbench.board import cells, html_data, html_text, overview
from xmcbench.board.model import FLAGS, Board
from xmcbench.escaping import html, script_json

SCRIPTS = (  # in this order
    *("data.js", "address.js", "columns.js", "table.js", "compare.js", "matrix.js"),
    *("names.js", "plot.js", "figures.js", "parts.js", "published.js", "method.js", "main.js"),
)


def page(board: Board) -> str:
    """The text of `index.html`; equal boards give equal pages."""
    style, start = _asset("page.css"), _asset("start.js")
    script = "(() => {\n'use strict';\n" + "\n".join(map(_asset, SCRIPTS)) + "})();\n"
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(start)} {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    own = {"policy": policy, "style": style, "start": start, "script": script, "data": script_json(html_data.of(board))}
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
    environment.globals.update(cells=cells, text=html_text, overview=overview, FLAGS=FLAGS)
    return environment


def _asset(name: str) -> str:
    return (files("xmcbench.board") / "page" / name).read_text(encoding="utf-8")


def _hash(code: str) -> str:
    """The hash of a script or style for the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
