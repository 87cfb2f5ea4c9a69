"""`xmcbench run` as a user meets it: output, exit codes, stops and resumes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SMALL = ["--dataset", "synthetic[labels=60,rows=300,test=60]", "--threads", "1"]

SLOW = '''
import time
from dataclasses import dataclass
import numpy as np
from xmcbench import Inputs, MethodInfo, RunContext, TopK, TrainData, param

class Slow:
    """Counts labels in twenty steps of a tenth of a second, with a checkpoint after each."""

    info = MethodInfo("slow", "for tests", "floor", "1", deterministic=True)

    def __init__(self, params):
        pass

    @classmethod
    def skip(cls, data, machine):
        return None

    def fit(self, train, ctx):
        found = ctx.checkpoints.load("step")
        first = found[1]["step"] if found else 0
        ctx.note("first", first)
        for step in range(first, 20):
            time.sleep(0.1)
            ctx.checkpoints.save("step", {}, {"step": step + 1})
            ctx.progress(step, 20)
        self.counts = np.asarray(train.labels.sum(axis=0)).ravel()

    def predict(self, inputs, k, ctx):
        ids = np.tile(np.arange(inputs.n_labels), (inputs.n_rows, 1))
        return TopK.from_arrays(ids, np.tile(self.counts, (inputs.n_rows, 1)), k)

    def save(self, folder):
        np.savez(folder / "model.npz", counts=self.counts)

    def load(self, folder):
        self.counts = np.load(folder / "model.npz")["counts"]

@dataclass(frozen=True)
class Steps:
    first: int = param(0, "the label put first", "ours: a test", tune=(0, 1, 2))

class Choice(Slow):
    info = MethodInfo("choice", "for tests", "floor", "1", parameters=Steps)

    def __init__(self, params):
        self.params = params

    def predict(self, inputs, k, ctx):
        self.counts = self.counts.astype(np.float32)
        self.counts[self.params.first] = 1e6
        return super().predict(inputs, k, ctx)

class Broken(Slow):
    info = MethodInfo("broken", "for tests", "floor", "1", deterministic=True)

    def fit(self, train, ctx):
        raise ValueError("[red]no[/red]\\x1b[31m")
'''


def command(*words: str, cwd: Path) -> list[str]:
    (cwd / "slow.py").write_text(SLOW)
    return [sys.executable, "-m", "xmcbench", "run", *words, *SMALL, "--results", "out"]


def run(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(command(*words, cwd=cwd), cwd=cwd, env=env, capture_output=True, text=True, timeout=180)


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(p.read_text()) for p in sorted((folder / "out" / "records").glob("*.json"))]


def test_json_is_all_there_is_on_standard_output(tmp_path: Path) -> None:
    done = run("popularity", "tree", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["method"]["name"] for r in lines] == ["popularity", "tree"]
    assert {r["status"] for r in lines} == {"ok"}
    assert {"name", "value"} <= set(lines[0]["metrics"][0])
    assert lines == sorted(records(tmp_path), key=lambda r: r["method"]["name"])
    values = [{m["name"]: m["value"] for m in r["metrics"]} for r in lines]
    assert values[1]["P@1"] > values[0]["P@1"], "the tree is above the floor"
    assert "Plan" in done.stderr
    assert not list((tmp_path / "out" / "work").glob("*/*")), "nothing is left over after success"
    again = run("popularity", "tree", "--json", cwd=tmp_path)
    assert again.stdout == done.stdout, "what is done is shown, not run again"
    assert "2 runs, 2 already done; records go to out" in again.stderr, "what is done enters no estimate"
    assert not [line for line in again.stderr.splitlines() if line.startswith("tree on")], "and shows no progress"
    more = run("popularity", "tree", "--json", "--seeds", "0,1", cwd=tmp_path)
    assert "3 runs, 2 already done, about " in more.stderr


@pytest.mark.parametrize("lines", [0, 1, 4, 7])
def test_runs_go_on_when_the_reader_of_their_output_stops(tmp_path: Path, lines: int) -> None:
    """As with `2>&1 | head`: a closed pipe is no error of the method that runs."""
    words, kinds = command("popularity", "tree", cwd=tmp_path), {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(words, cwd=tmp_path, env=environment, text=True, bufsize=1, **kinds)
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert [(r["method"]["name"], r["status"], r["reason"]) for r in records(tmp_path)] == [
        ("popularity", "ok", None),
        ("tree", "ok", None),
    ]


def test_a_table_with_the_floor_and_the_best_reachable(tmp_path: Path) -> None:
    done = run("tree", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"\?|--:--|estimate", done.stdout), "what is unknown is not shown"
    for word in ("Plan", "tree", "popularity", "best reachable", "P@1", "PSP@5", "R@100"):
        assert word in done.stdout, word


def test_a_failed_run_exits_with_one_and_its_reason_is_harmless_text(tmp_path: Path) -> None:
    done = run("--method", "slow.py:Broken", cwd=tmp_path)
    assert done.returncode == 1
    assert "[red]no[/red]" in done.stdout
    assert "\x1b" not in done.stdout
    assert {r["status"] for r in records(tmp_path)} == {"error", "ok"}


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, sign: signal.Signals) -> None:
    process = subprocess.Popen(
        command("--method", "slow.py:Slow", cwd=tmp_path),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    _wait_for(lambda: any(json_step(p) >= 3 for p in tmp_path.glob("out/work/*")), process)
    process.send_signal(sign)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == (-9 if sign == signal.SIGKILL else 1)
    if sign != signal.SIGKILL:
        assert "run the same command again" in said
        assert said.count("interrupted · slow on ") == 1
        (stopped,) = records(tmp_path)
        assert stopped["status"] == "interrupted"
        name = {signal.SIGINT: "Ctrl-C"}.get(sign, sign.name)
        assert stopped["reason"].startswith(f"stopped by {name}"), "who stopped the run is not guessed"
    done = run("--method", "slow.py:Slow", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[0])
    assert record["notes"]["first"] >= 3
    assert record["costs"]["attempts"] == 2


def test_a_tuned_run_is_told_and_known_again_and_an_untuned_one_is_another(tmp_path: Path) -> None:
    done = run("ovr", "ovr[tune]", "popularity[tune]", "tree[beam=10]", "--set", "tree.cost=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for said in (
        "tuning ovr[tune]: cost 0.3|1.0|3.0, 3 combinations; the best nDCG@5 on validation rows",
        "nothing to tune: popularity",
        "tuning 3 of 3: cost=3.0",
        "ovr[tune], seed 0: cost=",
        "the best nDCG@5 of 3 combinations on 15 validation rows: ",
    ):
        assert said in done.stdout, said
    tuned = next(r for r in records(tmp_path) if r["method"]["label"] == "ovr[tune]")
    assert tuned["selection"]["tried"] == 3
    assert not list((tmp_path / "out" / "work").glob("*/*"))
    words = ["ovr", "tree[beam=10,cost=1]", "--tune", "--json", "--seeds", "0,1"]
    again = run(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    found = [json.loads(line) for line in again.stdout.splitlines()]
    labels = [r["method"]["label"] for r in found]
    assert labels == ["ovr[tune]", "ovr[tune]", "tree", "tree", "popularity"]
    assert found[0] == tuned, "done before"
    assert "nothing to tune: tree, popularity" in again.stderr
    words = [sys.executable, "-m", "xmcbench", "compare", "ovr", "ovr[tune]", "--results", "out"]
    compared = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert "tuned: cost=" in compared.stdout, compared.stderr


def test_tuning_goes_on_after_a_kill(tmp_path: Path) -> None:
    words = ["--method", "slow.py:Choice", "--tune"]
    process = subprocess.Popen(
        command(*words, cwd=tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    _wait_for(lambda: any(json_step(p) >= 3 for p in tmp_path.glob("out/work/*/tune/fit-1")), process)
    process.kill()
    said = process.communicate(timeout=60)[0]
    assert "tuning 2 of 3: first=1" in said
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tuning 1 of 3" not in done.stdout
    assert "tuning 2 of 3: first=1" in done.stdout
    tuned = next(r for r in records(tmp_path) if r["method"]["label"] == "choice[tune]")
    scores = {t["parameters"]["first"]: t["score"] for t in tuned["selection"]["tuning"]["trials"]}
    assert sorted(scores) == [0, 1, 2]
    assert tuned["method"]["parameters"]["first"] == max(scores, key=lambda first: scores[first])


def json_step(folder: Path) -> int:
    """The step reached, from the checkpoint in the folder of a fit; 0 where there is none yet."""
    import numpy as np

    try:
        with np.load(folder / "method" / "checkpoints" / "step.npz") as file:
            return int(json.loads(str(file["__meta__"]))["step"])
    except (OSError, KeyError):
        return 0


def _wait_for(condition: Any, process: subprocess.Popen[str], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["treee"], 2, "Did you mean 'tree'"),
        (["tree", "--metrics", "PSPP@1"], 2, "PSP"),
        (["tree", "--seeds", "a"], 2, "--seeds 0,1,2"),
        (["tree", "--tune", "--curve"], 2, "a curve comes from one fit"),
        (["tree", "--device", "tpu"], 2, "Valid: auto, cpu, cuda"),
        (["tree", "--time-limit", "-3"], 2, "must be above 0 seconds"),
        (["tree", "--time-limit", "nan"], 2, "must be above 0 seconds"),
        (["tree", "--device", "cuda"], 0, "tree"),
        (["tree[mx_leaf=3]"], 2, "max_leaf"),
        (["tree", "--set", "ovr.cost=1"], 2, "'ovr' is not a method of this run\n  Its methods: tree, popularity."),
        ([], 2, "xmcbench ls methods"),
    ],
)
def test_usage_errors_say_what_would_be_right(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    if not words:
        words = ["--offline"]
    done = run(*words, cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_data_set_offers_the_nearest(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xmcbench", "run", "tree", "--dataset", "eurlex-4l"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "eurlex-4k" in done.stderr


def test_without_network_it_says_exactly_what_to_put_where(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "xmcbench", "run", "popularity", "--dataset", "eurlex-4k", "--offline"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 4
    for word in ("eurlex_train.txt", "eurlex_test.txt", os.environ["XMCBENCH_HOME"]):
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_saved_suite_runs_the_same_runs_and_takes_no_other_choices(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "xmcbench", "run"]

    def run_plain(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *more], cwd=tmp_path, capture_output=True, text=True, timeout=180)

    first = run(
        "ovr[cost=1|3]", "--seeds", "0,1", "--k", "9", "--metrics", "P@1", "--save-suite", "s.toml", cwd=tmp_path
    )
    assert first.returncode == 0, first.stderr
    assert 'methods = ["ovr[cost=1|3]", "popularity"]' in (tmp_path / "s.toml").read_text()
    hashes = [record["spec_hash"] for record in records(tmp_path)]
    again = run_plain("--suite", "s.toml", "--results", "out", "--threads", "1")
    assert f"{len(hashes)} runs, {len(hashes)} already done" in again.stdout, again.stdout + again.stderr
    fresh = run_plain("--suite", "s.toml", "--results", "new", "--threads", "1", "--json")
    lines = [json.loads(line) for line in fresh.stdout.splitlines()]
    assert sorted(line["spec_hash"] for line in lines) == sorted(hashes)
    assert {m["name"] for line in lines for m in line["metrics"]} == {"P@1"}
    refused = run_plain("tree", "--suite", "s.toml", "--seeds", "0", "--tune")
    assert refused.returncode == 2
    assert "methods, --seeds, --tune can't be given next to a suite" in refused.stderr
    own = run("--method", "slow.py:Slow", "--save-suite", "own.toml", cwd=tmp_path)
    assert own.returncode == 2, own.stderr
    assert not (tmp_path / "own.toml").exists()


def test_a_dry_run_shows_the_plan_with_memory_and_runs_nothing(tmp_path: Path) -> None:
    done = run("tree", "--method", "slow.py:Slow", "--dry-run", "--memory", "200M", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert re.search(r" \d{3} MiB$", lines["tree"]), done.stdout
    assert re.search(r"will be skipped: tree on synthetic.*, seed 0: it needs about \d+ MiB", done.stdout)
    assert re.search(r" \d{3} MiB$", lines["popularity"]), done.stdout
    assert "MiB" not in lines["slow"], "without an estimate, nothing is shown"
    assert re.search(r"memory: [\d.]+ GiB of [\d.]+ GiB are free, the limit is 200 MiB \(--memory\)", done.stdout)
    assert re.search(r"disk: [\d.]+ GiB are free for the results, a run writes up to [\d.]+ (K|M)iB\n", done.stdout)
    assert not records(tmp_path)


def test_what_does_not_fit_is_skipped_with_a_reason_and_the_others_run(tmp_path: Path) -> None:
    done = run("tree", "--memory", "300M", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {r["method"]["name"]: r["status"] for r in records(tmp_path)} == {"tree": "skipped", "popularity": "ok"}
    (skipped,) = [r for r in records(tmp_path) if r["status"] == "skipped"]
    assert re.fullmatch(
        r"needs about \d+ MiB of memory, and 300 MiB are the limit \(--memory\); no parameter lowers that enough: "
        "use fewer rows or labels, or a larger --memory",
        skipped["reason"],
    )
    assert skipped["limits"] == {"memory_bytes": 300 << 20, "time_seconds": None}
    assert not list(tmp_path.glob("results/work/*"))
    wrong = run("tree", "--memory", "many", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--memory 'many' is no size" in wrong.stderr
