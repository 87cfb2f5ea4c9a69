"""A table as LaTeX (booktabs) for papers: ranks, values over seeds, and best reachable values."""

from __future__ import annotations

from xmcbench.board import cells
from xmcbench.board.model import Table
from xmcbench.escaping import clean

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "–": "--",
    "±": r"$\pm$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def escaped(text: object) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(SPECIAL.get(c, c) for c in clean(text))


def table(table: Table) -> str:
    """A `tabular` in a `table`; needs the package booktabs."""
    first = table.tested[0] if table.tested else ""
    meaning = "No metric was tested, so that no row has a rank."
    if first:
        meaning = (
            "Every method of a better rank is significantly better than every method of a worse rank"
            f" (paired randomisation tests over documents, {first}, Holm's correction, 5%)."
        )
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(table.title)} ({escaped(table.view)}), percent. {escaped(meaning)}}}",
        rf"\begin{{tabular}}{{rl{'r' * len(table.metrics)}}}",
        r"\toprule",
        " & ".join(["rank", "method", *map(escaped, table.metrics)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        values = [escaped(cells.measured(row.values[name], interval=False)) for name in table.metrics]
        lines.append(" & ".join([escaped(cells.rank(row, first)), escaped(row.label), *values]) + r" \\")
    best = [escaped(cells.percent(table.ceilings.get(name))) for name in table.metrics]
    lines += [r"\midrule", " & ".join(["", "best reachable", *best]) + r" \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
