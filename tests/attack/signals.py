"""Sends signals at random times: an interrupted run is recorded as such, resumes, and gives the same result.

python tests/attack/signals.py [--signals 120] [--seconds 150] [--seed 0] [SCENE …]
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from pathlib import Path

from children import Ended, child
from leftovers import differences, leftovers, remove_failed, state
from points import serving, warm
from scenes import SCENES, Scene, copied, faults_shown, prepared

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP", signal.SIGKILL: "SIGKILL"}
AGAIN = 0.3  # share of signals that are sent twice, as by a user who presses Ctrl-C again
DEFAULT = ["run elias", "run ance", "run tree", "run ovr", "run tuned", "data import", "data fetch", "merge"]


def attack(name: str, scene: Scene, signals: int, deadline: float, dice: random.Random) -> tuple[int, list[str]]:
    """(signals sent, faults) of one command."""
    faults: list[str] = []
    with prepared(scene) as start, serving(start):
        folder = copied(start)
        began = time.monotonic()
        first = child(scene.act, folder)
        taken = time.monotonic() - began
        if first.code:
            return 0, [f"fails undisturbed: {first.said[-800:]}"]
        expected, done = state(folder), 0
        while done < signals and time.monotonic() < deadline:
            sent = dice.choice(SIGNALS)
            at = dice.uniform(0.005, taken)
            send = [(at, sent)] + [(at + dice.uniform(0, 0.05), sent)] * (dice.random() < AGAIN)
            folder = copied(start)
            struck = child(scene.act, folder, send=send)
            where = f"{NAMES[sent]}{' twice' * (len(send) > 1)} after {at:.3f} of {taken:.3f} s"
            faults += [f"{where}: {fault}" for fault in _faults(name, scene, sent, struck, folder, expected)]
            done += 1
    return done, faults


def _faults(
    name: str, scene: Scene, sent: signal.Signals, struck: Ended, folder: Path, expected: dict[str, str]
) -> list[str]:
    faults = []
    statuses = remove_failed(folder)
    if "Traceback" in struck.said:
        faults.append(struck.said[-500:])
    if "error" in statuses:
        faults.append("recorded as an error")
    begun = name.startswith("run") and "Plan" in struck.said  # before, nothing is done that could be recorded
    if begun and sent != signal.SIGKILL and struck.code < 0:
        faults.append(f"the signal ended the process ({struck.code})")
    if sent != signal.SIGKILL and struck.code > 0 and not _said_so(struck):
        faults.append(f"exit code {struck.code} without a word of the interruption: {struck.said[-300:]!r}")
    if name.startswith("run") and "interrupted ·" in struck.said and statuses != ["interrupted"]:
        faults.append(f"interrupted, but recorded: {statuses}")
    again = child(scene.act, folder)
    if again.code and not any(text in again.said for text in scene.done):
        faults.append(f"repeated: exit code {again.code}: {again.said[-400:]}")
    faults += differences(expected, state(folder))[:1]
    return faults + [f"left over {one}" for one in leftovers(folder)][:1]


def _said_so(struck: Ended) -> bool:
    return any(word in struck.said for word in ("interrupted", "stopped by", "Aborted"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", default=DEFAULT)
    parser.add_argument("--signals", type=int, default=120, help="of all commands together")
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began, total, broken = time.monotonic(), 0, 0
    warm(asked.scenes)
    for position, name in enumerate(asked.scenes):
        start = time.monotonic()
        left = len(asked.scenes) - position
        deadline = start + (asked.seconds - (start - began)) / left
        dice = random.Random(f"{asked.seed} {name}")
        done, faults = attack(name, SCENES[name], -(-(asked.signals - total) // left), deadline, dice)
        total, broken = total + done, broken + len(faults)
        print(f"signals {name}: {done}, {time.monotonic() - start:.1f} s, {len(faults)} faults", flush=True)
        print(faults_shown(faults), end="", flush=True)
    print(f"signals: {total}, {time.monotonic() - began:.0f} s, {broken} faults (seed {asked.seed})")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
