"""How a plan is distributed: what is refused, lost, done already or held by another process, and what is left of it."""

from __future__ import annotations

import errno
import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.cluster.conftest import SMALL, Nodes, honest, plan_of
from xmcbench.cluster import parcels
from xmcbench.cluster.driver import ATTEMPTS, Driver
from xmcbench.cluster.engine import Lost
from xmcbench.cluster.node import Outcome
from xmcbench.cluster.table import ProgressTable
from xmcbench.cluster.tasks import Task
from xmcbench.data import load
from xmcbench.errors import DataError, Terminated, UsageError, WriteError
from xmcbench.records.leftovers import running
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.running.plan import Failure, Watcher, execute_plan
from xmcbench.runs.job import Options
from xmcbench.runs.work_folder import reserved

ONE_THREAD = Options(threads=1)


class Log(Watcher):
    """What the driver says."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        self.table = ProgressTable(Console(file=self.text, width=200))


def executed(
    nodes: Nodes, store: Store, *methods: str, options: Options = ONE_THREAD, **plan: Any
) -> tuple[list[Record], list[Failure], str]:
    specs, log = plan_of(*methods, **plan), Log()
    driver = Driver(nodes, store, options, log, log.table, offline=True)
    records, failures = driver.execute(specs, {spec.data: load(*spec.data) for spec in specs})
    return records, failures, log.text.getvalue()


def refuses(task: Task, node: str) -> Outcome:
    return Outcome(node, refused="it has no data")


def loses(task: Task, node: str) -> str:
    return "killed"


def test_records_come_in_the_order_of_the_plan_with_their_files(store: Store) -> None:
    nodes = Nodes(a=honest, b=honest)
    records, failures, said = executed(nodes, store, "knn", "popularity")
    assert [record.method.name for record in records] == ["knn", "popularity"]
    assert not failures
    assert [record.environment.node for record in records] == ["a", "b"]
    for record in records:
        assert record == store.read(store.folder / "records" / f"{record.run_id}.json")
        for kind in ("predictions", "rows", "board"):
            assert store.kept(record, kind).is_file()  # type: ignore[arg-type]
    assert "started on a: knn" in said
    assert not list((store.folder / "work").glob("*")), "no lock and no unfinished file is left"


def test_runs_that_share_a_fit_are_one_task(store: Store) -> None:
    nodes = Nodes(a=honest)
    records, _, _ = executed(nodes, store, "xrlinear[beam=5|10]", seeds=(0, 1))
    assert [(r.method.parameters["beam"], r.seed) for r in records] == [(5, 0), (5, 1), (10, 0), (10, 1)]
    assert [number for number, _ in nodes.submitted] == [0, 1]


def test_a_long_plan_is_queued_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcbench.cluster.driver.QUEUED", 2)
    longest = 0

    class Counting(Nodes):
        def events(self) -> Any:
            nonlocal longest
            longest = max(longest, len(self.queue))
            return super().events()

    nodes = Counting(a=honest)
    records, _, _ = executed(nodes, store, "xrlinear", seeds=range(5))
    assert len(records) == 5
    assert [number for number, _ in nodes.submitted] == list(range(5))
    assert longest == 2


def test_a_local_run_and_a_distributed_one_have_one_identity(store: Store, tmp_path: Path) -> None:
    specs = plan_of("knn")
    local, _ = execute_plan(
        specs, {specs[0].data: load(*specs[0].data)}, Store(tmp_path / "local"), Options(threads=1), Watcher()
    )
    records, _, _ = executed(Nodes(a=honest), store, "knn")
    assert [(r.spec_hash, r.metrics) for r in records] == [(r.spec_hash, r.metrics) for r in local]
    again = Nodes(a=honest)
    records, _, _ = executed(again, Store(tmp_path / "local"), "knn")
    assert records == local, "what was done locally is not done again"
    assert not again.submitted


def test_work_that_nodes_could_not_remove_is_removed_at_the_end(store: Store) -> None:
    """Nodes that share the folder can't, since the driver uses it, as another process does here."""
    specs = plan_of("knn")
    data = {specs[0].data: load(*specs[0].data)}
    with running(store.folder, ()):
        records, _ = execute_plan(specs, data, store, ONE_THREAD, Watcher())
    assert list((store.folder / "work").glob("*/fit.json"))
    nodes = Nodes(a=honest)
    assert executed(nodes, store, "knn")[0] == records
    assert not nodes.submitted
    assert not list((store.folder / "work").glob("*"))


def test_a_run_done_again_supersedes_its_record(store: Store) -> None:
    (first,), _, _ = executed(Nodes(a=honest), store, "popularity")
    (second,), _, _ = executed(Nodes(a=honest), store, "popularity", options=Options(threads=1, again=True))
    assert second.supersedes == first.run_id
    assert len(store.records()) == 2


def test_models_are_kept_in_the_results_folder(store: Store) -> None:
    options = Options(threads=1, keep_models=True)
    (first,), _, _ = executed(Nodes(a=honest), store, "popularity")
    (second,), failures, _ = executed(Nodes(a=honest), store, "popularity", options=options)
    assert not failures
    assert second.run_id != first.run_id, "its model was not kept, so that it is fitted again"
    assert (store.model(second.run_id) / "model.json").is_file()
    nodes = Nodes(a=honest)
    executed(nodes, store, "popularity", options=options)
    assert not nodes.submitted


def test_what_one_node_refuses_another_has(store: Store) -> None:
    nodes = Nodes(a=refuses, b=honest)
    (record,), failures, said = executed(nodes, store, "popularity")
    assert record.environment.node == "b"
    assert not failures
    assert nodes.submitted == [(0, set()), (0, {"a"})]
    assert "node a can't execute a run: it has no data" in said


def other_python(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("platform.python_version_tuple", lambda: ("3", "99", "1"))


def no_data(patch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *_: object, **__: object) -> None:
        raise DataError(f"the files of {name} can't be found", "Copy them.")

    patch.setattr("xmcbench.cluster.node.load", missing)


def other_data(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("xmcbench.cluster.node.load", lambda *_, **__: load(SMALL.replace("rows=100", "rows=101")))


def full_disk(patch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr("os.replace", full)  # at the first file that is complete


def other_clock(patch: pytest.MonkeyPatch) -> None:
    now = time.time() + 7200
    patch.setattr("xmcbench.cluster.node.time.time", lambda: now)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (other_python, "Python is 3.99 here and 3."),
        (no_data, "the files of .* can't be found"),
        (other_data, "has another content here"),
        (full_disk, "the disk is full"),
        (other_clock, "its clock is .* ahead"),
    ],
)
def test_a_node_at_fault_is_named_and_another_has_its_task(
    store: Store, fault: Callable[[pytest.MonkeyPatch], None], says: str
) -> None:
    def bad(task: Task, node: str) -> Outcome:
        shared = time.time()  # of the clock of the machine where the command was given
        with pytest.MonkeyPatch.context() as patch:
            fault(patch)
            outcome, files = parcels.perform_apart(task, node, "1", lambda _: shared, None)
        assert not files
        assert not parcels.scratch(task.fit_hash).exists(), "nothing stays on the node"
        return outcome

    (record,), failures, said = executed(Nodes(bad=bad, good=honest), store, "popularity")
    assert (record.status, record.environment.node) == ("ok", "good")
    assert not failures
    assert re.search(f"node bad can't execute a run: .*{says}", said)
    assert [path.stem for path in store.folder.glob("records/*")] == [record.run_id]
    assert not list((store.folder / "work").glob("*")), "nothing is half-written"


def test_what_all_nodes_refuse_has_no_record_and_names_them(store: Store) -> None:
    records, (failure,), _ = executed(Nodes(a=refuses, b=refuses), store, "popularity")
    assert not records
    assert failure.what.startswith("popularity on synthetic")
    assert str(failure.error) == "no node can execute it: node a: it has no data; node b: it has no data"


def test_more_memory_than_any_node_has_is_refused_with_what_helps(store: Store) -> None:
    nodes = Nodes(a=honest)
    nodes.memory = 1 << 20
    records, failures, _ = executed(nodes, store, "tree")
    assert not records
    hint = "Add a larger node. Or: (.*would need about.*|no parameter lowers that enough.*)"
    assert re.fullmatch(rf"too much memory\n  {hint}", str(failures[0].error)), failures
    _, failures, _ = executed(nodes, store, "tree", options=Options(threads=1, memory=3 << 30))
    assert str(failures[0].error) == "too much memory\n  Give at most that: --memory. Add a larger node."


def test_a_lost_task_goes_to_another_node_if_there_is_one(store: Store) -> None:
    nodes = Nodes(a=loses, b=honest)
    (record,), failures, said = executed(nodes, store, "popularity")
    assert record.environment.node == "b"
    assert not failures
    assert "killed; it is started again" in said


def test_a_loss_before_the_first_report_names_the_node_that_the_engine_knows(store: Store) -> None:
    class Losing(Nodes):
        def events(self) -> Any:
            return [Lost(number, why, "far") for number, why, _ in super().events()]

    _, (failure,), said = executed(Losing(a=loses), store, "popularity")
    assert "lost on far: killed; it is started again" in said
    assert "on far, far, far, far; at last: killed" in str(failure.error)


def test_a_task_that_is_lost_each_time_is_given_up(store: Store) -> None:
    nodes = Nodes(a=loses)
    records, (failure,), _ = executed(nodes, store, "popularity")
    assert not records
    assert len(nodes.submitted) == ATTEMPTS
    assert f"lost {ATTEMPTS} times" in str(failure.error)


def test_damaged_results_are_lost_and_never_added(store: Store) -> None:
    class Damaging(Nodes):
        def results(self, number: int, outcome: Outcome, store: Store) -> Any:
            if len(self.submitted) == 1:
                predictions = next(i for i, (name, _) in enumerate(self.files) if name.startswith("predictions"))
                changed = self.files[predictions][1].copy()
                changed[100] ^= 1
                self.files[predictions] = self.files[predictions][0], changed
            return super().results(number, outcome, store)

    nodes = Damaging(a=honest)
    (record,), failures, said = executed(nodes, store, "popularity")
    assert not failures
    assert "results of node a" in said
    assert len(store.records()) == 1
    assert store.predictions(record).ids.shape[0] == 20


def test_a_run_that_fails_has_a_record_as_on_one_machine(store: Store) -> None:
    (record,), failures, _ = executed(Nodes(a=honest), store, "knn", options=Options(threads=1, time_limit=1e-9))
    assert record.status == "timeout"
    assert record.environment.node == "a"
    assert not failures


def test_a_run_that_another_process_executes_waits_and_is_not_repeated(store: Store) -> None:
    spec = plan_of("popularity")[0]
    dataset = load(*spec.data)
    work = store.work(spec.fit_hash(dataset.content_hash, "cpu"))
    other = reserved(work)

    class Meanwhile(Nodes):
        waited = 0

        def events(self) -> Any:
            self.waited += 1
            if self.waited == 3:
                other.__exit__(None, None, None)
                execute_plan([spec], {spec.data: dataset}, store, Options(threads=1), Watcher())
            return super().events()

    nodes = Meanwhile(a=honest)
    other.__enter__()
    (record,), _, _ = executed(nodes, store, "popularity")
    assert record.environment.node is None, "the other process made it"
    assert not nodes.submitted
    assert len(store.records()) == 1


@pytest.mark.parametrize(("signal", "name"), [(KeyboardInterrupt, "Ctrl-C"), (Terminated, "SIGTERM")])
def test_ctrl_c_cancels_and_says_how_to_continue(signal: type[BaseException], name: str, store: Store) -> None:
    class Stopped(Nodes):
        def events(self) -> Any:
            raise signal

    nodes = Stopped(a=honest)
    records, (failure,), said = executed(nodes, store, "popularity", "knn")
    assert not records
    assert nodes.cancelled
    assert failure.what == "2 runs not finished"
    assert f"stopped by {name}" in str(failure.error)
    assert "run the same command again" in str(failure.error)
    assert "stopping" in said
    assert not list((store.folder / "work").glob("*.lock"))


def test_a_results_folder_that_cannot_be_written_ends_all(store: Store) -> None:
    class Full(Nodes):
        def results(self, number: int, outcome: Outcome, store: Store) -> Any:
            raise WriteError("the disk is full")

    nodes = Full(a=honest)
    with pytest.raises(WriteError, match="the disk is full"):
        executed(nodes, store, "popularity")
    assert nodes.cancelled
    assert not list((store.folder / "work").glob("*.lock"))
    (record,), _, _ = executed(Nodes(a=honest), store, "popularity")
    assert record.status == "ok", "the results were still on the node"


def test_a_class_in_a_file_is_refused(store: Store, tmp_path: Path) -> None:
    from tests.cluster.slowly import CODE

    (tmp_path / "mine.py").write_text(CODE)
    with pytest.raises(UsageError, match="don't have a class in a file"):
        executed(Nodes(a=honest), store, f"{tmp_path}/mine.py:Slowly")


def test_a_gpu_that_no_node_has_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="no node of the cluster has a GPU"):
        executed(Nodes(a=honest), store, "knn", options=Options(threads=1, device="cuda"))
