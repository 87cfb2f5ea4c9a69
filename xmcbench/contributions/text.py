"""The text of a pull request: the rows and their values, how they were made, and what was checked."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from xmcbench.board import cells
from xmcbench.comparison.verifying import UNCHECKED
from xmcbench.contributions.changed_rows import CHANGED, Change
from xmcbench.errors import counted
from xmcbench.escaping import Markdown, clean, code, comment, one_line

if TYPE_CHECKING:
    from xmcbench.board.model import Row
    from xmcbench.contributions.checking import Report
    from xmcbench.records.record import Record

METRICS = ("nDCG@5", "P@1", "PSP@5", "R@100")
MOST = 100  # rows, commands and faults each
MOST_CHARACTERS = 60_000  # a comment on GitHub has at most 65,536
LONGEST = 300  # characters of a text from a record


def text_of(report: Report, changes: Sequence[Change], notes: Sequence[str]) -> str:
    """Markdown for the maintainer. `changes`, `notes`: from `changed_rows`; empty if the submission is refused."""
    counts = f"{counted(len(report.records), 'record')}, {len(report.new)} of them new"
    if not report.accepted:
        faults = [report.fault] if report.fault else []
        faults += [f"{checked.name}: {c.what}: {c.why}" for checked in report.failed for c in checked.failed]
        return _join([f"**Refused**: {counts}.", "", *_some([f"- {_short(one_line(fault))}" for fault in faults])])
    lines = [f"**Accepted**: {counts}; {counted(len(changes), 'row')} of the leaderboards.", ""]
    if not report.new:
        return _join([*lines, "The leaderboards have all of these records already."])
    lines += ["## Rows", "", *_some(_rows(changes), head=2), ""]
    lines += [
        "Values in percent, means over seeds; in brackets the value that a changed row has now. Repeated rows have"
    ]
    lines += ["further runs with the same values.", ""]
    lines += ["## How they were made", "", *_some(_made(report.new)), ""]
    lines += ["## What was checked", "", *_checked(report), ""]
    lines += ["## To take them", "", *(f"    {line}" for line in _taking(report)), ""]
    if notes:
        lines += ["## What the leaderboards say of them", "", *_some([f"- {_short(note)}" for note in notes]), ""]
    return _join(lines)


def _rows(changes: Sequence[Change]) -> list[str]:
    head = ("data set", "view", "row", "", "seeds", *METRICS, "fit s", "ms/row", "machine", "flags")
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for change in changes:
        row = change.row
        costs = cells.cost(row.costs[0] if row.costs else None)
        machine = row.costs[0].machine if row.costs else cells.NONE
        line = (change.dataset, change.view, row.label, change.what, row.seeds, *_values(change))
        line += (costs[0], costs[1], machine, ", ".join(row.flags))
        lines.append("| " + " | ".join(_short(cell) for cell in line) + " |")
    return lines


def _values(change: Change) -> Iterable[str]:
    for metric in METRICS:
        now, then = (_percent(row, metric) for row in (change.row, change.before))
        yield f"{now} ({then})" if change.what == CHANGED and now != then else now


def _percent(row: Row | None, metric: str) -> str:
    value = row.values.get(metric) if row else None
    return cells.NONE if value is None else cells.measured(value)


def _made(records: Sequence[Record]) -> list[str]:
    """Each command once, with what ran it."""
    lines: Counter[str] = Counter()
    for record in records:
        made = record.code
        source = f"xmcbench {made.version or 'of unknown version'}, commit {(made.commit or 'unknown')[:12]}"
        source += ", with uncommitted changes" if made.dirty else ""
        origin = "" if record.method.origin in (None, "xmcbench") else f", method from {record.method.origin}"
        machine = record.environment.machine_class.costs or "unknown machine"
        command = code(record.command[:LONGEST])
        lines[f"- {command}: {_short(f'{source}{origin}, {machine}, {record.started_utc[:10]}')}"] += 1
    return [f"{line} ({counted(number, 'record')})" for line, number in lines.items()]


def _checked(report: Report) -> list[str]:
    """Each kind of check once: how many hold, and why the others were not made."""
    states: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for check in (check for checked in report.records for check in checked.checks):
        states.setdefault(check.what, Counter())[check.state] += 1
        if check.state == UNCHECKED:
            reasons.setdefault(check.what, Counter())[one_line(check.why)] += 1
    lines = []
    for what, counts in states.items():
        lines.append(f"- {what}: " + ", ".join(f"{number} {_short(state)}" for state, number in counts.items()))
        lines += [f"  - not checked, {counted(n, 'record')}: {_short(why)}" for why, n in reasons.get(what, {}).items()]
    return lines


def _taking(report: Report) -> list[str]:
    """Commands of the maintainer; the folder leaves the branch again, so that predictions stay out of the history."""
    name = shlex.quote(clean(report.folder.name))
    return [f"xmcbench merge {name} --into leaderboards --slim", "xmcbench board build", f"git rm -rq {name}"]


def _short(text: object) -> Markdown:
    """Text from a record, cut to a length that leaves room for others."""
    plain = str(text)
    return comment(plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}…")


def _some(lines: list[str], head: int = 0) -> list[str]:
    """The first lines; `head`: number of lines of a table's head."""
    more = len(lines) - head - MOST
    return lines if more <= 0 else [*lines[: MOST + head], "", f"and {more:,} more"]


def _join(lines: Sequence[str]) -> str:
    """The text, cut after a line if it is too long for a comment."""
    ends = itertools.accumulate(len(line) + 1 for line in lines)
    fitting = [line for line, end in zip(lines, ends, strict=True) if end <= MOST_CHARACTERS]
    cut = [] if len(fitting) == len(lines) else ["", "The rest is too long for a comment."]
    return "\n".join([*fitting, *cut]).rstrip() + "\n"
