"""RESULTS.md says what the records say, what was not run, and what can't be told."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner
from xmcbench_elias.results import __main__ as results
from xmcbench_elias.results.cells import below
from xmcbench_elias.results.plan import GRAPH, OTHERS, TREE, Board, Plan, command, commands, resolved, steps, swept
from xmcbench_elias.results.report_file import Report
from xmcbench_elias.results.runs import Measured, Results, gap

from tests.minimal import minimal
from xmcbench.cli.app import app
from xmcbench.data import load
from xmcbench.errors import DataError
from xmcbench.metrics.deciles import of_test, recall
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs.plan import make_plan
from xmcbench.testing.worlds import tiny
from xmcbench.topk import TopK

BOARD = Board("synthetic[rows=300,test=60,labels=60,features=300]", "bow")
PLAN = Plan((BOARD,), (BOARD,), (BOARD,), (0.0, 10.0), (10,), (0, 1), (0,))
RUN = (  # what is run: not the three members, one seed of the controls, the default of the sweeps, and ovr
    ("elias[output=stage1|model|ranker|final]", "0,1"),
    ("elias[index=none|tree,ranker=none,output=model]", "0"),
    ("ovr", "0,1"),
)


def run(folder: Path, text: str, seeds: str, *more: str) -> None:
    words = ["run", text, "--dataset", BOARD.dataset, "--seeds", seeds, "--threads", "1", "--results", str(folder)]
    done = CliRunner().invoke(app, [*words, *more])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A results folder with the runs of RUN; tests don't write there."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        for text, seeds in RUN:
            run(folder / "out", text, seeds)
        yield folder / "out"


@pytest.fixture(scope="module")
def written(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    into = tmp_path_factory.mktemp("into")
    results.write(runs, into, PLAN)
    assert (into / results.FIGURE).is_file()
    return (into / results.FILE).read_text()


@pytest.fixture
def own(runs: Path, tmp_path: Path) -> Path:
    """A copy of the same folder that a test may damage."""
    return Path(shutil.copytree(runs, tmp_path / "own"))


def made(folder: Path, into: Path) -> str:
    results.write(folder, into, PLAN)
    return (into / results.FILE).read_text()


def tables(text: str, title: str) -> list[list[list[str]]]:
    """Cells of each table of a section, its head first."""
    section = re.split(r"\n## ", text[text.index(f"## {title}") + 3 :])[0]
    grids = re.findall(r"(?:^\|.*\n)+", section + "\n", re.MULTILINE)
    found = [[re.split(r" ?\| ?", line.strip("|\n").strip()) for line in grid.splitlines()] for grid in grids]
    return [[head, *rows] for head, _, *rows in found]


def cell(text: str, title: str, row: str, column: str, table: int = 0) -> str:
    head, *rows = tables(text, title)[table]
    return next(line for line in rows if line[0] == row)[head.index(column)]


def of(folder: Path, label: str) -> list[Record]:
    """The records of a label, by seed."""
    found = [r for r in Store(folder).records() if r.method.label == label]
    return sorted(found, key=lambda r: (r.seed, len(r.metrics)))


STAGES, CONTROL = "What each part adds", "A learned graph"


def test_values_are_means_over_seeds_with_intervals(runs: Path, written: str) -> None:
    values = [100 * r.metric("P@3") for r in of(runs, "elias[output=ranker]")]
    assert len(values) == 2
    shown = cell(written, STAGES, "+ ranker", "P@3")
    found = re.fullmatch(r"(\S+) ± (\S+) \[(\S+), (\S+)\]", shown)
    assert found is not None, shown
    mean, sd, low, high = map(float, found.groups())
    assert mean == pytest.approx(statistics.fmean(values), abs=0.0051)
    assert sd == pytest.approx(statistics.stdev(values), abs=0.0051)
    assert low <= mean <= high


def test_one_seed_shows_the_interval_on_record(runs: Path, written: str) -> None:
    (record,) = of(runs, "elias[index=none,ranker=none,output=model]")
    value = next(entry for entry in record.metrics if entry.name == "R@10")
    told = f"{100 * value.value:.2f} [{100 * value.low:.2f}, {100 * value.high:.2f}]"
    assert cell(written, STAGES, "full one-vs-all", "R@10") == told
    assert cell(written, STAGES, "full one-vs-all", "label scores") == "60"  # all labels
    assert "not run, seeds 1: `xmcbench run 'elias[index=none,ranker=none,output=model]'" in written


def test_differences_are_paired_over_seeds_of_both(runs: Path, written: str, tmp_path: Path) -> None:
    head, *rows = tables(written, STAGES)[1]
    assert [row[0] for row in rows] == [
        "stage 2 − stage 1",
        "ranker − stage 2",
        "final − ranker",
        "× 3 members − final",
        "stage 2 − full one-vs-all",
    ]
    assert [row[1] for row in rows] == ["2", "2", "2", "0", "1"]
    a, b = (of(runs, "elias[index=none,ranker=none,output=model]")[0], of(runs, "elias[output=model]")[0])
    assert (a.seed, b.seed) == (0, 0)
    words = ["compare", a.run_id, b.run_id, "--json", "--differ", "0", "--results", str(runs)]
    gaps = {one["metric"]: one for one in json.loads(CliRunner().invoke(app, words).stdout)["metrics"]}
    for name in ("P@1", "PSP@5", "R@100"):
        numbers = [100 * gaps[name][key] for key in ("difference", "low", "high")]
        shown = rows[-1][head.index(name)].replace("−", "-")
        assert [float(x) for x in re.findall(r"[+-][\d.]+", shown)] == pytest.approx(numbers, abs=0.0051)


def measured(rows: dict[int | None, dict[str, Any]], version: str = "1", content: str = "x") -> Measured:
    run = minimal("r", "elias", seed=0)
    run = record_file.changed(
        run, method=replace(run.method, version=version), dataset=replace(run.dataset, content_hash=content)
    )
    return Measured("one", "elias", BOARD, (run,), rows=rows)


def test_gap_by_hand() -> None:
    zeros, halves, ones = (np.full(4, x, np.float32) for x in (0, 0.5, 1))
    a = measured({0: {"P@1": ones}, 1: {"P@1": zeros}, 2: {"P@1": halves}})
    b = measured({1: {"P@1": ones}, 2: {"P@1": ones}, 3: {"P@1": zeros}})
    found = gap(a, b, "P@1")  # of seeds 1 and 2: 1 − 0.25 in every row, so in every resample
    assert found.seeds == 2
    assert (found.value, found.low, found.high) == (0.75, 0.75, 0.75)
    assert gap(a, b, "R@100").why == "not kept"
    assert gap(a, measured({1: {"P@1": ones}}, version="2"), "P@1").why == "other version"
    assert gap(a, measured({1: {"P@1": ones}}, content="y"), "P@1").why == "other data"
    assert gap(a, measured({7: {"P@1": ones}}), "P@1").why == "no seed of both"
    assert gap(a, measured({}), "P@1").why == "not kept"
    assert gap(a, Measured("one", "elias", BOARD), "P@1").why == "not run"


def test_what_was_not_run_has_its_command(runs: Path, written: str) -> None:
    assert cell(written, STAGES, "× 3 members", "P@1") == "not run"
    assert f"- not run: `{command(['elias[output=dual]', 'elias[members=3]'], BOARD, (0, 1))}`" in written
    assert f"- not run, seeds 1: `{command(['elias[index=tree,ranker=none,output=model]'], BOARD, (1,))}`" in written
    sweep = tables(written, "λ and κ")[0]
    assert sweep[1][0] == "0"
    record, _ = of(runs, "elias[output=model]")
    assert sweep[1][:3] == ["0", "0", "2"]
    assert tables(written, "λ and κ")[1][1][:2] == ["10", f"{record.notes['settings']['kappa']}"]
    assert sweep[2][:4] == ["10", "–", "0", "not run"]
    assert sweep[2][7:] == ["0.05", "48.68", "40.05", "50.33", "68.95"]  # the paper's, in columns that say so
    assert all("Amazon-670K, other data" in title for title in sweep[0][7:])
    assert f"- not run: `{command(['omikuji'], BOARD, (0,))}" not in written  # all that misses is one command
    assert "`xmcbench run ance omikuji bonsai --dataset" in written


def test_control(runs: Path, written: str) -> None:
    head, tree, graph, difference = tables(written, CONTROL)[0]
    assert [row[1] for row in (tree, graph, difference)] == [
        "clusters of the tree",
        "learned graph",
        "learned graph − clusters of the tree",
    ]
    value = of(runs, "elias[index=tree,ranker=none,output=model]")[0].metric("PSP@5")
    assert tree[head.index("PSP@5")].startswith(f"{100 * (value or 0):.2f} [")


def test_edges_are_those_of_the_reports(runs: Path, written: str) -> None:
    told = [json.loads((runs / r.notes["report"]).with_suffix(".json").read_text()) for r in of(runs, "elias")]
    assert len(told) == 2
    head, *rows = tables(written, "Edges")[0]
    assert [row[0] for row in rows] == ["none", "0.1", "0.25", "0.5", "0.9"]
    for at, row in enumerate(rows):
        for name, key in (("edges cut", "share cut"), ("P@1", "P@1"), ("R@100", "R@100")):
            mean = statistics.fmean(report["edges"]["cut"][at][key] for report in told)
            assert row[head.index(name)] == f"{100 * mean:.2f}"
    uncut = [r.metric("R@10") for r in of(runs, "elias[output=model]")]
    assert rows[0][head.index("R@10")] == f"{100 * statistics.fmean(x or 0 for x in uncut):.2f}"
    scores = statistics.fmean(report["label scores"]["stage1"] for report in told)
    assert cell(written, STAGES, "stage 1", "label scores") == f"{scores:,.0f}"


def test_recall_by_decile_adds_up(runs: Path, written: str) -> None:
    dataset = load(BOARD.dataset, BOARD.view)
    title = "Recall by how frequent labels are"
    for k, number in ((10, 0), (100, 1)):
        shares = []
        for record in of(runs, "ovr"):
            ids = Store(runs).predictions(record).ids[:, :k]
            true = dataset.test.labels.toarray() > 0
            hits = sum(true[row, [i for i in ids[row] if i >= 0]].sum() for row in range(len(ids)))
            shares.append(hits / true.sum())
        _, *rows = tables(written, title)[number]
        values = [float(x) for x in next(row for row in rows if row[0] == "ovr")[1:]]
        assert len(values) == 10
        assert statistics.fmean(values) == pytest.approx(100 * statistics.fmean(shares), abs=0.01)
        assert [row[1] for row in rows if row[0] == "ance"] == ["not run"]
    assert "](recall-by-frequency.svg)" in written
    assert re.search(r"!\[Lines of R@10 and R@100 by decile of label frequency, .+percent", written)


def test_head_names_versions_machines_and_records(runs: Path, written: str) -> None:
    used = 8 + 2 + 2
    assert f"python -m xmcbench_elias.results out` from {used} of {used + 1} records" in written  # and popularity
    version = of(runs, "elias")[0].method.version
    assert f"- **Version** of elias: {version} (10 records, commits " in written
    machine = of(runs, "elias")[0].environment.machine_class.costs
    assert f"- **Machine 1**: {machine}, 1 threads." in written
    assert "95 % interval" in written
    assert str(runs.parent) not in written


def test_same_records_make_the_same_files(runs: Path, written: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert made(runs, tmp_path / name) == written
    one, two = ((tmp_path / name / results.FIGURE).read_bytes() for name in ("one", "two"))
    assert one == two
    assert b"<?xml" in one[:10]


def test_slim_copy_says_what_it_lacks(runs: Path, written: str, tmp_path: Path) -> None:
    slim = tmp_path / "slim"
    assert CliRunner().invoke(app, ["merge", str(runs), "--into", str(slim), "--slim"]).exit_code == 0
    text = made(slim, tmp_path)
    assert cell(text, STAGES, "final", "PSP@5") == cell(written, STAGES, "final", "PSP@5")
    assert cell(text, STAGES, "final", "P@3") == re.sub(r"\[.*", "[not kept]", cell(written, STAGES, "final", "P@3"))
    assert cell(text, STAGES, "final", "label scores") == "not kept"
    assert cell(text, STAGES, "final − ranker", "R@100", 1) == cell(written, STAGES, "final − ranker", "R@100", 1)
    assert cell(text, STAGES, "final − ranker", "P@3", 1) == "not kept"
    assert "not kept: the reports of these runs" in text
    assert "No figure: the predictions of these runs are not kept" in text
    assert not (tmp_path / results.FIGURE).exists()


def test_damaged_files_are_left_out_and_said_to_be(own: Path, tmp_path: Path) -> None:
    first, second = of(own, "elias[output=stage1]")
    path = own / "records" / f"{first.run_id}.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 5'))
    final = of(own, "elias")[0]
    (own / final.rows.file).write_bytes(b"no arrays")
    ovr = of(own, "ovr")[0]
    (own / ovr.predictions.file).write_bytes(b"no arrays")
    (own / of(own, "elias")[1].notes["report"]).with_suffix(".json").write_text("[]")
    text = made(own, tmp_path)
    assert cell(text, STAGES, "stage 1", "seeds") == "1"
    assert cell(text, STAGES, "stage 1", "P@1").startswith(f"{100 * (second.metric('P@1') or 0):.2f} [")
    assert cell(text, STAGES, "final", "seeds") == "1"
    assert cell(text, "Recall by how", "ovr", tables(text, "Recall by how")[0][0][1]) == "left out"
    said = text[text.index("Left out:") : text.index(f"## {STAGES}")]
    assert said.count("\n- ") == 4
    assert "means over seeds 0. " in text  # the other seed's report is no report
    for name in (first.run_id, final.run_id, ovr.run_id):
        assert name in said.replace("\\", "")
    assert str(tmp_path) not in text


def test_runs_of_two_versions_are_marked_and_not_compared(own: Path, tmp_path: Path) -> None:
    for record in of(own, "elias[output=model]"):
        Store(own).add(record_file.changed(record, method=replace(record.method, version="1")))
    text = made(own, tmp_path)
    newest = of(own, "elias")[0].method.version
    assert cell(text, STAGES, "+ stage 2 (version 1)", "seeds") == "2"
    assert cell(text, STAGES, "stage 2 (version 1) − stage 1", "P@1", 1) == "other version"
    assert "+" in cell(text, STAGES, "final − ranker", "P@1", 1)
    assert text.count(f"**Mixed versions** of elias, 1, {newest}: do not compare them.") == 3  # control and figure too
    assert "elias, stage 2 (version 1)" in text


def test_failed_runs_are_told(own: Path, tmp_path: Path) -> None:
    (record,) = of(own, "elias[index=tree,ranker=none,output=model]")
    nothing = {"metrics": [], "predictions": None, "rows": None, "board": None}
    Store(own).add(record_file.changed(record, status="error", reason="a|b <script>", **nothing))
    text = made(own, tmp_path)
    assert "elias\\[index=tree,ranker=none,output=model\\]: error (a\\|b &lt;script&gt;)" in text
    assert tables(text, CONTROL)[0][1][2:4] == ["0", "not run"]


def test_more_metrics_get_a_column(own: Path, written: str, tmp_path: Path) -> None:
    assert "R@20" not in written
    run(own, "elias[output=final]", "0,1", "--metrics", "R@20")
    text = made(own, tmp_path)
    mean = statistics.fmean(r.metric("R@20") or 0 for r in of(own, "elias")[1::2])  # of each seed the one with more
    assert cell(text, STAGES, "final", "R@20").startswith(f"{100 * mean:.2f} ")
    assert cell(text, STAGES, "stage 1", "R@20") == "–"


def test_commands_make_all_that_tables_show() -> None:
    plan = Plan()
    listed = list(commands(plan))
    made = set()
    for line in listed:
        words = shlex.split(line)
        at = words.index("--dataset")
        view = words[words.index("--view") + 1] if "--view" in words else "bow"
        seeds = [int(seed) for seed in words[words.index("--seeds") + 1].split(",")]
        for spec in make_plan(words[2:at], [words[at + 1]], view=view, seeds=seeds):
            made.add((spec.label, spec.dataset, spec.view, spec.seed))
    wanted = [(text, board, plan.seeds) for board in plan.boards for text in steps().values()]
    wanted += [(text, board, plan.seeds) for board in plan.control for text in (TREE, GRAPH)]
    wanted += [(text, board, plan.seeds) for board in plan.studied for text in OTHERS]
    for board in plan.studied:
        wanted += [(swept("shortlist_weight", value), board, plan.sweep_seeds) for value in plan.weights]
        wanted += [(swept("row_leaves", value), board, plan.sweep_seeds) for value in plan.leaves]
    expected = set()
    for text, board, seeds in wanted:
        label, own = resolved(text, board, seeds)
        expected |= {(label, *board, seed) for seed in own}
    assert {spec for spec in made if spec[0] != "popularity"} == expected
    apart = ["elias[leaf=5,beam=5]", "elias[leaf=9,beam=9]"]  # not four runs
    assert shlex.split(command(apart, BOARD, (0,)))[2:4] == apart


def test_command_line(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results.main(["--runs"]) == 0
    assert capsys.readouterr().out.splitlines() == list(commands(Plan()))
    text = results.Document(results.Results(runs), Plan()).text(tmp_path / results.FIGURE)  # of no board is there a run
    assert text.count("\n### ") == 11 + 4 + 2
    assert "not run: `xmcbench run elias --dataset wordnet" in text
    assert results.main([str(runs), "--into", str(tmp_path)]) == 4
    assert "records is of these runs" in capsys.readouterr().err
    assert not (tmp_path / results.FILE).exists()
    assert results.main([str(tmp_path)]) == 4
    assert "no records" in capsys.readouterr().err
    assert results.main([]) == 2


def test_text_from_records_is_escaped() -> None:
    row = Measured("x", "elias", BOARD, remarks=("<b>|`x`",))
    assert below([row], BOARD, (0,)) == ["- &lt;b&gt;\\|\\`x\\`"]


def test_reports_of_another_form(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text('{"steps": [], "differences": [{"from": "stage1", "to": "model", "P@1": null}]}')
    old = Report.read(path)  # of a version that told less
    assert (old.edges, old.label_scores, old.stage1_searches, old.stage2()) == (None, {}, None, {})
    bad = ['{"label scores": {"model": "x"}}', '{"differences": [{"from": "stage1", "to": "model", "P@1": [1]}]}']
    for text in ("[]", "{", '{"edges": {"cut": [{"threshold": 0.1}]}}', *bad):
        path.write_text(text)
        with pytest.raises(DataError, match=r"no report|not JSON"):
            Report.read(path)


def test_no_records() -> None:
    with pytest.raises(DataError, match="no records"):
        Results(Path("nowhere"))


def test_recall_by_hand() -> None:
    data = tiny(n_train=60, n_test=20, n_labels=12)
    true = data.test.labels.toarray() > 0
    ids = np.argsort(~true, axis=1, kind="stable").astype(np.int32)  # true labels first
    scores = np.zeros(ids.shape, np.float32)
    assert recall(TopK(ids, scores), data, of_test(data), 12) == pytest.approx(np.ones(10))
    assert recall(TopK(ids[:, ::-1], scores), data, of_test(data), 1) == pytest.approx(np.zeros(10))
