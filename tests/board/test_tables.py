"""Ranks, values and flags of a table whose hits are chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from xmcbench.board.model import FLAGS, Row, Table
from xmcbench.board.pairs import Cache, Results
from xmcbench.board.rows import UNRANKED
from xmcbench.board.tables import board_of
from xmcbench.errors import DataError
from xmcbench.files import write_npz
from xmcbench.results import record_file
from xmcbench.results.record import Record
from xmcbench.results.store import Store

NewRun = Callable[..., Record]


def hits(share: float, seed: int = 0, n: int = 200) -> np.ndarray:
    """The documents a method gets right: the easiest ones, with a few others' changed."""
    found = (np.arange(n) < share * n).astype(np.float32)
    for at in np.random.default_rng(seed).integers(0, n, 4):
        found[at] = 1 - found[at]
    return found


def table_of(folder: Path, cache: Cache | None = None) -> Table:
    store = Store(folder)
    (table,) = board_of(store.records(), store, cache or Cache()).tables
    return table


def by_label(table: Table) -> dict[str, Row]:
    return {row.label: row for row in table.rows}


def test_rows_the_test_cannot_separate_share_a_rank(folder: Path, new_run: NewRun) -> None:
    for seed, label in enumerate(("a", "b", "c")):
        new_run(label, hits(0.8, seed), method={"deterministic": True})
    new_run("weak", hits(0.4))
    new_run("popularity", hits(0.1), method={"deterministic": True})
    table = table_of(folder)
    rows = by_label(table)
    assert [rows[name].ranks["P@1"] for name in ("a", "b", "c", "weak", "popularity")] == [1, 1, 1, 4, 5]
    assert rows["a"].separated["P@1"] == 2
    assert [row.label for row in table.rows][3:] == ["weak", "popularity"]
    assert [row.label for row in table.rows if row.floor] == ["popularity"]
    best_first = [row.values["P@1"].value for row in table.rows]
    assert best_first == sorted(best_first, reverse=True)
    assert table.tested == ["P@1", "PSP@5"]
    assert table.slices == {"tail": ["P@1:tail"]}
    assert table.ceilings["P@1"] == 1.0


def test_near_duplicates_are_taken_together(folder: Path, new_run: NewRun) -> None:
    """12 more hits out of 200 separate two methods, but not where they are all of one group."""
    good, bad = np.ones(200, np.float32), np.ones(200, np.float32)
    bad[:12] = 0
    one_group = np.arange(200, dtype=np.int32)
    one_group[:12] = 0
    new_run("good", good)
    new_run("bad", bad)
    assert by_label(table_of(folder))["bad"].ranks["P@1"] == 2
    new_run("good", good, rows={"near": one_group}, dataset={"name": "copies"})
    new_run("bad", bad, rows={"near": one_group}, dataset={"name": "copies"})
    store = Store(folder)
    copies = board_of(store.records(), store, Cache()).tables[0]
    assert [row.ranks["P@1"] for row in copies.rows] == [1, 1]
    widths = [t.rows[1].values["P@1"] for t in board_of(store.records(), store, Cache()).tables]
    assert widths[0].low is not None
    assert widths[1].low is not None
    assert widths[0].low < widths[1].low  # twelve documents that come and go together make a wider interval


def test_seeds_are_averaged_and_their_spread_is_told(folder: Path, new_run: NewRun) -> None:
    for seed, share in enumerate((0.7, 0.8, 0.9)):
        new_run("tree", np.arange(200) < share * 200, seed=seed)
    new_run("popularity", np.arange(200) < 20, method={"deterministic": True})
    row = by_label(table_of(folder))["tree"]
    value = row.values["P@1"]
    assert value.value == pytest.approx(0.8)
    assert value.sd == pytest.approx(0.1)
    assert value.seeds == 3
    assert value.low is not None
    assert value.high is not None
    assert value.low < 0.8 < value.high
    assert row.values["P@1:tail"].low is None  # no interval of one seed is passed off as that of the mean
    assert "single seed" not in row.flags
    assert row.command == "xmcbench run tree --dataset toy --view bow --seeds 0,1,2"


def flags(row: Row) -> set[str]:
    return set(row.flags)


def test_the_text_of_a_flag_says_whether_its_rows_are_ranked() -> None:
    assert {flag for flag, text in FLAGS.items() if text.endswith(": not ranked")} == {*UNRANKED, "no per-row numbers"}


def test_flags_and_who_is_not_ranked(folder: Path, new_run: NewRun) -> None:
    outside: dict[str, Any] = {"seed": None, "environment": {}, "code": {}}
    claims = {"split": "unknown", "by": "claimed by the author"}
    new_run("tree", hits(0.8))
    new_run("popularity", hits(0.1), method={"deterministic": True})
    new_run("brought", hits(0.9), **outside, method={"family": "external", "deterministic": True}, selection=claims)
    cheat = {**claims, "split": "test"}
    new_run("cheat", hits(1.0), **outside, method={"family": "external", "deterministic": True}, selection=cheat)
    new_run("other", hits(0.9), dataset={"content_hash": "sha256:b"}, method={"deterministic": True})
    new_run("crowded", hits(0.7), costs={"others_cpu": 0.5}, code={"dirty": True, "commit": "c"})
    old = new_run("old", hits(0.7), method={"deterministic": True})
    metrics, method = [replace(m, version=2) for m in old.metrics], replace(old.method, label="x")
    Store(folder).add(record_file.changed(old, run_id="9999-new-metric", metrics=metrics, method=method))
    rows = by_label(table_of(folder))
    assert rows["x"].flags == []
    assert rows["x"].ranks["P@1"] == 1  # alone among its equals
    assert {"other metric version"} <= flags(rows["tree"])  # x was scored with the newer definition
    assert {"external predictions", "selection split unknown"} <= flags(rows["brought"])
    assert {"external predictions", "selected on test"} <= flags(rows["cheat"])
    assert "other data lineage" in rows["other"].flags
    assert {"single seed", "busy machine", "changed code"} <= flags(rows["crowded"])
    assert rows["cheat"].ranks["P@1"] is None
    assert rows["other"].ranks["P@1"] is None
    assert rows["brought"].command == ""
    assert rows["brought"].costs == []


def test_what_was_tested_is_remembered_by_the_records(folder: Path, new_run: NewRun) -> None:
    new_run("a", hits(0.8))
    new_run("b", hits(0.4))
    cache = Cache()
    first = table_of(folder, cache)
    (key,) = cache.used.p
    again = Cache(Results({key: [1.0] * 5}, dict(cache.known.intervals)))  # what is remembered is what is told
    assert [row.ranks["P@1"] for row in first.rows] == [1, 2]
    assert [row.ranks["P@1"] for row in table_of(folder, again).rows] == [1, 1]
    new_run("b", hits(0.4))  # another run: what was remembered of the old one is of no use
    later = Cache(again.known)
    assert [row.ranks["P@1"] for row in table_of(folder, later).rows] == [1, 2]
    assert key not in later.used.p  # so that it is not kept for ever


def test_rows_that_do_not_give_the_value_on_record_are_refused(folder: Path, new_run: NewRun) -> None:
    run = new_run("a", hits(0.8))
    metrics = [replace(m, value=0.9) if m.name == "P@1" else m for m in run.metrics]
    Store(folder).add(record_file.changed(run, metrics=metrics))  # sealed anew, so that nothing but the rows tells
    with pytest.raises(DataError, match=r"P@1 is 0\.\d+ by its rows, on record 0\.9"):
        table_of(folder)


def test_a_file_of_rows_that_is_another_is_refused(folder: Path, new_run: NewRun) -> None:
    run = new_run("a", hits(0.8))
    write_npz(folder / run.board.file, {"P@1": hits(0.9), "PSP@5": hits(0.9)})
    with pytest.raises(DataError, match="not the file"):
        table_of(folder)


def test_records_without_rows_are_shown_unranked(folder: Path, new_run: NewRun) -> None:
    run = new_run("a", hits(0.8))
    method = replace(run.method, label="b")
    Store(folder).add(record_file.changed(run, board=None, rows=None, run_id="0000-b", method=method))
    rows = by_label(table_of(folder))
    assert rows["b"].ranks["P@1"] is None
    assert "no per-row numbers" in rows["b"].flags
    assert rows["b"].values["P@1"].low == 0.0  # of the record itself


def test_a_data_set_on_which_all_failed_says_so(folder: Path, new_run: NewRun) -> None:
    new_run("a", status="error", reason="it broke")
    table = table_of(folder)
    assert (table.rows, table.failures, table.metrics) == ([], ["a: error (it broke)"], [])


def test_rows_that_a_chain_of_inseparable_ones_joins_share_a_rank(folder: Path, new_run: NewRun) -> None:
    """Each is inseparable from the next, but not from the one after; only the last stands apart."""
    n = 400
    hard = np.random.default_rng(3).permutation(n)
    for label, right in (("a", 300), ("b", 296), ("c", 292), ("d", 100)):
        new_run(label, hard < right)
    rows = by_label(table_of(folder))
    assert [rows[label].ranks["P@1"] for label in "abcd"] == [1, 1, 1, 4]
    assert [rows[label].separated["P@1"] for label in "abcd"] == [2, 1, 1, 0]


def test_other_groups_of_near_duplicates_are_not_mixed(folder: Path, new_run: NewRun) -> None:
    grouped = np.zeros(200, np.int32)
    new_run("old", hits(0.9), rows={"near": grouped})
    new_run("a", hits(0.8))
    new_run("b", hits(0.4))
    rows = by_label(table_of(folder))
    assert "other groups" in rows["old"].flags
    assert [rows[label].ranks["P@1"] for label in ("old", "a", "b")] == [None, 1, 2]


def test_metrics_that_no_paper_prints_are_shown_where_there_are_no_others(folder: Path, new_run: NewRun) -> None:
    run = new_run("a", hits(0.8))
    metrics = [replace(run.metrics[0], name=name, value=0.5) for name in ("RPrec", "MacroF1@5")]
    Store(folder).add(record_file.changed(run, metrics=metrics, board=None, rows=None, predictions=None))
    table = table_of(folder)
    assert (table.metrics, table.tested) == (["RPrec", "MacroF1@5"], [])
    assert table.rows[0].values["RPrec"].value == 0.5


def test_a_command_brought_by_a_record_is_not_shown(folder: Path, new_run: NewRun) -> None:
    code = {"commit": None, "dirty": None, "method": {"target": "exp.py", "sha256": "aa"}}
    new_run("mine", hits(0.8), code=code, command="rm -rf ~")
    new_run("tree[beam=5]", hits(0.8), k=20, seed=1)
    rows = by_label(table_of(folder))
    assert rows["mine"].command == ""
    assert (
        rows["tree[beam=5] (k=20)"].command == "xmcbench run 'tree[beam=5]' --dataset toy --view bow --seeds 1 --k 20"
    )


def test_the_board_hangs_on_the_records_alone(folder: Path, new_run: NewRun) -> None:
    new_run("a", hits(0.8))
    new_run("b", hits(0.4), seed=3)
    store = Store(folder)
    everything = store.records()
    assert board_of(everything, store, Cache()) == board_of(everything[::-1], store, Cache())


@pytest.mark.parametrize("revisions", [("f" * 12, "0" * 12), ("0" * 12, "f" * 12)])
def test_the_newest_run_decides_which_revision_of_an_import_is_ranked(
    folder: Path, new_run: NewRun, revisions: tuple[str, str]
) -> None:
    for label, revision in zip(("old", "new"), revisions, strict=True):
        dataset = {"revision": revision, "content_hash": f"sha256:{revision}"}
        new_run(label, hits(0.5), dataset=dataset, method={"deterministic": True})
    rows = by_label(table_of(folder))
    assert "other data lineage" in rows["old"].flags
    assert "other data lineage" not in rows["new"].flags
