"""Flags of a row that depend on the other rows of its table, and the flags of rows that are not ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmcbench.board.entries import Entry, age
from xmcbench.board.evidence import Evidence

UNRANKED = ("other data lineage", "other metric version", "other groups", "selected on test")


def is_ranked(flags: Sequence[str]) -> bool:
    return not any(flag in UNRANKED for flag in flags)


def flags_of(
    rows: Sequence[Evidence], content: str, versions: Mapping[str, int], names: Sequence[str]
) -> list[list[str]]:
    """Keys of `model.FLAGS` for each row.

    Parameters
    ----------
    content : content hash of the table's data. versions : newest version of each metric's definition on the board.
    names : metrics of the table.
    """
    testable = [evidence for evidence in rows if evidence.metrics and evidence.entry.content == content]
    groups = max(testable, key=lambda evidence: age(evidence.entry.newest)).data if testable else None
    return [[*_entry_flags(row.entry, content, versions, names), *_group_flags(row, content, groups)] for row in rows]


def _entry_flags(entry: Entry, content: str, versions: Mapping[str, int], names: Sequence[str]) -> list[str]:
    flags = []
    if entry.content != content:
        flags.append("other data lineage")
    if entry.newest.selection.split == "test":
        flags.append("selected on test")
    metrics = (m for run in entry.runs for m in run.metrics if m.name in names)
    if any(m.version != versions[m.name] for m in metrics):
        flags.append("other metric version")
    return flags


def _group_flags(evidence: Evidence, content: str, groups: str | None) -> list[str]:
    """Paired tests need the same documents in the same groups, which another version of xmcbench may have changed."""
    hashes = {run.board.data_sha256 for run in evidence.entry.runs if run.board is not None}
    same = hashes == {groups} if evidence.metrics else True
    return [] if same or evidence.entry.content != content else ["other groups"]
