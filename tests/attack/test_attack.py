"""Runs the attacks, each a script of its own in a new process: in full as `tox -e attack`, a few points of each always.

A failure shows the script's faults and its command with the seed, which repeats them.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ATTACKS = {  # each with its number of attacks, and its limit in seconds
    "kills": "points.py --fault kill --points 320 --seconds 300",
    "full disks": "points.py --fault full --points 60 --seconds 80",
    "small disks": "points.py --fault small --points 40 --seconds 60",
    "signals": "signals.py --signals 100 --seconds 120",
    "mutations": "mutations.py --files 2000 --seconds 45",
    "crowds": "crowd.py --processes 8 --rounds 200 --seconds 150",
    "threads": "threads.py --seconds 120",
}
SMOKE = {
    "kills": "points.py 'data import' --points 10",
    "full disks": "points.py 'data import' --fault full --points 10",
    "mutations": "mutations.py --files 120",
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the attacks count changes on disk by /proc")


def attack(command: str, seed: int) -> None:
    script, *words = shlex.split(command)
    path = Path(__file__).parent / script
    environment = {name: value for name, value in os.environ.items() if name != "XMCBENCH_HOME"}
    ended = subprocess.run(
        [sys.executable, path, *words, "--seed", str(seed)], env=environment, capture_output=True, text=True
    )
    print("\n" + ended.stdout.strip())
    assert ended.returncode == 0, (
        f"{ended.stdout}{ended.stderr[-2000:]}\npython {path} {shlex.join(words)} --seed {seed}"
    )


@pytest.mark.attack
@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, request: pytest.FixtureRequest) -> None:
    attack(ATTACKS[name], request.config.getoption("--seed", 0))


@pytest.mark.parametrize("name", SMOKE)
def test_a_few_points(name: str) -> None:
    attack(SMOKE[name], 0)
