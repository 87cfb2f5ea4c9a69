"""One data set of the page as HTML: its facts, its table, the published values, what did not run."""

from __future__ import annotations

from collections.abc import Iterable

from xmcbench.board.cells import NONE, percent, printed_costs
from xmcbench.board.html_table import main_table
from xmcbench.board.html_text import anchor, text
from xmcbench.board.model import PublishedRow, Table

FACTS = {  # keys of Table.facts → how they are said
    "n_train": "training rows",
    "n_test": "test rows",
    "n_labels": "labels",
    "n_features": "features",
    "groups": "groups of near-duplicate test rows",
}
KEY = "Percent; below it the 95 % interval over test rows, and sd over seeds. Ranks count significantly better methods."
PRINTED = (
    "Percent, as printed by others; below it ours minus theirs. No ranks: data, splits and definitions may differ."
)
HASH = 12  # characters of a content hash shown: enough to tell any two


def section(table: Table) -> str:
    """The part of the page that says all about one data set in one view; scripts put controls and figures into it."""
    return f"""<section class="table" id="{anchor(table)}">
<h2>{text(table.title)}</h2>
<p class="facts">{_facts(table)}</p>
<div class="tools-here"></div>
{_methods(table)}
<div class="figures-here"></div>
{_published(table)}{_failures(table)}</section>"""


def scrolling(label: str, table: str) -> str:
    """A table in a box of its own, which scrolls where the table is too wide, by keyboard too; `label` is text."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}">\n{table}\n</div>'


def _facts(table: Table) -> str:
    facts = table.facts
    known = [f"{facts[key]:,} {said}" for key, said in FACTS.items() if isinstance(facts.get(key), int)]
    if facts.get("propensity"):
        known.append("propensities A, B = " + ", ".join(map(str, facts["propensity"])))
    if facts.get("revision") is not None:
        known.append(f"revision {facts['revision']}")
    if facts.get("content_hash"):
        known.append(f"content hash {str(facts['content_hash']).removeprefix('sha256:')[:HASH]}")
    return " · ".join(map(text, known))


def _methods(table: Table) -> str:
    if not table.rows:
        return "<p>No method has a record here.</p>"
    return f'<p class="facts">{text(KEY)}</p>\n' + scrolling(f"{table.title}: table of methods", main_table(table))


def _published(table: Table) -> str:
    if not table.published:
        return ""
    named = {metric for row in table.published for metric in row.values}
    metrics = [metric for metric in table.metrics if metric in named] + sorted(named - set(table.metrics))
    titles = ("Method", *metrics, "Verdict", "Why", "Our method", "Data version", "Source", "Costs, as printed")
    heads = "".join(f"<th scope=col>{text(title)}</th>" for title in titles)
    rows = "\n".join(_printed(row, metrics) for row in table.published)
    made = f"""<table class="published"><caption>Published values beside ours</caption>
<thead><tr>{heads}</tr></thead>
<tbody>{rows}</tbody></table>"""
    box = scrolling(f"{table.title}: published values", made)
    return f'<h3>Published values</h3>\n<p class="facts">{PRINTED}</p>\n{box}\n'


def _printed(row: PublishedRow, metrics: Iterable[str]) -> str:
    gaps, values = row.gaps or {}, ""
    for metric in metrics:
        gap = f"<small>ours {100 * gaps[metric]:+.2f}</small>".replace("-", "−") if metric in gaps else ""
        values += f"<td>{percent(row.values.get(metric))}{gap}</td>"
    said = (row.verdict, row.why, row.ours or NONE, row.data_version, row.source, printed_costs(row))
    return f"<tr><th scope=row>{text(row.method)}</th>{values}{''.join(f'<td>{text(each)}</td>' for each in said)}</tr>"


def _failures(table: Table) -> str:
    if not table.failures:
        return ""
    return "<h3>Did not run</h3>\n<ul>" + "".join(f"<li>{text(line)}</li>" for line in table.failures) + "</ul>\n"
