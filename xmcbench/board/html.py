"""The page: one HTML file that loads nothing else, made only from the table model.

The tables are plain HTML and readable without scripts. Scripts add sorting, plots, parts of the label set and pages of
methods, from the same numbers, which the page has as JSON. Texts from records are escaped by `html_text.text` or, in
JSON, by `UNSAFE`; scripts insert them only as text nodes. A content security policy lists the page's scripts and style
by hash, so that nothing else runs or loads.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from string import Template

from xmcbench.board.html_data import compact
from xmcbench.board.html_section import section
from xmcbench.board.html_text import address, shown, text
from xmcbench.board.model import FLAGS, Board, Table

SCRIPTS = ("data.js", "table.js", "names.js", "plot.js", "parts.js", "method.js", "main.js")  # in this order
UNSAFE = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}  # characters that could end a script, or a line of it


def page(board: Board) -> str:
    """The text of `index.html`; equal boards give equal pages."""
    style = _asset("page.css")
    start = _asset("start.js")
    script = "(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in SCRIPTS) + "})();\n"
    return Template(_asset("page.html")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(start)} {_hash(script)}; base-uri 'none'; form-action 'none'",
        style=style,
        start=start,
        script=script,
        origin=_origin(board),
        choice="\n".join(_link(table) for table in board.tables),
        tested=text(_tested(board)),
        flags="\n".join(f"<dt>{text(flag)}</dt><dd>{text(meaning)}</dd>" for flag, meaning in FLAGS.items()),
        sections="\n".join(section(table) for table in board.tables) or "<p>There are no records yet.</p>",
        data=json.dumps(compact(board), ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(UNSAFE),
    )


def _origin(board: Board) -> str:
    """Number of records, date of the newest, and digest."""
    newest = max((run.started_utc for table in board.tables for row in table.rows for run in row.runs), default="")
    records = f"<strong>{board.records:,}</strong> record{'' if board.records == 1 else 's'}"
    until = f", the newest of {text(newest[:10])}" if newest else ""
    return f"{records}{until}; digest <code>{text(board.digest[:12])}</code>."


def _tested(board: Board) -> str:
    """The metrics that any table ranks by."""
    return ", ".join(dict.fromkeys(metric for table in board.tables for metric in table.tested)) or "none here"


def _link(table: Table) -> str:
    return f'<li><a href="{address(table)}">{text(table.dataset)} <small>{text(shown(table))}</small></a></li>'


def _asset(name: str) -> str:
    return (files("xmcbench.board") / "page" / name).read_text(encoding="utf-8")


def _hash(code: str) -> str:
    """The hash of a script or style for the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
