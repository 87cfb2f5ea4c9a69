"""Tasks: what travels to a node makes the same runs there, or is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.cluster.conftest import SMALL, plan_of
from xmcbench.cluster.node import CLOCKS, State, check_clock, check_code, perform
from xmcbench.cluster.tasks import MEMORY, Code, Task, code_of, device_of, groups_of, resources, task_of
from xmcbench.data import load
from xmcbench.errors import UsageError, XmcError
from xmcbench.method import Machine
from xmcbench.records.store import Store
from xmcbench.runs.footprint import of_run
from xmcbench.runs.job import Options
from xmcbench.runs.spec import RunSpec


def task(*specs: RunSpec, **changes: object) -> Task:
    data = {spec.data: load(*spec.data) for spec in specs}
    (group,) = groups_of(specs, data, "cpu", gpus=False)
    made = task_of(group, data[specs[0].data], {}, Options(threads=1), offline=True)
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize(
    "methods",
    [
        ("xrlinear[beam=5|10]",),
        ("elias[stage1_epochs=2,beam=10]",),
        ("ovr[tune]",),
        ("tree[trees=2]",),
        ("popularity",),
    ],
)
def test_a_node_makes_the_same_runs_from_a_task(methods: tuple[str, ...]) -> None:
    specs = plan_of(*methods, seeds=(3,))
    sent = msgspec.json.decode(msgspec.json.encode(task(*specs)), type=Task)
    content = load(SMALL).content_hash
    assert [spec.spec_hash(content, "cpu") for spec in sent.specs()] == [part.spec_hash for part in sent.runs]
    assert [spec.label for spec in sent.specs()] == [spec.label for spec in specs]
    assert [spec.spec_hash(content, "cpu") for spec in specs] == [part.spec_hash for part in sent.runs]


def test_groups_are_fits_in_the_order_of_the_plan() -> None:
    plan = plan_of("xrlinear[beam=5|10]", "popularity", seeds=(0, 1))
    data = {spec.data: load(*spec.data) for spec in plan}
    groups = groups_of(plan, data, "auto", gpus=False)
    assert [(g.number, [(s.info.name, s.seed) for s in g.specs]) for g in groups] == [
        (0, [("xrlinear", 0), ("xrlinear", 0)]),
        (1, [("xrlinear", 1), ("xrlinear", 1)]),
        (2, [("popularity", 0)]),
    ]
    assert {group.device for group in groups} == {"cpu"}


def test_a_gpu_is_requested_by_methods_that_use_one_alone() -> None:
    tree, elias = plan_of("tree", "elias")
    assert device_of(elias, "auto", gpus=True) == "cuda"
    assert device_of(tree, "auto", gpus=True) == "cpu"
    assert device_of(elias, "cpu", gpus=True) == device_of(elias, "auto", gpus=False) == "cpu"
    options, facts = Options("auto", 2), load(SMALL).facts()
    assert (resources([elias], facts, "cuda", options).gpus, resources([elias], facts, "cpu", options).gpus) == (1, 0)
    assert resources([tree], facts, "cpu", options).threads == 2
    with pytest.raises(UsageError, match="no node of the cluster has a GPU"):
        device_of(elias, "cuda", gpus=False)


def test_memory_is_the_largest_estimate_of_a_fit_or_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, facts, options = plan_of("xrlinear[beam=5|10]"), load(SMALL).facts(), Options("cpu", 2)
    needs = [of_run(run, facts, Machine(2, "cpu")) for run in runs]
    assert all(needs)
    assert resources(runs, facts, "cpu", options).memory == max(need.memory for need in needs if need)
    assert resources(runs, facts, "cpu", replace(options, memory=5 << 20)).memory == 5 << 20
    monkeypatch.setattr(runs[0].method, "footprint", lambda *_: None)
    assert resources(runs, facts, "cpu", options).memory == MEMORY, "no estimate"


HERE = Code("3.11", "1.0", "a" * 40, {"tree": "xmcbench"})


@pytest.mark.parametrize(
    ("there", "says"),
    [
        (msgspec.structs.replace(HERE, python="3.12"), "Python is 3.12 here and 3.11 there"),
        (msgspec.structs.replace(HERE, xmcbench="0.9"), "xmcbench is 0.9 here and 1.0 there"),
        (msgspec.structs.replace(HERE, commit="b" * 40), "commit is bbbbbbbbbbbb here and aaaaaaaaaaaa there"),
        (msgspec.structs.replace(HERE, origins={"tree": "not installed"}), "method tree is not installed here"),
    ],
)
def test_other_code_is_refused_with_what_differs(there: Code, says: str) -> None:
    check_code(HERE, HERE)
    with pytest.raises(XmcError, match=says):
        check_code(HERE, there)


def test_an_installed_copy_without_a_commit_is_compared_by_version() -> None:
    check_code(HERE, msgspec.structs.replace(HERE, commit=None))


@pytest.mark.parametrize(("seconds", "says"), [(CLOCKS + 60, "behind"), (-CLOCKS - 60, "ahead")])
def test_clocks_that_differ_are_refused(seconds: float, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1e9)
    check_clock(1e9 + CLOCKS - 60)
    with pytest.raises(XmcError, match=f"its clock is 1 h 1 min {says}|its clock is 61 min.* {says}"):
        check_clock(1e9 + seconds)


def refusal(of: Task, folder: Path, clock: float | None = None) -> str:
    import time

    def publish(state: State) -> float:
        return time.time() if clock is None else clock

    return perform(of, Store(folder), "far", "1", publish).refused


def test_a_node_refuses_what_it_cannot_execute_and_writes_nothing(tmp_path: Path) -> None:
    fine = task(*plan_of("popularity"))
    other_code = msgspec.structs.replace(fine.code, python="2.7")
    (part,) = fine.runs
    cases = {
        "another content": msgspec.structs.replace(fine, content_hash="sha256:0"),
        "unknown data set": msgspec.structs.replace(fine, dataset="nowhere"),
        "its code differs": msgspec.structs.replace(fine, code=other_code),
        "makes another run": msgspec.structs.replace(fine, runs=(msgspec.structs.replace(part, spec_hash="0"),)),
        "these parameters": msgspec.structs.replace(
            fine, runs=(msgspec.structs.replace(part, parameters={"beams": 3}),)
        ),
    }
    for says, one in cases.items():
        assert says in refusal(one, tmp_path / "results"), says
    assert "its clock is" in refusal(fine, tmp_path / "results", clock=0.0)
    assert not list((tmp_path / "results").glob("records/*"))


def test_the_command_of_the_record_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = task(*plan_of("popularity"), command="xmcbench run popularity --on ray --method '/home/me/a b'")
    monkeypatch.setattr("sys.argv", ["worker.py"])
    assert refusal(one, tmp_path) == ""
    (record,) = Store(tmp_path).records()
    assert record.command == "xmcbench run popularity --on ray --method 'a b'"
    assert record.environment.node == "far"


def test_code_names_the_distribution_of_each_method() -> None:
    code = code_of(["tree", "nowhere"])
    assert code.origins == {"tree": "xmcbench", "nowhere": "not installed"}


def test_options_travel(tmp_path: Path) -> None:
    spec = plan_of("popularity")[0]
    given = Options(threads=3, time_limit=7.5, again=True, metrics=("P@1",), samples=10, keep_models=True)
    data = load(*spec.data)
    (group,) = groups_of([spec], {spec.data: data}, "auto", gpus=False)
    sent = msgspec.json.decode(msgspec.json.encode(task_of(group, data, {}, given, offline=False)), type=Task)
    assert sent.options == replace(given, device="cpu", metrics=["P@1"])
    assert sent.resources.threads == 3
