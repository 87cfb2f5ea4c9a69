"""A Ray cluster of two nodes on this machine: nodes that die, differ, lack data or space; drivers that stop or meet."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster.slowly import CODE
from tests.conftest import Site

pytestmark = pytest.mark.ray
ROOT = Path(__file__).resolve().parents[2]
SMALL = "synthetic[labels=60,rows=300,test=60]"
SECONDS = 240  # that a command may take


class TwoNodes:
    """The nodes left and right with a core and a home folder each, and commands that run on them."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        self.site = Site(folder / "site")
        self.site.add("slowly", "slowly", CODE, {"slowly": "slowly:Slowly"})
        self.path = f"{ROOT}{os.pathsep}{self.site.folder}"
        self.cluster = Cluster()
        self.left = self.add("left")
        self.right = self.add("right")

    def add(self, name: str, **environment: str) -> Any:
        """Start a node; `environment` is that of its processes."""
        variables = {"PYTHONPATH": self.path, "XMCBENCH_HOME": str(self.folder / f"home of {name}"), **environment}
        options = {"num_cpus": 1, "memory": 5 << 30, "object_store_memory": 100 << 20, "include_dashboard": False}
        attempts = 5  # on a busy machine, a node takes longer to start than Ray waits
        while True:
            try:
                return self.cluster.add_node(node_name=name, env_vars=variables, **options)
            except Exception:
                attempts -= 1
                if not attempts:
                    raise

    def remove(self, node: Any) -> None:
        """Kill a node, as a power cut would."""
        self.cluster.remove_node(node, allow_graceful=False)

    def start(self, *words: str, results: str) -> subprocess.Popen[str]:
        """A command that is executed on the cluster, with its output in a pipe."""
        command = [sys.executable, "-m", "xmcbench", "run", *words, "--on", "ray", "--address", self.cluster.address]
        home = {"XMCBENCH_HOME": str(self.folder / "home of driver"), "PYTHONPATH": self.path}
        return subprocess.Popen(
            [*command, "--results", results],
            cwd=self.folder,
            env={**os.environ, **home, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, results: str) -> str:
        """The output of a command that must succeed."""
        process = self.start(*words, results=results)
        said = process.communicate(timeout=SECONDS)[0]
        assert process.returncode == 0, said
        return said

    def records(self, results: str) -> list[dict[str, Any]]:
        return [json.loads(p.read_text()) for p in sorted((self.folder / results / "records").glob("*.json"))]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    if find_spec("ray") is None:
        pytest.fail("Ray is missing: pip install -e '.[ray]'", pytrace=False)
    two = TwoNodes(tmp_path_factory.mktemp("ray"))
    yield two
    two.cluster.shutdown()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within a minute")


def lines_until(process: subprocess.Popen[str], pattern: str) -> str:
    """The output up to a line with the pattern."""
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"no line with {pattern!r}: {said}")


def test_runs_that_share_a_fit_stay_together_and_records_name_their_node(nodes: TwoNodes) -> None:
    words = ("slowly[first=0|1,steps=3]", "popularity", "--seeds", "0,1", "--dataset", SMALL, "--threads", "1")
    said = nodes.run(*words, results="together")
    records = nodes.records("together")
    assert len(records) == 5
    assert {r["status"] for r in records} == {"ok"}
    assert {r["environment"]["node"] for r in records} <= {"left", "right"}
    assert all(r["environment"]["machine_class"]["costs"] for r in records)
    assert all("xmcbench run" in r["command"] and "--on ray" in r["command"] for r in records)
    by_seed = {r["seed"]: r["environment"]["node"] for r in records if r["method"]["name"] == "slowly"}
    assert len(by_seed) == 2
    for record in records:
        if record["method"]["name"] == "slowly":
            assert record["environment"]["node"] == by_seed[record["seed"]], "siblings of a fit stay on its node"
    assert "started on " in said
    assert "5 already done" in nodes.run(*words, results="together"), "what is done is not done again"
    assert len(nodes.records("together")) == 5


def test_scores_are_those_of_a_run_without_a_cluster(nodes: TwoNodes) -> None:
    words = ("slowly[steps=1]", "--dataset", SMALL, "--threads", "1")
    nodes.run(*words, results="far")
    command = [sys.executable, "-m", "xmcbench", "run", *words, "--results", "near"]
    home = {"XMCBENCH_HOME": str(nodes.folder / "home of driver"), "PYTHONPATH": nodes.path}
    subprocess.run(command, cwd=nodes.folder, env={**os.environ, **home}, check=True, timeout=SECONDS)
    far, near = ({r["spec_hash"]: r["metrics"] for r in nodes.records(name)} for name in ("far", "near"))
    assert far == near


def test_a_node_that_leaves_and_returns_loses_nothing_and_gets_tasks(nodes: TwoNodes) -> None:
    words = ("slowly[steps=100]", "--seeds", "0,1,2,3,4", "--dataset", SMALL, "--threads", "1")
    process = nodes.start(*words, results="returned")
    said = lines_until(process, "started on right: slowly")
    time.sleep(2)
    nodes.remove(nodes.right)
    nodes.right = nodes.add("right")
    said += process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, said
    assert "lost on right: the node died, or can't be reached; it is started again" in " ".join(said.split())
    assert "(raylet)" not in said, "no lines of Ray's own"
    assert "node right left the cluster" in said
    assert "started again on " in said
    assert re.search(r"node right joined the cluster(.|\n)*started (again )?on right: slowly", said), said
    records = nodes.records("returned")
    assert sorted((r["method"]["name"], r["seed"], r["status"]) for r in records) == [
        ("popularity", 0, "ok"),
        *(("slowly", seed, "ok") for seed in range(5)),
    ]
    assert not list((nodes.folder / "returned" / "work").glob("*")), "nothing is half-written"


def test_a_killed_process_of_a_node_loses_nothing(nodes: TwoNodes) -> None:
    process = nodes.start("slowly[steps=60]", "--dataset", SMALL, "--threads", "1", results="killed")
    said = lines_until(process, "started on .*: slowly")
    wait_for(lambda: "popularity" in [r["method"]["name"] for r in nodes.records("killed")])
    workers = [one for one in psutil.Process().children(recursive=True) if one.name().startswith("ray::_work")]
    assert len(workers) == 1, "the one that executes the run"
    workers[0].kill()
    said += process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, said
    assert re.search("lost on (left|right): its process was killed; it is started again", said), said
    assert re.search("started again on (left|right): slowly", said), said
    assert sorted(r["method"]["name"] for r in nodes.records("killed")) == ["popularity", "slowly"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_nodes_and_the_same_command_continues(nodes: TwoNodes, number: signal.Signals) -> None:
    results, name = f"stopped by {number.name}", "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    words = ("slowly[steps=80]", "--seeds", "0,1", "--dataset", SMALL, "--threads", "1")
    process = nodes.start(*words, results=results)
    said = lines_until(process, "started on .*: slowly.* seed 1")
    wait_for(lambda: len(list(nodes.folder.glob("home of */cluster/*/work/*/method/checkpoints/*"))) >= 2)
    process.send_signal(number)
    said += process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 1, said
    assert f"stopped by {name}" in said
    assert "run the same command again: it resumes from here" in said
    assert not [r for r in nodes.records(results) if r["method"]["name"] == "slowly"]
    wait_for(lambda: not working(nodes))
    nodes.run(*words, results=results)
    records = [r for r in nodes.records(results) if r["method"]["name"] == "slowly"]
    assert [r["status"] for r in records] == ["ok", "ok"]
    assert not list(nodes.folder.glob("home of */cluster/*/records/*")), "nodes keep nothing of what is done"


def working(nodes: TwoNodes) -> bool:
    """Whether a checkpoint changes within a second."""
    found = nodes.folder.glob("home of */cluster/*/work/*/method/checkpoints/*")
    before = {path: path.stat().st_mtime_ns for path in found}
    time.sleep(1)
    return any(not path.exists() or path.stat().st_mtime_ns != stamp for path, stamp in before.items())


def test_two_drivers_on_one_results_folder_make_each_run_once(nodes: TwoNodes) -> None:
    words = ("slowly[steps=10]", "--seeds", "0,1", "--dataset", SMALL, "--threads", "1")
    both = [nodes.start(*words, results="both") for _ in range(2)]
    said = [process.communicate(timeout=SECONDS)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(said)
    records = nodes.records("both")
    assert sorted((r["method"]["name"], r["seed"]) for r in records) == [
        ("popularity", 0),
        ("slowly", 0),
        ("slowly", 1),
    ]
    assert all(text.count("slowly") >= 2 for text in said), "each shows all results"


def test_an_import_travels_to_the_nodes_and_another_of_its_name_is_refused(nodes: TwoNodes) -> None:
    table = "text,labels\n" + "".join(f"ticket {i} {word},{word}\n" for i in range(20) for word in ("phone", "mail"))
    (nodes.folder / "mine.csv").write_text(table)
    (nodes.folder / "other.csv").write_text(table.replace("ticket", "letter"))
    for home, file in (("driver", "mine.csv"), ("right", "other.csv")):
        environment = {**os.environ, "XMCBENCH_HOME": str(nodes.folder / f"home of {home}"), "PYTHONPATH": nodes.path}
        command = [sys.executable, "-m", "xmcbench", "data", "import", "--name", "mine", "--texts", file]
        subprocess.run(command, cwd=nodes.folder, env=environment, check=True, timeout=SECONDS)
    words = ("slowly[steps=10]", "--seeds", "0,1,2", "--dataset", "mine", "--threads", "1")
    said = nodes.run(*words, results="import")
    assert {r["environment"]["node"] for r in nodes.records("import")} == {"left"}
    assert len(nodes.records("import")) == 4
    assert "node right can't execute a run: data set mine has another content here" in said


def test_a_node_with_another_version_is_refused_by_name(nodes: TwoNodes, tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.add("slowly", "slowly", CODE, {"slowly": "slowly:Slowly"})
    metadata = site.folder / "slowly-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 2.0"))
    other = nodes.add("other", PYTHONPATH=f"{ROOT}{os.pathsep}{site.folder}")
    try:
        words = ("slowly[steps=20]", "--seeds", "0,1,2,3", "--dataset", SMALL, "--threads", "1")
        said = nodes.run(*words, results="versions")
    finally:
        nodes.remove(other)
    assert "node other can't execute a run: its code differs" in said
    assert "method slowly is slowly 2.0 here and slowly 1.0 there" in said
    records = nodes.records("versions")
    assert len(records) == 5
    assert {r["environment"]["node"] for r in records if r["method"]["name"] == "slowly"} <= {"left", "right"}


def test_a_node_with_a_full_disk_is_refused_by_name(nodes: TwoNodes, tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a disk that is small enough")
    full = nodes.add("full", XMCBENCH_HOME=str(tmp_path / "home"))
    try:
        words = ("slowly[steps=20]", "--seeds", "0,1,2,3", "--dataset", SMALL, "--threads", "1")
        said = nodes.run(*words, results="space")
    finally:
        nodes.remove(full)
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
    assert "node full can't execute a run" in said
    assert "the disk is full" in said
    assert len(nodes.records("space")) == 5
    assert {r["status"] for r in nodes.records("space")} == {"ok"}


def test_what_no_node_has_is_refused_with_what_they_have(nodes: TwoNodes) -> None:
    words = ("popularity", "--dataset", SMALL, "--threads", "8", "--memory", "3G")
    process = nodes.start(*words, results="large")
    said = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 1
    assert re.search(r"a run requests 8 cores and [23]\.\d GiB; the largest, \w+, has 1 core and 5\.0 GiB", said), said
    words = ("popularity", "--dataset", SMALL, "--threads", "1", "--memory", "900G")  # more than this machine has
    process = nodes.start(*words, results="large")
    said = " ".join(process.communicate(timeout=SECONDS)[0].split())
    assert process.returncode == 1
    assert "memory: each run requests 900.0 GiB of its node (--memory)" in said
    assert "Give at most that: --memory. Add a node with more memory." in said


def test_no_cluster_at_the_address(nodes: TwoNodes) -> None:
    command = [sys.executable, "-m", "xmcbench", "run", "popularity", "--dataset", SMALL, "--on", "ray"]
    environment = {**os.environ, "PYTHONPATH": nodes.path}
    done = subprocess.run(
        [*command, "--address", "127.0.0.1:1"],
        cwd=nodes.folder, env=environment, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "--address 127.0.0.1:1: no cluster can be used there" in done.stderr
    assert "Traceback" not in done.stderr
