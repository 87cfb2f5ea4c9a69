"""One data set of the page as HTML: facts, table, published values, failures."""

from __future__ import annotations

from xmcbench.board.html_published import published_values
from xmcbench.board.html_table import main_table
from xmcbench.board.html_text import heading, identity, scrolling, text
from xmcbench.board.model import Table

FACTS = {  # key of Table.facts → text on the page
    "n_train": "training rows",
    "n_test": "test rows",
    "n_labels": "labels",
    "n_features": "features",
    "groups": "groups of near-duplicate test rows",
}
KEY = (
    "Percent; below it the 95 % interval over test rows, and sd over seeds. "
    "Every method of a better rank is significantly better; methods of one rank can't all be told apart."
)
HASH = 12  # shown characters of a content hash


def section(table: Table) -> str:
    """The section of one data set in one view; scripts add controls and figures."""
    return f"""<section class="table" id="table={identity(table)}">
<h2>{text(heading(table))}</h2>
<p class="facts">{_facts(table)}</p>
<div class="tools-here"></div>
{_methods(table)}
<div class="figures-here"></div>
{published_values(table)}{_failures(table)}</section>"""


def _facts(table: Table) -> str:
    facts = table.facts
    items = [f"{facts[key]:,} {unit}" for key, unit in FACTS.items() if isinstance(facts.get(key), int)]
    if facts.get("propensity"):
        items.append("propensities A, B = " + ", ".join(map(str, facts["propensity"])))
    if facts.get("revision") is not None:
        items.append(f"revision {facts['revision']}")
    if facts.get("content_hash"):
        items.append(f"content hash {str(facts['content_hash']).removeprefix('sha256:')[:HASH]}")
    return " · ".join(map(text, items))


def _methods(table: Table) -> str:
    if not table.rows:
        return "<p>No method has a record here.</p>"
    return f'<p class="facts">{text(KEY)}</p>\n' + scrolling(f"{heading(table)}: table of methods", main_table(table))


def _failures(table: Table) -> str:
    if not table.failures:
        return ""
    return "<h3>Did not run</h3>\n<ul>" + "".join(f"<li>{text(line)}</li>" for line in table.failures) + "</ul>\n"
