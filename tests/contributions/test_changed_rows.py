"""What a maintainer reads: the rows that records add, change or repeat, and their text."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contributions.conftest import DATA, Forge
from xmcbench.api.run import run
from xmcbench.comparison.verifying import FAILED, Check
from xmcbench.contributions.changed_rows import ADDED, CHANGED, REPEATED, changed_rows
from xmcbench.contributions.checking import Checked, check_submission
from xmcbench.contributions.text import MOST, news, text_of
from xmcbench.records import merging, record_file
from xmcbench.records.store import Store


def taken(folder: Path, boards: Path) -> tuple[str, list[tuple[str, str]]]:
    """The text, and (what, label) of each changed row."""
    report = check_submission(folder, boards, offline=True)
    assert report.accepted, report
    changes, notes = changed_rows(report.new, folder, boards)
    return text_of(report, changes, notes), [(change.what, change.row.label) for change in changes]


def test_a_new_row_has_the_values_of_its_record(sent: Path, boards: Path) -> None:
    text, rows = taken(sent, boards)
    assert rows == [(ADDED, "knn")]
    (record,) = Store(sent).records()
    values = [f"{100 * (record.metric(name) or 0):.2f}" for name in ("nDCG@5", "P@1", "PSP@5", "R@100")]
    name = r"synthetic\[rows=300,test=60,labels=40\]"
    assert f"| {name} | bow | knn | new | 1 | {' | '.join(values)} |" in text
    assert text.startswith("**Accepted**: 1 record that is not there yet: 1 new row.")
    assert "xmcbench merge submission --into leaderboards --slim" in text
    assert not list(boards.glob("records/*knn*"))  # the leaderboards are as they were


@pytest.mark.parametrize("others", [(0.9, 0.0), (0.0, 0.9)])
def test_further_runs_repeat_a_row_however_busy_the_machine_was(
    world: Path, sent: Path, boards: Path, tmp_path: Path, forge: Forge, others: tuple[float, float]
) -> None:
    forge(sent, lambda raw: raw["costs"].update(others_cpu=others[0]))
    list(merging.merge(Store(sent), Store(boards), slim=True))
    text, rows = taken(sent, boards)
    assert rows == []
    assert text == "**Accepted**: 1 record that the leaderboards have already.\n"
    again = tmp_path / "again"
    run(["knn"], dataset=DATA, results=tmp_path / "results", again=True)
    list(merging.merge(Store(tmp_path / "results"), Store(again), slim=True))
    forge(again, lambda raw: raw["costs"].update(others_cpu=others[1]))
    text, rows = taken(again, boards)
    assert rows == [(REPEATED, "knn")]
    assert "| knn | repeated | 1 |" in text


def test_text_of_records_is_text_and_calls_nobody(sent: Path, boards: Path, forge: Forge) -> None:
    label = "<img src=x>|@someone #12 [a](http://x) \u202e" + "x" * 400

    def change(raw: dict[str, Any]) -> None:
        raw["method"].update(name="knn", label=label)
        raw["command"] = "xmcbench `run` <script>"

    forge(sent, change)
    text, _ = taken(sent, boards)
    assert "<img" not in text
    assert "<script>" not in re.sub(r"`+ .*? `+|`[^`]*`", "", text)  # in code alone
    assert "x" * 301 not in text
    assert not re.search(r"(?<!\w)@(?!<!-- -->)|#(?!<!-- -->)\d", text)
    (row,) = (line for line in text.splitlines() if line.startswith("|") and "img src" in line)
    assert len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"\|", text.splitlines()[4]))


def test_a_refusal_names_every_fault_up_to_a_number(sent: Path, boards: Path) -> None:
    for number in range(MOST + 5):
        (sent / "records" / f"{number:03}.json").write_text("{}")
    report = check_submission(sent, boards, offline=True)
    text = text_of(report, [], [])
    assert text.startswith("**Refused**: 105 of 106 records.")
    assert "- 000: record: " in text
    assert "and 5 more" in text
    assert len(text) < 65_536
    escaped = Checked("a", None, [Check("record", FAILED, "<" * 10_000)])  # each becomes four characters
    long = text_of(replace(report, records=[escaped] * MOST), [], [])
    assert len(long) < 65_536
    assert long.endswith("The rest is too long for a comment.\n")
    broken = text_of(replace(report, fault="x.sh is no file of a submission", records=[]), [], [])
    assert "- x.sh is no file of a submission" in broken


def test_a_seed_more_changes_the_values(sent: Path, boards: Path, forge: Forge) -> None:
    """Another seed of a random method: the row's mean is over both."""

    def first(raw: dict[str, Any]) -> None:
        raw["method"].update(deterministic=False)
        raw["seed"] = 0

    def second(raw: dict[str, Any]) -> None:
        raw["seed"] = 1
        raw["run_id"] += "-1"
        raw["spec_hash"] = "another"

    forge(sent, first)
    shutil.copytree(sent / "records", boards / "records", dirs_exist_ok=True)
    shutil.copytree(sent / "board", boards / "board", dirs_exist_ok=True)
    forge(sent, second)
    text, rows = taken(sent, boards)
    assert rows == [(CHANGED, "knn")]
    assert "| knn | changed | 2 |" in text
    assert "± 0.00 (" in text  # the value now, and in brackets the one before


def test_records_and_rows_are_counted_apart(world: Path, boards: Path) -> None:
    """Two records make one row: the numbers in the sentence are named."""
    report = check_submission(world / "submission", boards, offline=True)
    changes, _ = changed_rows(report.new, world / "submission", boards)
    again = replace(changes[0], before=changes[0].after)
    assert news(report, changes) == "1 record that is not there yet: 1 new row"
    assert news(report, [again, again]) == "1 record that is not there yet: 2 repeated rows"
    twice = replace(report, records=[*report.records, *report.records])
    assert news(twice, [*changes, again]) == "2 records that are not there yet: 1 new row, 1 repeated"
    (record,) = report.new
    known = replace(report, known=[record.run_id])
    assert news(known, []) == "1 record that the leaderboards have already"


def test_a_board_that_will_be_new_is_noted(sent: Path, boards: Path) -> None:
    report = check_submission(sent, boards, offline=True)
    (record,) = report.new
    assert changed_rows([record], sent, boards)[1] == []
    title = record_file.changed(record, dataset={**record.raw["dataset"], "view": "title"})
    _, notes = changed_rows([title], sent, boards)
    assert notes[0] == f"no leaderboard has {record.dataset.name} (title) yet: a new board"


def test_the_floor_next_to_a_command_of_another_method_is_explained(sent: Path, boards: Path) -> None:
    report = check_submission(sent, boards, offline=True)
    (record,) = report.new
    changes, notes = changed_rows(report.new, sent, boards)
    along = "popularity, the floor, which each `xmcbench run` runs along"

    def text(command: str) -> str:
        floor = {**record.raw["method"], "name": "popularity", "label": "popularity"}
        both = [record_file.changed(record, method=method, command=command) for method in (record.raw["method"], floor)]
        records = [replace(report.records[0], record=one) for one in both]
        return text_of(replace(report, records=records), changes, notes)

    assert f"(2 records: knn, {along})" in text("xmcbench run knn").replace("\\", "")
    assert "(2 records: knn, popularity)" in text("xmcbench run knn popularity")
