"""A table as LaTeX (booktabs) for papers: ranks, values over seeds, and best reachable values."""

from __future__ import annotations

from xmcbench.board import cells
from xmcbench.board.model import Table
from xmcbench.escaping import latex


def table(table: Table) -> str:
    """A `tabular` in a `table`; needs the package booktabs."""
    meaning = "No metric was tested, so that no row has a rank."
    if table.by:
        meaning = (
            f"A rank is the interval of places by {table.by} that paired randomisation tests over documents leave to a"
            " method (Holm's correction, 5%)."
        )
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(table.title)} ({latex(table.view)}), percent. {latex(meaning)}}}",
        rf"\begin{{tabular}}{{rl{'r' * len(table.metrics)}}}",
        r"\toprule",
        " & ".join(["rank", "method", *map(latex, table.metrics)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        values = [latex(cells.measured(row.values[name])) for name in table.metrics]
        lines.append(" & ".join([latex(cells.rank(row, table.by)), latex(row.label), *values]) + r" \\")
    best = [latex(cells.percent(table.ceilings.get(name))) for name in table.metrics]
    lines += [r"\midrule", " & ".join(["", "best reachable", *best]) + r" \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
