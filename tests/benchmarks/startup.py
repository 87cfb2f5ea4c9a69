"""CPU seconds (user + system) of starting the program, compared with other programs.

python tests/benchmarks/startup.py [--json]

`ratio` is `pip --help` over `xmcbench --help`, in CPU seconds; the limits are those of the project.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys

RUNS = 9  # medians; the programs take turns, so that a busy moment hits all of them
# as a shell asks for names of data sets and imports
COMPLETE = """
import os, sys
os.environ |= {"_XMCBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "xmcbench info e", "COMP_CWORD": "2"}
sys.argv = ["xmcbench"]
from xmcbench.cli.main import main
main()
"""
COMMANDS = {
    "help": ["-m", "xmcbench", "--help"],
    "ls": ["-m", "xmcbench", "ls", "methods"],
    "complete": ["-c", COMPLETE],
    "other": ["-m", "pip", "--help"],
    "typer": ["-c", "import typer"],
    "python": ["-c", "pass"],
}
LIMITS = {"help_limit": 0.3, "ls_limit": 0.5, "complete_limit": 0.3}


def cpu_seconds(words: list[str]) -> float:
    """User and system time of one child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure() -> dict[str, float]:
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(RUNS + 1):
        for name, words in COMMANDS.items():
            seconds = cpu_seconds(words)
            if turn:  # the first turn fills the disk cache
                taken[name].append(seconds)
    medians = {f"{name}_cpu_seconds": statistics.median(values) for name, values in taken.items()}
    ratio = medians["other_cpu_seconds"] / medians["help_cpu_seconds"]
    return {**{key: round(value, 4) for key, value in medians.items()}, **LIMITS, "ratio": round(ratio, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    as_json = parser.parse_args().json
    seconds = measure()
    print(json.dumps(seconds) if as_json else "\n".join(f"{key:20} {value:.3f}" for key, value in seconds.items()))


if __name__ == "__main__":
    main()
