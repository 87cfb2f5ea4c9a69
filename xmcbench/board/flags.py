"""Flags of a row that hang on the other rows of its table, and which of them keep it from being ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmcbench.board.entries import age
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
    content : content hash that the table is of. versions : newest version of each metric's definition on the board.
    names : metrics of the table.
    """
    able = [own for own in rows if own.metrics and own.entry.content == content]
    groups = max(able, key=lambda own: age(own.entry.newest)).data if able else None
    return [[*_of(own, content, versions, names), *_grouped(own, content, groups)] for own in rows]


def _of(own: Evidence, content: str, versions: Mapping[str, int], names: Sequence[str]) -> list[str]:
    entry, found = own.entry, []
    if entry.content != content:
        found.append("other data lineage")
    if entry.newest["selection"].get("split") == "test":
        found.append("selected on test")
    measured = (m for run in entry.runs for m in run["metrics"] if m["name"] in names)
    if any(int(m["version"]) != versions[m["name"]] for m in measured):
        found.append("other metric version")
    return found


def _grouped(own: Evidence, content: str, groups: str | None) -> list[str]:
    """Paired tests need the same documents in the same groups; another xmcbench may have grouped them otherwise."""
    same = all(run["board"]["data_sha256"] == groups for run in own.entry.runs) if own.metrics else True
    return [] if same or own.entry.content != content else ["other groups"]
