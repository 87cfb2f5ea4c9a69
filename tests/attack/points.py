"""Kills commands, or fills their disk, at many of their changes on disk, repeats them, and compares the results.

python tests/attack/points.py [--fault kill|full|small] [--points 300] [--seconds 300] [--seed 0] [SCENE …]

kill: SIGKILL. full: no new file and no fsync succeeds from that change on. small: the disk is really full, at another
size for each point; this needs the right to mount one.

One line per scene; exit code 1 if anything was lost, is there twice, differs from an undisturbed command, or is left
over.
"""

from __future__ import annotations

import argparse
import http.server
import math
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from children import Ended, child
from faults import COUNT, FULL, KILL, Disk, NoMount, small_disk
from leftovers import differences, leftovers, remove_failed, state
from scenes import METHODS, SCENES, Scene, copied, faults_shown, prepared, quietly, run, spread

SMALL = "small"
TWICE = 0.25  # share of kills after which the repetition is killed too


def attack(scene: Scene, kind: str, points: int, deadline: float, dice: random.Random) -> tuple[int, int, list[str]]:
    """(points attacked, changes of an undisturbed command, a line for each point with a fault)."""
    with prepared(scene) as start, serving(start):
        folder = copied(start)
        first = child(scene.act, folder, Disk([folder], COUNT))
        if first.code:
            return 0, 0, [f"fails undisturbed: {first.said[-800:]}"]
        expected, faults, done = state(folder), [f"undisturbed: left over {n}" for n in leftovers(folder)], 0
        numbers = list(spread(len(first.log), points, dice))
        dice.shuffle(numbers)
        for number in numbers:
            if time.monotonic() > deadline:
                break
            folder = copied(start)
            struck = child(scene.act, folder, Disk([folder], kind, number))
            where = f"{number}, {_short(first.log[number - 1], folder)}"
            if struck.code == -signal.SIGKILL and dice.random() < TWICE:
                second = dice.randint(1, len(first.log))
                struck = child(scene.act, folder, Disk([folder], KILL, second))
                where += f", and the repetition at {second}"
            if found := _faults(scene, kind, struck, folder, expected):
                more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                faults.append(f"{where}: {found[0]}{more}")
            done += 1
        return done, len(first.log), faults


def attack_small(scene: Scene, points: int, deadline: float, dice: random.Random) -> tuple[int, int, list[str]]:
    """As `attack`, on disks whose sizes are spread from what the prepared folder needs to what the command needs."""
    with prepared(scene) as start, serving(start):
        disk = start.with_name("disk")
        disk.mkdir()
        with small_disk(disk) as resize:
            folder = copied(start, disk)
            before = _used(disk)
            first = child(scene.act, folder)
            most = max(_used(disk) - before, 1 << 16)
            expected, faults, done = state(folder), [], 0
            if first.code:
                return 0, 0, [f"fails undisturbed: {first.said[-800:]}"]
            for size in spread(most, points, dice):
                if time.monotonic() > deadline:
                    break
                resize(1 << 30)
                folder = copied(start, disk)
                resize(_used(disk) + size)
                struck = child(scene.act, folder)
                resize(1 << 30)
                if found := _faults(scene, SMALL, struck, folder, expected):
                    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
                    faults.append(f"{size} free bytes: {found[0]}{more}")
                done += 1
            return done, most, faults


def _used(disk: Path) -> int:
    facts = os.statvfs(disk)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize


def _faults(scene: Scene, kind: str, struck: Ended, folder: Path, expected: dict[str, str]) -> list[str]:
    """What is wrong after a strike: in how the command ended, in what a repetition makes, and in what is left over."""
    faults = []
    if kind == KILL and struck.code not in (-9, 0) and not any(text in struck.said for text in scene.done):
        faults.append(f"ended with {struck.code} before the kill: {struck.said[-300:]}")
    if kind != KILL:
        faults += _bad_end(struck)
    if scene.between is not None and kind == KILL:
        between = child(scene.between, folder)
        faults += [f"afterwards, {between.said[-300:]}"] if between.code or "Traceback" in between.said else []
    again = struck if struck.code == 0 else child(scene.act, folder)
    if again.code and not any(text in again.said for text in scene.done):
        faults.append(f"repeated: exit code {again.code}: {again.said[-400:]}")
    if "Traceback" in again.said:
        faults.append(f"repeated: {again.said[-400:]}")
    if kind != KILL:
        remove_failed(folder)
    parsed = "home/parsed/mine" if scene.between else "\0"  # the command in between parses the data that it reads
    faults += [line for line in differences(expected, state(folder)) if not line.startswith(parsed)]
    return faults + [f"left over {name}" for name in leftovers(folder)]


def _bad_end(struck: Ended) -> list[str]:
    """A command on a full disk ends with an exit code and a sentence that says so, or did not need the disk."""
    if "Traceback" in struck.said:
        return [f"on the full disk: {struck.said[-600:]}"]
    if struck.code < 0 or struck.code > 5:
        return [f"on the full disk: ended with {struck.code}: {struck.said[-300:]}"]
    says_so = any(text in struck.said for text in ("disk is full", "No space left", "can't write", "free disk"))
    return [] if struck.code == 0 or says_so else [f"doesn't say that the disk is full: {struck.said[-300:]}"]


def _short(what: str, folder: Path) -> str:
    return what.replace(f"{folder}/", "")


@contextmanager
def serving(folder: Path) -> Iterator[None]:
    """Serve the files of a folder on this machine; children find the address in ATTACK_URL."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    os.environ["ATTACK_URL"] = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _no_mount() -> str:
    with tempfile.TemporaryDirectory() as place:
        try:
            with small_disk(Path(place)):
                return ""
        except NoMount as error:
            return str(error)


def warm(names: list[str]) -> None:
    """Import what the scenes of these names need, and load their kernels, so that their children have both."""
    import xmcbench.board.build
    import xmcbench.records.merging  # noqa: F401

    methods = [METHODS[name.removeprefix("run ")] for name in names if name.removeprefix("run ") in METHODS]
    here, stdout = os.getcwd(), sys.stdout
    with tempfile.TemporaryDirectory() as place, open(os.devnull, "w") as quiet:
        sys.stdout = quiet
        os.chdir(place)
        os.environ["XMCBENCH_HOME"] = f"{place}/home"
        SCENES["data import"].prepare()
        quietly(SCENES["data import"].act)
        if any(not name.startswith("data") for name in names):
            quietly(lambda: run("popularity", *methods))
        os.chdir(here)
        sys.stdout = stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", default=list(SCENES))
    parser.add_argument("--fault", choices=(KILL, FULL, SMALL), default=KILL)
    parser.add_argument("--points", type=int, default=300, help="of all scenes together")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began, total, broken = time.monotonic(), 0, 0
    if asked.fault == SMALL and (why := _no_mount()):
        print(f"small: skipped, no disk can be mounted ({why})")
        return 0
    warm(asked.scenes)
    print(f"imports and kernels: {time.monotonic() - began:.1f} s", flush=True)
    for position, name in enumerate(asked.scenes):
        start = time.monotonic()
        scene = SCENES[name]
        share = scene.share / sum(SCENES[other].share for other in asked.scenes[position:])
        deadline = start + max(0.0, asked.seconds - (start - began)) * share
        points = math.ceil((asked.points - total) * share)
        dice = random.Random(f"{asked.seed} {name}")
        if asked.fault == SMALL:
            done, changes, faults = attack_small(scene, points, deadline, dice)
        else:
            done, changes, faults = attack(scene, asked.fault, points, deadline, dice)
        total, broken = total + done, broken + len(faults)
        seconds = time.monotonic() - start
        unit = "bytes" if asked.fault == SMALL else "points"
        taken = f"{done} of {changes} {unit}, {seconds:.1f} s"
        print(f"{asked.fault} {name}: {taken}, {len(faults)} with faults", flush=True)
        print(faults_shown(faults), end="", flush=True)
    print(f"{asked.fault}: {total} points, {time.monotonic() - began:.0f} s, {broken} with faults (seed {asked.seed})")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
