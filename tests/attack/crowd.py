"""Many processes at once, in one results folder and in one home: one record per run, one version per read, no failure.

python tests/attack/crowd.py [--processes 8] [--rounds 200] [--seconds 200] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from children import child
from leftovers import leftovers, records_of
from points import warm
from scenes import TINY, command, faults_shown, quietly

BUSY = ("meanwhile", "in use", "another process")  # what a process may say that lost against another one
ROWS = 30
Task = Callable[[random.Random, float], list[str]]


def together(tasks: list[Task], folder: Path, seed: int, deadline: float) -> list[str]:
    """Do all tasks at the same time, each in a child with `folder` as current folder; returns their faults."""
    children = []
    for number, task in enumerate(tasks):
        report = folder.parent / f"report-{number}"
        process = os.fork()
        if process == 0:
            _in_child(task, folder, random.Random(f"{seed} {number}"), deadline, report)
        children.append((process, report))
    faults = []
    for process, report in children:
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        faults += json.loads(report.read_text()) if report.is_file() else [f"a process ended with {code}"]
    return faults


def _in_child(task: Task, folder: Path, dice: random.Random, deadline: float, report: Path) -> None:
    try:
        os.chdir(folder)
        os.environ["XMCBENCH_HOME"] = str(folder / "home")
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        faults = task(dice, deadline)
    except BaseException:
        faults = [traceback.format_exc()[-1500:]]
    report.write_text(json.dumps(faults))
    os._exit(0)


def runs(processes: int, seed: int, deadline: float) -> tuple[int, list[str]]:
    """(runs, faults): processes with the same and with different plans in one folder, and merges and boards of it."""

    def plan(words: list[str], seeds: str) -> Task:
        def act(dice: random.Random, _: float) -> list[str]:
            dice.shuffle(words)
            options = ["--dataset", TINY, "--threads", "1", "--results", "results", "--seeds", seeds]
            return _ended_well(("run", *words, *options))

        return act

    def boards(_: random.Random, deadline: float) -> list[str]:
        faults: list[str] = []
        while not list(Path("results/records").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        for _ in range(3):
            faults += _ended_well(("merge", "results", "--into", "merged"))
            faults += _ended_well(("board", "build", "--folder", "merged"), ("no records in it",))
        return faults

    same = [plan(["tree", "ovr", "knn", "popularity"], "0,1") for _ in range(processes // 2)]
    different = [plan([f"tree[beam={5 + i % 2}]", "knn"], f"{i},{i + 1}") for i in range(processes - len(same))]
    with tempfile.TemporaryDirectory(prefix="attack-") as place:
        folder = Path(place, "crowd")
        folder.mkdir()
        faults = together([*same, *different, boards, boards], folder, seed, deadline)
        ended = child(lambda: command("merge", "results", "--into", "merged"), folder)
        built = child(lambda: command("board", "build", "--folder", "merged"), folder)
        faults += [one.said[-500:] for one in (ended, built) if one.code]
        records = records_of(folder / "results")
        counts = Counter(record["spec_hash"] for record in records)
        faults += [f"{count} records of one run" for count in counts.values() if count > 1]
        faults += [f"{r['method']['label']}: {r['status']}" for r in records if r["status"] != "ok"]
        if records != records_of(folder / "merged"):
            faults.append("the merged records differ from the results")
        return len(counts), faults + [f"left over {name}" for name in leftovers(folder)]


def _ended_well(words: tuple[str, ...], allowed: tuple[str, ...] = ()) -> list[str]:
    ended = child(lambda: command(*words), Path.cwd(), seconds=300.0)
    fine = ended.code == 0 or any(text in ended.said for text in allowed)
    return [] if fine and "Traceback" not in ended.said else [f"{' '.join(words)}: {ended.said[-500:]}"]


def home(processes: int, rounds: int, seed: int, deadline: float) -> tuple[int, list[str]]:
    """(rounds done, faults): writers that replace an import, readers that read it, and one that cleans the cache."""
    with tempfile.TemporaryDirectory(prefix="attack-") as place:
        folder = Path(place, "crowd")
        folder.mkdir()
        first = child(lambda: _write(0), folder)
        if first.code:
            return 0, [first.said[-500:]]
        done = [folder.parent / f"done-{number}" for number in range(2 * processes + 1)]

        def looped(act: Callable[[int], list[str]], number: int) -> Task:
            def loop(_: random.Random, deadline: float) -> list[str]:
                faults: list[str] = []
                for i in range(rounds):
                    if time.monotonic() > deadline:
                        break
                    faults += act(1 + number * rounds + i)
                    done[number].write_text(str(i + 1))
                return faults

            return loop

        acts = [_writes] * processes + [_reads] * processes + [_cleans]
        faults = together([looped(act, i) for i, act in enumerate(acts)], folder, seed, deadline)
        faults += child(lambda: _expect_whole(), folder).code * ["not whole in the end"]
        return min(int(path.read_text()) if path.is_file() else 0 for path in done), [
            *faults,
            *(f"left over {name}" for name in leftovers(folder)),
        ]


def _write(version: int) -> None:
    """Import rows whose texts and labels all have the number of their version."""
    from xmcbench.data.importing import Plan, import_files
    from xmcbench.data.user_files import SplitFiles

    with tempfile.TemporaryDirectory(prefix="attack-files-") as place:
        folder = Path(place)
        for which in ("train", "test"):
            (folder / f"{which}.txt").write_text("".join(f"v{version} w{i % 7}\n" for i in range(ROWS)))
            (folder / f"{which}.lab").write_text("".join(f"v{version}l{i % 5}\n" for i in range(ROWS)))
        train, test = (SplitFiles(folder / f"{which}.txt", folder / f"{which}.lab") for which in ("train", "test"))
        import_files("mine", Plan(train, test), replace=True)


def _writes(version: int) -> list[str]:
    from xmcbench.errors import XmcError

    try:
        _write(version)
    except XmcError as error:
        return [] if any(text in str(error) for text in BUSY) else [f"a writer: {error}"]
    return []


def _reads(_: int) -> list[str]:
    from xmcbench.data import load
    from xmcbench.errors import XmcError

    try:
        data = load("mine")
        texts = [*(data.train.texts or ()), *(data.test.texts or ())]
        versions = {text.split()[0] for text in texts} | {text.partition("l")[0] for text in data.label_texts or ()}
    except XmcError as error:
        return [f"a reader: {error}"]
    whole = len(versions) == 1 and len(texts) == 2 * ROWS and data.test.labels.nnz == ROWS
    return [] if whole else [f"a reader: versions {sorted(versions)} at once"]


def _expect_whole() -> None:
    if faults := _reads(0):
        raise RuntimeError(faults[0])


def _cleans(_: int) -> list[str]:
    from xmcbench.errors import XmcError

    try:
        quietly(lambda: command("data", "clean", "--yes"))
    except RuntimeError as error:
        return [f"clean: {error}"]
    except XmcError as error:
        return [] if any(text in str(error) for text in BUSY) else [f"clean: {error}"]
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.monotonic()
    warm(["run tree", "run ovr"])
    n_runs, faults = runs(asked.processes, asked.seed, began + asked.seconds / 2)
    print(faults_shown(faults), end="")
    print(
        f"crowd: {n_runs} runs of {asked.processes} processes, merges and boards next to them, "
        f"{time.monotonic() - began:.0f} s, {len(faults)} faults",
        flush=True,
    )
    start = time.monotonic()
    done, more = home(asked.processes, asked.rounds, asked.seed, began + asked.seconds)
    print(faults_shown(more), end="")
    print(
        f"crowd: {asked.processes} writers, {asked.processes} readers and clean, {done} of {asked.rounds} rounds, "
        f"{time.monotonic() - start:.0f} s, {len(more)} faults (seed {asked.seed})"
    )
    return 1 if faults or more else 0


if __name__ == "__main__":
    sys.exit(main())
