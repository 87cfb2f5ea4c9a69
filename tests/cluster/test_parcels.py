"""Files that travel: complete, unchanged, and never outside of their folder."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from tests.cluster.conftest import plan_of
from tests.cluster.test_tasks import task
from xmcbench.api.datasets import import_data
from xmcbench.cluster import parcels
from xmcbench.cluster.node import Outcome, State
from xmcbench.data import load
from xmcbench.data.imported import is_imported, remove_imported
from xmcbench.errors import DataError
from xmcbench.records.store import Store


class Disk(NamedTuple):
    free: int


def now(_: State) -> float:
    return time.time()


def test_files_arrive_as_they_were(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a").mkdir(parents=True)
    (source / "a" / "full").write_bytes(bytes(range(256)) * 50)
    (source / "empty").write_bytes(b"")
    parcels.unpack(parcels.pack(source, [source / "a" / "full", source / "empty"]), target)
    assert (target / "a" / "full").read_bytes() == bytes(range(256)) * 50
    assert (target / "empty").read_bytes() == b""


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../out", "..\\out"])
def test_no_file_is_written_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="leads out of its folder"):
        parcels.unpack([(name, np.zeros(1, np.uint8))], tmp_path / "target")
    assert not list(tmp_path.rglob("*out*"))


def test_results_that_nobody_fetched_are_found_by_the_next_attempt(tmp_path: Path) -> None:
    one = task(*plan_of("popularity"))
    first, files = parcels.perform_apart(one, "far", "1", now, None)
    second, same = parcels.perform_apart(one, "far", "2", now, None)
    assert first.run_ids == second.run_ids, "the run is not made twice"
    assert [name for name, _ in files] == [name for name, _ in same]
    parcels.forget(one.fit_hash)
    assert not parcels.scratch(one.fit_hash).exists()
    third, _ = parcels.perform_apart(one, "far", "3", now, None)
    assert third.run_ids != first.run_ids
    parcels.forget(one.fit_hash)


def test_mapped_files_outlive_their_folder(tmp_path: Path) -> None:
    one = task(*plan_of("popularity"))
    outcome, files = parcels.perform_apart(one, "far", "1", now, None)
    parcels.forget(one.fit_hash)
    ((record, model),) = parcels.receive(files, outcome, Store(tmp_path))
    assert record.run_id == outcome.run_ids[0]
    assert model is None


def test_a_record_that_was_changed_on_the_way_is_refused_with_the_name_of_the_node(tmp_path: Path) -> None:
    one = task(*plan_of("popularity"))
    outcome, files = parcels.perform_apart(one, "far", "1", now, None)
    parcels.forget(one.fit_hash)
    changed = [(name, content.copy()) for name, content in files]
    text = bytes(changed[0][1]).replace(b'"status": "ok"', b'"status": "OK"')
    changed[0] = changed[0][0], np.frombuffer(text, np.uint8)
    with pytest.raises(DataError, match="results of node far: "):
        parcels.receive(changed, outcome, Store(tmp_path))
    assert not Store(tmp_path).records()
    assert not list((tmp_path / "predictions").glob("*"))


def test_a_refused_task_leaves_nothing_on_the_node() -> None:
    one = task(*plan_of("popularity"), content_hash="sha256:0")
    outcome, files = parcels.perform_apart(one, "far", "1", now, None)
    assert outcome == Outcome("far", refused=outcome.refused)
    assert "another content" in outcome.refused
    assert not files
    assert not parcels.scratch(one.fit_hash).exists()


def test_a_node_without_room_refuses_what_another_may_have_and_a_given_limit_is_a_skip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = task(*plan_of("popularity"))
    with monkeypatch.context() as small:
        small.setattr("shutil.disk_usage", lambda _: Disk(1000))
        outcome, files = parcels.perform_apart(one, "far", "1", now, None)
        assert re.match("popularity writes up to .*, and 1 KiB are free on the disk of .*cluster", outcome.refused)
        assert not files
        assert not parcels.scratch(one.fit_hash).exists()
    with monkeypatch.context() as small:
        for module in ("xmcbench.runs.footprint", "xmcbench.cluster.node"):
            small.setattr(f"{module}.available", lambda: 1 << 20)
        outcome, _ = parcels.perform_apart(one, "far", "2", now, None)
        assert "popularity needs about" in outcome.refused
        assert "1 MiB are available" in outcome.refused
    limited = msgspec.structs.replace(one, options=replace(one.options, memory=1 << 20))
    outcome, files = parcels.perform_apart(limited, "far", "3", now, None)
    assert not outcome.refused
    (record,) = [json.loads(content.tobytes()) for name, content in files if name.startswith("records/")]
    assert record["status"] == "skipped"
    parcels.forget(one.fit_hash)


def test_an_import_is_installed_once_and_checked(tmp_path: Path) -> None:
    rows = "".join(f'{{"text": "ticket {i} {word}", "labels": ["{word}"]}}\n' for i in range(20) for word in "ab")
    (tmp_path / "rows.jsonl").write_text(rows)
    import_data("parcel-test", tmp_path / "rows.jsonl", replace=True)
    content = load("parcel-test").content_hash
    files = [(name, content.copy()) for name, content in parcels.pack_import("parcel-test")]
    remove_imported("parcel-test")
    parcels.install_import("parcel-test", lambda: files)
    assert load("parcel-test").content_hash == content

    def unused() -> parcels.Files:
        raise AssertionError("it is there")

    parcels.install_import("parcel-test", unused)
    remove_imported("parcel-test")
    damaged = [(name, part if name == "meta.json" else part[:-1]) for name, part in files]
    with pytest.raises(DataError, match="damaged"):
        parcels.install_import("parcel-test", lambda: damaged)
    assert not is_imported("parcel-test"), "no half of it stays"
