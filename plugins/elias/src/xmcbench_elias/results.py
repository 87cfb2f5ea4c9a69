"""`python -m xmcbench_elias.results FOLDER`: the plugin's RESULTS.md, made anew from the records of a results folder.

`results_plan.py` says which runs it wants, `results_runs.py` reads them, `results_tables.py` and `results_cells.py`
make tables of them, `figure.py` draws, and `results_text.py` has texts and what the paper prints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from xmcbench.errors import UsageError, XmcError
from xmcbench.escaping import clean_lines
from xmcbench.files import atomic
from xmcbench_elias.results_plan import Plan, commands
from xmcbench_elias.results_runs import Results
from xmcbench_elias.results_tables import Document

FILE, FIGURE = "RESULTS.md", "recall-by-frequency.svg"


def write(folder: Path, into: Path, plan: Plan) -> Results:
    """Write RESULTS.md and its figure into a folder; returns what they were made of.

    Raises
    ------
    DataError : there are no records, or a file can't be written.
    """
    results = Results(folder)
    text = Document(results, plan).text(into / FIGURE)
    with atomic(into / FILE) as file:
        file.write(text.encode())
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 written, 2 wrong usage, 4 no records or a folder that can't be written."""
    parser = argparse.ArgumentParser(
        prog="python -m xmcbench_elias.results",
        description=f"Write {FILE} and {FIGURE} from the records of a results folder of `xmcbench run`, or of a slim "
        "copy of one, such as leaderboards. What was not run stands there with the command that makes it.",
        epilog="Exit codes: 0 written, 2 wrong usage, 4 no records, or a folder that can't be written.",
    )
    parser.add_argument("folder", nargs="?", type=Path, metavar="RESULTS_FOLDER", help="with records/, as results")
    parser.add_argument("--into", type=Path, default=Path("plugins/elias"), help="where to write (%(default)s)")
    parser.add_argument("--runs", action="store_true", help="print the commands of all runs it is made of, and stop")
    given = parser.parse_args(arguments)
    if given.runs:
        print("\n".join(commands(Plan())))
        return 0
    try:
        if given.folder is None:
            raise UsageError("no results folder", "Name the one that `xmcbench run` wrote to, or ask for --runs.")
        results = write(given.folder, given.into, Plan())
    except XmcError as error:
        print(f"error: {clean_lines(error)}", file=sys.stderr)
        return error.exit_code
    for text in results.left_out:
        print(f"warning: left out: {clean_lines(text)}", file=sys.stderr)
    print(f"{given.into / FILE}: from {len(results.used)} of {len(results.records)} records")
    return 0


if __name__ == "__main__":
    sys.exit(main())
