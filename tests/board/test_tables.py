"""Ranks, values and flags of a table whose hits are chosen."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from xmcbench.board.accepting import accept
from xmcbench.board.model import FLAGS, Row, Table
from xmcbench.board.pairs import Cache, Results
from xmcbench.board.rows import UNRANKED
from xmcbench.board.tables import board_of
from xmcbench.files import write_npz
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.references import agreed
from xmcbench.records.store import Store

NewRun = Callable[..., Record]


def hits(share: float, seed: int = 0, n: int = 200) -> np.ndarray:
    """The documents a method gets right: the easiest ones, with a few others' changed."""
    found = (np.arange(n) < share * n).astype(np.float32)
    for at in np.random.default_rng(seed).integers(0, n, 4):
        found[at] = 1 - found[at]
    return found


def table_of(folder: Path, cache: Cache | None = None) -> Table:
    store = Store(folder)
    (table,) = board_of(accept(store.records(), store), store, cache or Cache()).tables
    return table


def refused(folder: Path) -> str:
    """The message of the only record, which no board is made of."""
    store = Store(folder)
    accepted = accept(store.records(), store)
    assert accepted.records == []
    (note,) = accepted.notes
    return note


def by_label(table: Table) -> dict[str, Row]:
    return {row.label: row for row in table.rows}


def test_rows_the_test_cannot_separate_share_places(folder: Path, new_run: NewRun) -> None:
    for seed, label in enumerate(("a", "b", "c")):
        new_run(label, hits(0.8, seed), method={"deterministic": True})
    new_run("weak", hits(0.4))
    new_run("popularity", hits(0.1), method={"deterministic": True})
    table = table_of(folder)
    rows = by_label(table)
    assert [rows[name].ranks["P@1"] for name in ("a", "b", "c", "weak", "popularity")] == [(1, 3)] * 3 + [
        (4, 4),
        (5, 5),
    ]
    assert [row.ranks["P@1"].tied for row in table.rows if row.ranks["P@1"]] == [2, 2, 2, 0, 0]
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
    assert by_label(table_of(folder))["bad"].ranks["P@1"] == (2, 2)
    new_run("good", good, rows={"near": one_group}, dataset={"name": "copies"})
    new_run("bad", bad, rows={"near": one_group}, dataset={"name": "copies"})
    store = Store(folder)
    copies = board_of(accept(store.records(), store), store, Cache()).tables[0]
    assert [row.ranks["P@1"] for row in copies.rows] == [(1, 2), (1, 2)]
    widths = [t.rows[1].values["P@1"] for t in board_of(accept(store.records(), store), store, Cache()).tables]
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
    metrics, method = [replace(m, version=0) for m in old.metrics], replace(old.method, label="x")
    Store(folder).add(record_file.changed(old, run_id="9999-new-metric", metrics=metrics, method=method))
    rows = by_label(table_of(folder))
    assert flags(rows["x"]) == {"other metric version"}  # scored with an older definition
    assert rows["x"].ranks["P@1"] is None
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
    again = Cache(
        Results({key: [1.0] * 5}, dict(cache.known.differences), dict(cache.known.intervals))
    )  # what is remembered is what is told
    assert [row.ranks["P@1"] for row in first.rows] == [(1, 1), (2, 2)]
    assert [row.ranks["P@1"] for row in table_of(folder, again).rows] == [(1, 2), (1, 2)]
    new_run("b", hits(0.4))  # another run: what was remembered of the old one is of no use
    later = Cache(again.known)
    assert [row.ranks["P@1"] for row in table_of(folder, later).rows] == [(1, 1), (2, 2)]
    assert key not in later.used.p  # so that it is not kept for ever


def test_rows_that_do_not_give_the_value_on_record_are_refused(folder: Path, new_run: NewRun) -> None:
    run = new_run("a", hits(0.8))
    metrics = [replace(m, value=0.9) if m.name == "P@1" else m for m in run.metrics]
    Store(folder).add(record_file.changed(run, metrics=metrics))  # sealed anew, so that nothing but the rows tells
    assert re.search(r"P@1 is 0\.\d+ by its rows, on record 0\.9", refused(folder))


def test_a_file_of_rows_that_is_another_is_refused(folder: Path, new_run: NewRun) -> None:
    run = new_run("a", hits(0.8))
    write_npz(folder / run.board.file, {"P@1": hits(0.9), "PSP@5": hits(0.9)})
    assert "not the file" in refused(folder)


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


def test_a_chain_of_inseparable_rows_joins_nothing(folder: Path, new_run: NewRun) -> None:
    """Each of three is inseparable from the next, but the first is better than the third; the last stands apart."""
    n = 400
    hard = np.random.default_rng(3).permutation(n)
    for label, right in (("a", 300), ("b", 296), ("c", 292), ("d", 100)):
        new_run(label, hard < right)
    rows = by_label(table_of(folder))
    assert [rows[label].ranks["P@1"] for label in "abcd"] == [(1, 2), (1, 3), (2, 3), (4, 4)]


def test_other_groups_of_near_duplicates_are_not_mixed(folder: Path, new_run: NewRun) -> None:
    grouped = np.zeros(200, np.int32)
    new_run("a", hits(0.8))
    new_run("b", hits(0.4))
    for label, date in (("old", "2020-01-01T00:00:00+00:00"), ("new", "2026-06-01T00:00:00+00:00")):
        new_run(label, hits(0.9), rows={"near": grouped}, started_utc=date, dataset={"n_labels": 31})
        rows = by_label(table_of(folder))
        assert "contradicts others" in rows[label].flags
        assert [rows[name].ranks["P@1"] for name in (label, "a", "b")] == [None, (1, 1), (2, 2)]
        (folder / "records" / f"{rows[label].runs[0].run_id}.json").unlink()


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
    there, back = accept(everything, store), accept(everything[::-1], store)
    assert board_of(there, store, Cache()) == board_of(back, store, Cache())


@pytest.mark.parametrize("revision", ["0" * 12, "f" * 12, "99", "0"])
def test_no_single_record_decides_which_content_of_a_data_set_is_ranked(
    folder: Path, new_run: NewRun, revision: str
) -> None:
    new_run("a", hits(0.5))
    new_run("b", hits(0.5))
    dataset = {"revision": revision, "content_hash": f"sha256:{revision}", "n_labels": 7}
    new_run("other", hits(1.0), dataset=dataset)
    table = table_of(folder)
    assert {row.label for row in table.rows if "other data lineage" in row.flags} == {"other"}
    assert (table.facts.n_labels, table.facts.revision) == (30, "1")


@pytest.mark.parametrize("latest", ["old", "new"])
def test_the_content_that_the_data_set_has_here_is_ranked(folder: Path, new_run: NewRun, latest: str) -> None:
    made = [agreed([new_run(name, hits(0.5), dataset={"content_hash": name})]) for name in ("old", "new")]
    new_run("more", hits(0.5), dataset={"content_hash": "old"})
    store = Store(folder)
    accepted = accept(store.records(), store, made if latest == "new" else made[::-1])
    (table,) = board_of(accepted, store, Cache()).tables
    assert table.facts.content_hash == latest


def test_definitions_of_metrics_that_nobody_knows_take_no_rank_away(folder: Path, new_run: NewRun) -> None:
    run = new_run("a", hits(0.5))
    later = new_run("b", hits(0.5))
    (folder / "records" / f"{later.run_id}.json").unlink()
    metrics = [replace(m, version=99) for m in later.metrics]
    Store(folder).add(record_file.changed(later, metrics=metrics))
    rows = by_label(table_of(folder))
    assert (rows[run.method.label].ranks["P@1"], rows["b"].ranks["P@1"]) == ((1, 1), None)
