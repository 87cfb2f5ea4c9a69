"""A submission is text and numbers from anybody: what holds, and every way in which it may lie."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contributions.conftest import Forge
from xmcbench import limits
from xmcbench.comparison.verifying import HOLDS, UNCHECKED
from xmcbench.contributions.checking import Report, check_submission
from xmcbench.contributions.submitting import submit
from xmcbench.errors import DataError, UsageError
from xmcbench.files import sha256_of, write_npz
from xmcbench.npz_files import read_npz


def checked(folder: Path, boards: Path) -> Report:
    return check_submission(folder, boards, offline=True)


def states(report: Report) -> dict[str, str]:
    (one,) = report.records
    return {check.what: check.state for check in one.checks}


def why(report: Report) -> str:
    """All that is wrong, in one text."""
    return "\n".join([report.fault, *(check.why for one in report.records for check in one.failed)])


def test_what_was_sent_holds_and_what_cannot_be_checked_says_so(sent: Path, full: Path, boards: Path) -> None:
    report = checked(sent, boards)
    assert report.accepted
    assert [record.method.name for record in report.new] == ["knn"]
    slim = states(report)
    assert {name for name, state in slim.items() if state == HOLDS} == {
        "record",
        "new",
        "data set",
        "board",
        "denominators",
        "values",
    }
    assert {name for name, state in slim.items() if state == UNCHECKED} == {"predictions", "rows", "scores"}
    assert set(states(checked(full, boards)).values()) == {HOLDS}


def test_without_leaderboards_nothing_is_accepted(sent: Path, world: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "records").mkdir(parents=True)
    for nothing in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(UsageError, match=rf"{nothing.name}: no leaderboards.*\n.*--leaderboards"):
            checked(sent, nothing)
        with pytest.raises(UsageError, match="no leaderboards"):
            submit(world / "results", tmp_path / "mine", nothing)
    assert not (tmp_path / "mine").exists()


def test_only_a_file_that_the_submission_should_have_is_missing(sent: Path, boards: Path) -> None:
    (path,) = (path for path in (sent / "board").glob("*.npz") if not path.name.startswith("data-"))
    path.unlink()
    (one,) = checked(sent, boards).records
    assert [check.what for check in one.failed] == ["board"]


def test_what_the_values_rest_on_is_counted(sent: Path, full: Path, boards: Path) -> None:
    (slim,), (whole,) = checked(sent, boards).records, checked(full, boards).records
    assert slim.record is not None
    total = len(slim.record.metrics)
    why = {check.what: check.why for check in slim.checks}
    assert why["values"] == f"5 of {total} agree with the per-row numbers; {total - 5} rest on the seal"
    assert why["scores"] == why["predictions"] == why["rows"] == "no predictions were given"
    why = {check.what: check.why for check in whole.checks}
    assert why["values"] == f"{total - 2} of {total} agree with the per-row numbers"  # two are over labels
    assert why["scores"].startswith(f"{total} of {total} values are as on record")


def first_value(raw: dict[str, Any]) -> dict[str, Any]:
    return next(metric for metric in raw["metrics"] if metric["name"] == "P@5")


def higher(raw: dict[str, Any]) -> None:
    metric = first_value(raw)
    metric["value"] = metric["high"] = metric["value"] + 0.01


def test_a_changed_value_breaks_the_seal(sent: Path, boards: Path, forge: Forge) -> None:
    forge(sent, higher, seal=False)
    assert "changed after it was written: the seal doesn't match" in why(checked(sent, boards))


def test_a_changed_value_outside_of_its_interval_was_changed_after_it_was_written(
    sent: Path, boards: Path, forge: Forge
) -> None:
    forge(sent, lambda raw: first_value(raw).update(value=0.999), seal=False)
    said = why(checked(sent, boards))
    assert "changed after it was written" in said
    assert "outside of its interval" not in said
    forge(sent, lambda raw: first_value(raw).update(value=0.999))
    assert "outside of its interval" in why(checked(sent, boards))


def test_a_changed_value_with_a_new_seal_is_not_that_of_the_rows(sent: Path, boards: Path, forge: Forge) -> None:
    forge(sent, higher)
    report = checked(sent, boards)
    assert not report.accepted
    assert report.new == []
    assert "P@5 is" in why(report)
    assert "on record" in why(report)


def forged_rows(raw: dict[str, Any], folder: Path) -> None:
    """Two more hits at the first rank, in the values and in all per-row numbers, with their hashes."""
    values = {metric["name"]: metric for metric in raw["metrics"]}
    for kind in ("rows", "board"):
        path = folder / raw[kind]["file"]
        arrays = read_npz(path)
        misses = np.flatnonzero(arrays["P@1"] == 0)[:2]
        for name in {"P@1", "nDCG@1"} & set(arrays):
            arrays[name][misses] = 1
            values[name].update(value=float(arrays[name].mean(dtype=np.float64)), high=1.0)
        write_npz(path, arrays)
        raw[kind]["sha256"] = sha256_of(path)


def test_forged_rows_are_found_where_predictions_are_given(full: Path, boards: Path, forge: Forge) -> None:
    forge(full, lambda raw: forged_rows(raw, full))
    report = checked(full, boards)
    assert states(report)["board"] == HOLDS  # the forger made them agree
    assert states(report)["rows"] == HOLDS
    assert "P@1 is" in why(report)
    assert all(check.score for one in report.records for check in one.failed)


@pytest.mark.parametrize("kind", ["board", "predictions", "rows"])
def test_a_changed_or_missing_file_is_refused(full: Path, boards: Path, kind: str) -> None:
    (path,) = (path for path in (full / kind).glob("*.npz") if not path.name.startswith("data-"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "not the file of the record" in why(checked(full, boards))
    path.unlink()
    assert "missing" in why(checked(full, boards))


def test_other_denominators_than_those_of_the_data_are_refused(sent: Path, boards: Path, forge: Forge) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["dataset"]["n_train"] += 1

    forge(sent, change)
    assert "contradicts its data set: n_train is" in why(checked(sent, boards))


@pytest.mark.parametrize(
    "name", ["evil.sh", ".git", "records/x.txt", "board/x.json", "records/.x.json", "board/datasets.json", "work/x.npz"]
)
def test_foreign_files_are_refused_and_nothing_is_read(sent: Path, boards: Path, name: str) -> None:
    (sent / name).parent.mkdir(exist_ok=True)
    (sent / name).write_text("x")
    report = checked(sent, boards)
    assert not report.accepted
    assert "no file of a submission" in report.fault or "work is another folder" in report.fault
    assert report.records == []


@pytest.mark.parametrize("name", ["PULL_REQUEST.md", "records/a.json", "board/a.npz", "records", "predictions"])
def test_links_are_refused(sent: Path, boards: Path, name: str) -> None:
    if (sent / name).is_dir():
        shutil.move(sent / name, sent.parent / "elsewhere")
    (sent / name).unlink(missing_ok=True)
    target = sent.parent / "elsewhere" if name == "records" else Path("/etc/passwd")
    (sent / name).symlink_to(target)
    report = checked(sent, boards)
    assert "is a link" in report.fault
    assert report.records == []


def test_pipes_and_folders_in_folders_are_refused(sent: Path, boards: Path) -> None:
    os.mkfifo(sent / "records" / "a.json")
    (sent / "board" / "deep.npz").mkdir()
    fault = checked(sent, boards).fault
    assert "records/a.json is no regular file" in fault
    assert "board/deep.npz is another folder" in fault


def test_huge_files_and_too_many_are_refused_unread(sent: Path, boards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (sent / "board" / "huge.npz").open("wb") as file:
        file.truncate(limits.SUBMITTED_FILE + 1)  # a hole: takes no room
    assert "huge.npz has 67,108,865 bytes" in checked(sent, boards).fault
    monkeypatch.setattr(limits, "SUBMITTED", 1 << 20)
    assert "67," in checked(sent, boards).fault
    assert "at most 1,048,576 are read" in checked(sent, boards).fault
    monkeypatch.setattr(limits, "SUBMITTED_FILES", 2)
    assert "more than 2 files" in checked(sent, boards).fault


def test_a_long_record_is_refused(sent: Path, boards: Path) -> None:
    (path,) = (sent / "records").glob("*.json")
    path.write_bytes(path.read_bytes() + b" " * limits.SETTINGS)
    assert "at most 16,777,216 are read" in why(checked(sent, boards))


def test_files_of_no_record_are_refused(sent: Path, boards: Path) -> None:
    shutil.copy(next((sent / "board").glob("data-*.npz")), sent / "board" / "more.npz")
    assert "1 file of no record: board/more.npz" in checked(sent, boards).fault


def test_a_record_that_names_a_path_outside_is_refused(sent: Path, boards: Path, forge: Forge) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["board"]["file"] = "board/../../secret.npz"

    forge(sent, change)
    assert "which is no file in board/" in why(checked(sent, boards))


def rename(raw: dict[str, Any]) -> None:
    raw["run_id"] += "-again"
    raw["started_utc"] = "2026-11-27T00:00:00+00:00"


def test_a_copy_under_another_id_is_refused(sent: Path, boards: Path, forge: Forge) -> None:
    (path,) = (sent / "records").glob("*.json")
    original = path.read_text()
    forge(sent, rename)
    path.write_text(original)
    report = checked(sent, boards)
    assert len(report.failed) == 1
    assert f"a copy of run {path.stem}" in why(report)


def test_a_copy_of_what_the_leaderboards_have_is_refused(sent: Path, boards: Path, forge: Forge) -> None:
    for kind in ("records", "board"):
        shutil.copytree(sent / kind, boards / kind, dirs_exist_ok=True)
    assert checked(sent, boards).accepted  # the same record again: nothing new
    assert checked(sent, boards).new == []
    forge(sent, rename)
    assert "a copy of run" in why(checked(sent, boards))


def test_a_known_run_id_with_other_content_is_refused(sent: Path, boards: Path, forge: Forge) -> None:
    for kind in ("records", "board"):
        shutil.copytree(sent / kind, boards / kind, dirs_exist_ok=True)
    forge(sent, lambda raw: raw["costs"].update(fit_seconds=0.001))
    assert "this run id has other content" in why(checked(sent, boards))


@pytest.mark.parametrize("name", ["tickets", "<b>x</b>", "", "icd10cm-mine[x]"])
def test_data_that_nobody_else_has_is_refused(sent: Path, boards: Path, forge: Forge, name: str) -> None:
    forge(sent, lambda raw: raw["dataset"].update(name=name))
    assert f"{name!r} is not in the catalogue" in why(checked(sent, boards))


def test_other_content_than_the_leaderboards_compare_on_is_refused(sent: Path, boards: Path, forge: Forge) -> None:
    forge(sent, lambda raw: raw["dataset"].update(content_hash="sha256:0"))
    assert "is not that of the leaderboards" in why(checked(sent, boards))


def test_schema_1_has_no_seal_and_is_refused(sent: Path, boards: Path, forge: Forge) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw["schema"] = 1
        del raw["seal"], raw["board"]

    forge(sent, change, seal=False)
    assert "schema 1 has no seal" in why(checked(sent, boards))
    path = next((sent / "records").glob("*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    assert "schema 99" in why(checked(sent, boards))


def test_a_record_without_per_row_numbers_is_refused(sent: Path, boards: Path, forge: Forge) -> None:
    forge(sent, lambda raw: raw.update(board=None))
    assert "no per-row numbers" in why(checked(sent, boards))


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"schema": 2}', b"[" * 100_000])
def test_what_is_no_record_is_named(sent: Path, boards: Path, content: bytes) -> None:
    (sent / "records" / "a.json").write_bytes(content)
    report = checked(sent, boards)
    assert [one.name for one in report.failed] == ["a"]
    assert not report.accepted


def test_no_folder_of_records_is_a_mistake_of_the_user(tmp_path: Path, boards: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (tmp_path / "nowhere", empty):
        with pytest.raises(UsageError, match="no folder with records"):
            checked(folder, boards)
    (empty / "records").mkdir()
    assert checked(empty, boards).fault.endswith("no records")


def test_damaged_references_of_the_leaderboards_are_no_fault_of_the_sender(sent: Path, boards: Path) -> None:
    (boards / "board" / "datasets.json").write_text("[")
    with pytest.raises(DataError, match=r"datasets\.json"):
        checked(sent, boards)


def test_a_failed_run_is_taken_without_scores(sent: Path, boards: Path, forge: Forge) -> None:
    def change(raw: dict[str, Any]) -> None:
        raw.update(status="timeout", reason="after 60 s", metrics=[], predictions=None, rows=None, board=None)

    forge(sent, change)
    shutil.rmtree(sent / "board")
    assert checked(sent, boards).accepted
