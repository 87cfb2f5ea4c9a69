"""The text of a pull request: the rows and their values, how they were made, and what was checked."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from xmcbench.board import cells
from xmcbench.board.rows import FLOOR
from xmcbench.comparison.verifying import HOLDS, UNCHECKED
from xmcbench.contributions.changed_rows import CHANGED, Change
from xmcbench.errors import counted
from xmcbench.escaping import Markdown, clean, code, comment, one_line

if TYPE_CHECKING:
    from xmcbench.board.model import Row
    from xmcbench.contributions.checking import Report
    from xmcbench.records.record import Record

OF_VALUES = ("values", "scores")  # checks whose findings say how many values were checked
METRICS = ("nDCG@5", "P@1", "PSP@5", "R@100")
RUN_ALONG = ", the floor, which each `xmcbench run` runs along"
MOST = 100  # rows, commands and faults each
MOST_CHARACTERS = 60_000  # a comment on GitHub has at most 65,536
LONGEST = 300  # characters of a text from a record


def text_of(report: Report, changes: Sequence[Change], notes: Sequence[str]) -> str:
    """Markdown for the maintainer. `changes`, `notes`: from `changed_rows`; empty if the submission is refused."""
    if not report.accepted:
        counts = counted(len(report.records), "record")
        counts = f"{len(report.failed)} of {counts}" if report.failed else counts
        faults = [report.fault] if report.fault else []
        faults += [f"{checked.name}: {c.what}: {c.why}" for checked in report.failed for c in checked.failed]
        return _join([f"**Refused**: {counts}.", "", *_some([f"- {_short(one_line(fault))}" for fault in faults])])
    lines = [f"**Accepted**: {news(report, changes)}.", ""]
    if not report.new:
        return _join(lines)
    lines += ["## Rows", "", *_some(_rows(changes), head=2), ""]
    lines += ["Values in percent, means over seeds; in brackets the value that a changed row has now."]
    lines += ["Repeated rows have further runs with the same values.", ""]
    lines += ["## How they were made", "", *_some(_made(report.new)), ""]
    lines += ["## What was checked", "", *_some([f"- {_short(line)}" for line in findings(report)])]
    lines += [*_checked(report), ""]
    lines += ["## To take them", "", *(f"    {line}" for line in _taking(report)), ""]
    if notes:
        lines += ["## What the leaderboards say of them", "", *_some([f"- {_short(note)}" for note in notes]), ""]
    return _join(lines)


def news(report: Report, changes: Sequence[Change]) -> str:
    """The records that the leaderboards don't have, and the rows that they make: "2 records that are not there …"."""
    there = f"{counted(len(report.known), 'record')} that the leaderboards have already"
    if not report.new:
        return there
    lacking = "is" if len(report.new) == 1 else "are"
    parts = [f"{number} {what}" for what, number in Counter(change.what for change in changes).items()]
    if parts:
        parts[0] += " row" if parts[0].startswith("1 ") else " rows"
    text = f"{counted(len(report.new), 'record')} that {lacking} not there yet: {', '.join(parts) or 'no row changes'}"
    return f"{text}; {there}" if report.known else text


def findings(report: Report) -> list[str]:
    """What the checks say of the values, then what was not checked with the reason, each once."""
    records: Counter[tuple[str, str, str]] = Counter()
    for check in (check for checked in report.records for check in checked.checks):
        if check.state == UNCHECKED or (check.state == HOLDS and check.what in OF_VALUES):
            records[check.what, check.state, one_line(check.why)] += 1
    checks: dict[tuple[str, str, int], list[str]] = {}  # of one reason and as many records: one line
    for (what, state, why), number in sorted(records.items(), key=lambda item: item[0][1] == UNCHECKED):
        checks.setdefault((state, why, number), []).append(what)
    return [
        f"{', '.join(of)}: {'not checked, ' if state == UNCHECKED else ''}{why} ({counted(number, 'record')})"
        for (state, why, number), of in checks.items()
    ]


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
    """Each command once, with the methods that it ran and what ran it."""
    methods: dict[str, dict[str, None]] = {}  # in order, each once
    lines: Counter[str] = Counter()
    for record in records:
        made = record.code
        source = f"xmcbench {made.version or 'of unknown version'}, commit {(made.commit or 'unknown')[:12]}"
        source += ", with uncommitted changes" if made.dirty else ""
        origin = "" if record.method.origin in (None, "xmcbench") else f", method from {record.method.origin}"
        machine = record.environment.machine_class.costs or "unknown machine"
        command = code(record.command[:LONGEST])
        line = f"- {command}: {_short(f'{source}{origin}, {machine}, {record.started_utc[:10]}')}"
        lines[line] += 1
        is_floor = record.method.name == FLOOR and FLOOR not in record.command
        methods.setdefault(line, {})[record.method.label + (RUN_ALONG if is_floor else "")] = None
    return [f"{line} ({counted(n, 'record')}: {_short(', '.join(methods[line]))})" for line, n in lines.items()]


def _checked(report: Report) -> list[str]:
    """The kinds of checks that were made, with the number of records for which they hold."""
    held: dict[str, int] = {}
    for check in (check for checked in report.records for check in checked.checks):
        if check.state == HOLDS and check.what not in OF_VALUES:
            held[check.what] = held.get(check.what, 0) + 1
    checks: dict[int, list[str]] = {}
    for what, number in held.items():
        checks.setdefault(number, []).append(what)
    return [f"- {', '.join(of)}: ok ({counted(number, 'record')})" for number, of in checks.items()]


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
