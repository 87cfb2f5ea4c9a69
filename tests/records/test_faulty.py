"""A plan of a faulty method and the baseline: a record with a cause, and a baseline as if nothing had happened."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.files import TEMPORARY
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs import registry

FILE = Path(__file__).parent / "faulty.py"
DATA = ["--dataset", "synthetic[labels=30,rows=200,test=20]", "--threads", "1", "--results", "out"]


def faults() -> dict[str, tuple[str, str]]:
    registry.typed(f"{FILE}:Good")
    return dict(sys.modules["xmcbench_experiment_faulty"].FAULTS)


def run(*words: str) -> tuple[list[Record], str]:
    """The records of a plan, which must be readable, and its output."""
    result = CliRunner().invoke(app, ["run", *words, *DATA])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    damaged: list[str] = []
    records = Store(Path("out")).records(damaged)
    assert damaged == []
    assert not list(Path("out").rglob(TEMPORARY + "*"))
    assert result.exit_code == int(any(r.status not in ("ok", "skipped") for r in records)), result.output
    return records, result.output


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float | None]:
    """The scores of the baseline in a plan of its own."""
    folder, here = tmp_path_factory.mktemp("baseline"), Path.cwd()
    os.chdir(folder)
    try:
        (record,) = run("popularity")[0]
    finally:
        os.chdir(here)
    return {metric.name: metric.value for metric in record.metrics}


def surroundings() -> tuple[Any, ...]:
    umask = os.umask(0o022)
    os.umask(umask)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    timer = signal.getitimer(signal.ITIMER_REAL)
    return Path.cwd(), dict(os.environ), sys.getrecursionlimit(), handlers, timer, list(sys.path), umask


@pytest.mark.parametrize("first", range(0, len(faults()), 10))
def test_a_fault_is_on_record_and_the_plan_continues(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, baseline: dict[str, float | None]
) -> None:
    expected = dict(list(faults().items())[first : first + 10])
    monkeypatch.chdir(tmp_path)
    before = surroundings()
    records, output = run(*(f"{FILE}:{name}" for name in expected))
    assert surroundings() == before
    by_name = {record.method.name.rpartition(":")[2]: record for record in records}
    assert by_name.keys() == {*expected, "popularity"}, output
    for name, (status, said) in {**expected, "popularity": ("ok", "")}.items():
        record = by_name[name]
        assert record.status == status, (name, record.reason)
        told = "".join(record.noted("remarks")) if status == "ok" else record.reason
        assert said in told, (name, told)
        assert status == "ok" or told, name
        scores = {metric.name: metric.value for metric in record.metrics}
        assert scores == (baseline if status == "ok" else {}), name
        assert record.notes.get("report") or not name.startswith("report"), name
    assert not list(Path("out").glob("reports/*"))
    left = {path.parent.name for path in Path("out").glob("work/*/*")}
    assert len(left) == [status for status, _ in expected.values()].count("out_of_memory"), "only what can be resumed"
