"""Many processes import, read and clean one data set at once: each reads one version, none fails.

As a script, with a home folder of its own and any numbers:

    XMCBENCH_HOME=FOLDER python tests/data/test_home_processes.py WRITERS READERS CLEANERS ROUNDS
"""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from xmcbench.data import load
from xmcbench.data.home import home, reading
from xmcbench.data.imported import find_imported
from xmcbench.data.importing import Plan, import_files
from xmcbench.data.inventory import imported_states, removable, remove
from xmcbench.data.user_files import SplitFiles
from xmcbench.errors import DataError

ROWS = 40
Work = Callable[[int], str]  # number of the version or round → what happened


def write(version: int) -> str:
    """Import a data set in which every feature of training and test rows has the number of the version."""
    folder = home() / f"files of {os.getpid()}"
    folder.mkdir(exist_ok=True)
    sp.save_npz(folder / "X.npz", sp.csr_matrix(np.full((ROWS, 3), version, np.float32)))
    sp.save_npz(folder / "Y.npz", sp.csr_matrix(np.eye(ROWS, 4, dtype=np.float32) + np.eye(ROWS, 4, -4)))
    rows = SplitFiles(None, folder / "Y.npz", folder / "X.npz")
    try:
        import_files("mine", Plan(rows, rows), replace=True)
    except DataError as error:
        if "imported or removed by another process meanwhile" not in error.message:
            raise
        return "refused"
    return "stored"


def read(_: int) -> str:
    data = load("mine", offline=True)
    assert data.train.features is not None
    assert data.test.features is not None
    versions = {*data.train.features.data.tolist(), *data.test.features.data.tolist()}
    assert len(versions) == 1, f"versions mixed: {versions}"
    with reading("mine"):
        states = imported_states(find_imported("mine"), verify=True)
    assert all(state.ok for state in states), states
    assert data.train.features.sum() == ROWS * 3 * versions.pop()  # also if it was cleaned or replaced meanwhile
    return "read"


def clean(_: int) -> str:
    """What `xmcbench data clean --downloads --yes` does."""
    folders = [path for path, _ in removable(None, downloads=True)]
    return "kept" if not folders or remove(folders) else "removed"


def child(work: Work, numbers: range) -> int:
    """A process that works on every number and prints what happened; returns its id."""
    if process := os.fork():
        return process
    try:
        happened = collections.Counter(work(number) for number in numbers)
        os.write(1, (json.dumps(happened) + "\n").encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def stress(writers: int, readers: int, cleaners: int, rounds: int) -> int:
    """The number of processes that failed."""
    write(1)
    works: list[Work] = [*[write] * writers, *[read] * readers, *[clean] * cleaners]
    starts = range(2, 2 + rounds * len(works), rounds)
    children = [child(work, range(start, start + rounds)) for work, start in zip(works, starts, strict=True)]
    return sum(os.waitpid(process, 0)[1] != 0 for process in children)


def test_readers_see_one_version_while_others_import_and_clean(tmp_path: Path) -> None:
    environment = {**os.environ, "XMCBENCH_HOME": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "4", "4", "1", "4"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    happened: collections.Counter[str] = collections.Counter()
    for line in done.stdout.splitlines():
        happened.update(json.loads(line))
    assert happened["read"] == 16
    assert happened["stored"] >= 4
    assert happened["stored"] + happened["refused"] == 16
    assert {path.name for path in (tmp_path / "imported").iterdir()} == {"mine"}


if __name__ == "__main__":
    sys.exit(stress(*map(int, sys.argv[1:])))
