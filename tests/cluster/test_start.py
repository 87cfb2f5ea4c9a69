"""`--on` of the command and `on=` of `xmcbench.run`: one meaning, and values that can't be."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import xmcbench as xb
from tests.cluster.conftest import SMALL, Nodes, honest
from xmcbench.cli.app import app
from xmcbench.cluster import start
from xmcbench.cluster.node import Outcome
from xmcbench.cluster.tasks import Task
from xmcbench.errors import UsageError


class Closing(Nodes):
    """Nodes that know whether they were left in order."""

    closed = False

    def close(self) -> None:
        self.closed = True


def refuses(task: Task, node: str) -> Outcome:
    return Outcome(node, refused="its disk is full")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Closing:
    """What `--on ray` connects to in a test: a node that executes its tasks."""
    nodes = Closing(a=honest)
    monkeypatch.setattr(start, "_engine", lambda on, address, results: nodes)
    return nodes


def called(results: Path, **options: Any) -> xb.Runs:
    return xb.run("popularity", dataset=SMALL, results=results, threads=1, progress=False, **options)


def commanded(results: Path, **options: object) -> tuple[int, str]:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    arguments = ["run", "popularity", "--dataset", SMALL, "--threads", "1", "--results", str(results), *words]
    done = CliRunner().invoke(app, arguments)
    if isinstance(done.exception, UsageError):
        return done.exception.exit_code, str(done.exception)
    return done.exit_code, done.output


def test_the_call_and_the_command_make_the_same_run_on_the_same_node(cluster: Closing, tmp_path: Path) -> None:
    (record,) = called(tmp_path / "call", on="ray", address="head:6379").records
    assert (record.status, record.environment.node) == ("ok", "a")
    assert cluster.closed
    cluster.submitted.clear()
    code, said = commanded(tmp_path / "command", on="ray", address="head:6379")
    assert code == 0, said
    assert cluster.submitted
    (other,) = xb.results(tmp_path / "command").records
    assert (other.spec_hash, other.metrics, other.environment.node) == (record.spec_hash, record.metrics, "a")


def test_without_on_no_cluster_is_asked(cluster: Closing, tmp_path: Path) -> None:
    (record,) = called(tmp_path).records
    assert record.environment.node is None
    assert not cluster.submitted


def test_progress_goes_to_standard_error_or_nowhere(
    cluster: Closing, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called(tmp_path / "quiet", on="ray")
    assert capsys.readouterr() == ("", "")
    xb.run("popularity", dataset=SMALL, results=tmp_path / "shown", threads=1, on="ray")
    out, err = capsys.readouterr()
    assert out == ""
    assert "started on a: popularity" in err


def test_what_no_node_executes_is_an_error_with_their_reason(cluster: Closing, tmp_path: Path) -> None:
    cluster.nodes = {"far": refuses}
    with pytest.raises(xb.RunsFailed, match="node far: its disk is full") as raised:
        called(tmp_path, on="slurm")
    assert not raised.value.runs.records
    assert cluster.closed


def test_ctrl_c_is_raised_and_the_same_call_continues(
    cluster: Closing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped() -> list[Any]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "events", stopped)
        with pytest.raises(KeyboardInterrupt, match="it resumes from here"):
            called(tmp_path, on="ray")
    assert cluster.cancelled
    assert cluster.closed
    cluster.queue.clear()
    assert [run.status for run in called(tmp_path, on="ray")] == ["ok"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"on": "dask"}, "--on 'dask' is no kind of cluster"),
        ({"on": ""}, "--on '' is no kind of cluster"),
        ({"on": "Ray"}, "Valid: ray, slurm"),
        ({"address": "head:6379"}, "--address is given without --on"),
        ({"on": "slurm", "address": "head:6379"}, "--address is the address of a Ray cluster"),
    ],
)
def test_values_that_cannot_be(options: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        called(tmp_path, **options)
    assert says in str(raised.value)
    assert commanded(tmp_path, **options) == (2, str(raised.value))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("on", [3, ["ray"], True])
def test_a_value_that_is_no_text_is_refused(on: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no kind of cluster"):
        called(tmp_path, on=on)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("head", "'head' is not HOST:PORT"),
        ("", "'' is not HOST:PORT"),
        (6379, "'6379' is not HOST:PORT"),
        ("ray://head:10001", "is not HOST:PORT"),
        ("127.0.0.1:many", "is not HOST:PORT"),
        ("127.0.0.1:99999", "no cluster can be used there"),
    ],
)
def test_addresses_that_cannot_be(address: Any, says: str, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is missing: pip install -e '.[ray]'")
    with pytest.raises(UsageError) as raised:
        called(tmp_path, on="ray", address=address)
    assert says in str(raised.value)
    assert commanded(tmp_path, on="ray", address=address) == (2, str(raised.value))
    assert not list(tmp_path.iterdir())


def test_nothing_listens_at_the_address(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is missing: pip install -e '.[ray]'")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with pytest.raises(UsageError, match=f"--address 127.0.0.1:{port}: no cluster can be used there"):
        called(tmp_path, on="ray", address=f"127.0.0.1:{port}")


def test_an_address_in_the_environment_is_checked_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray itself would try for minutes."""
    pytest.importorskip("ray", reason="Ray is missing: pip install -e '.[ray]'")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:99999")
    with pytest.raises(UsageError, match=r"^RAY_ADDRESS 127\.0\.0\.1:99999: no cluster can be used there"):
        called(tmp_path, on="ray")


@pytest.mark.parametrize("variable", ["", "local"])
def test_without_an_address_no_cluster_on_this_machine_is_joined(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's own default is any cluster that it finds there."""
    ray = pytest.importorskip("ray", reason="Ray is missing: pip install -e '.[ray]'")

    def init(address: str, **_: object) -> None:
        raise RuntimeError(f"asked for {address}")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", variable)
    with pytest.raises(UsageError, match="Ray can't be started: asked for local"):
        called(tmp_path, on="ray")


@pytest.mark.parametrize("error", [ConnectionError, RuntimeError, ValueError])
def test_a_cluster_that_refuses_the_connection_is_named(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray raises these for no answer, another version of Python or Ray, and a token that is missing."""
    ray = pytest.importorskip("ray", reason="Ray is missing: pip install -e '.[ray]'")

    def init(*_: object, **__: object) -> None:
        raise error("Version mismatch: the cluster has Python 3.99")

    monkeypatch.setattr(ray, "init", init)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UsageError) as raised:
            called(tmp_path, on="ray", address=address)
    assert raised.value.message == (
        f"--address {address}: no cluster can be used there: Version mismatch: the cluster has Python 3.99"
    )
    assert "RAY_AUTH_MODE=token" in raised.value.hint


def test_no_slurm_here_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit", reason="submitit is missing: pip install -e '.[submitit]'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="--on slurm: `sinfo` does not answer"):
        called(tmp_path / "results", on="slurm")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("on", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_package_that_is_missing_is_named(
    on: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"xmcbench.cluster.{on}_engine", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # importing it fails
    with pytest.raises(UsageError, match=f"{package} is not installed"):
        called(tmp_path, on=on)


def test_a_process_that_is_connected_to_ray_keeps_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="Ray is missing: pip install -e '.[ray]'")
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("the user's connection was closed"))
    with pytest.raises(UsageError, match="connected to Ray already"):
        called(tmp_path, on="ray")


def test_a_thread_connects_without_setting_handlers_of_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="Ray is missing: pip install -e '.[ray]'")
    from xmcbench.cluster import ray_engine

    connections: list[str | None] = []
    monkeypatch.setattr(ray, "init", lambda address, **_: connections.append(address))
    errors: list[BaseException] = []

    def connect() -> None:
        try:
            ray_engine._connect(None)
        except BaseException as error:
            errors.append(error)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    assert (connections, errors) == (["local"], [])
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_run_without_a_cluster_loads_neither_ray_nor_submitit(tmp_path: Path) -> None:
    code = (
        "import sys, xmcbench as xb;"
        f"xb.run('popularity', dataset={SMALL!r}, results={str(tmp_path)!r}, progress=False);"
        "print(sorted({'ray', 'submitit'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
