"""`python -m xmcbench_elias.results FOLDER`: write the plugin's RESULTS.md from the records of a results folder.

`plan.py` defines the runs, `runs.py` reads them, `tables.py` and `cells.py` build tables, `figure.py` draws, and
`text.py` has the texts and the paper's values.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from xmcbench.errors import DataError, UsageError, XmcError
from xmcbench.escaping import clean_lines
from xmcbench.files import atomic
from xmcbench_elias.results.plan import Plan, commands
from xmcbench_elias.results.runs import Results
from xmcbench_elias.results.tables import Document

FILE, FIGURE = "RESULTS.md", "recall-by-frequency.svg"


def write(folder: Path, into: Path, plan: Plan) -> Results:
    """Write RESULTS.md and its figure into a folder; returns the results they were made from.

    DataError if there are no records of the planned runs, or a file cannot be written.
    """
    results = Results(folder)
    text = Document(results, plan).text(into / FIGURE)
    if not results.used:
        raise DataError(f"{folder}: none of its {len(results.records)} records is of these runs", "--runs prints them.")
    with atomic(into / FILE) as file:
        file.write(text.encode())
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Exit codes: 0 written, 2 wrong usage, 4 no records, or a folder that cannot be written."""
    parser = argparse.ArgumentParser(
        prog="python -m xmcbench_elias.results",
        description=f"Write {FILE} and {FIGURE} from the records of a results folder of `xmcbench run`, or of a slim "
        "copy of one, such as leaderboards. Missing runs are listed with the commands that create them.",
        epilog="Exit codes: 0 written, 2 wrong usage, 4 no records, or a folder that cannot be written.",
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="RESULTS_FOLDER", help="a folder with records/, such as results"
    )
    parser.add_argument("--into", type=Path, default=Path("plugins/elias"), help="where to write (%(default)s)")
    parser.add_argument("--runs", action="store_true", help="print the commands of all runs, and stop")
    options = parser.parse_args(arguments)
    if options.runs:
        print("\n".join(commands(Plan())))
        return 0
    try:
        if options.folder is None:
            raise UsageError("no results folder", "Give the folder that `xmcbench run` wrote to, or --runs.")
        results = write(options.folder, options.into, Plan())
    except XmcError as error:
        print(f"error: {clean_lines(error)}", file=sys.stderr)
        return error.exit_code
    for text in results.left_out:
        print(f"warning: left out: {clean_lines(text)}", file=sys.stderr)
    print(f"{options.into / FILE}: from {len(results.used)} of {len(results.records)} records")
    return 0


if __name__ == "__main__":
    sys.exit(main())
