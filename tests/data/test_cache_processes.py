"""Two processes at once parse once; a killed one leaves nothing that the next one trips over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xmcbench.data.arrays import Unusable, open_folder

COMMON = """
import sys, time
from pathlib import Path
import numpy as np, scipy.sparse as sp
from xmcbench.data import array_files
from xmcbench.data import cache
from xmcbench.data.spec import Parsed
from xmcbench.data.spec import Split
eye = sp.eye(50, dtype=np.float32, format="csr")
def build():
    with open(sys.argv[2], "a") as log: log.write("parsed\\n")
    time.sleep(0.5)
    return Parsed(Split(eye, None, eye), Split(eye, None, eye))
"""
LOAD = COMMON + 'print(cache.open_or_build(Path(sys.argv[1]), "k", build).content_hash)\n'
STOP_HALF_WAY = (
    COMMON
    + """
real, done = array_files.flush, []
def flush(file):
    real(file)
    done.append(1)
    if len(done) == 4:
        print("half", flush=True)
        time.sleep(600)
array_files.flush = flush
cache.open_or_build(Path(sys.argv[1]), "k", build)
"""
)


def start(script: str, folder: Path, log: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, str(folder), str(log)], stdout=subprocess.PIPE, text=True)


def test_two_at_once_parse_once(tmp_path: Path) -> None:
    folder, log = tmp_path / "parsed" / "x" / "bow-k", tmp_path / "log"
    both = [start(LOAD, folder, log) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1] != ""
    assert log.read_text() == "parsed\n"


def test_killed_half_way(tmp_path: Path) -> None:
    folder, log = tmp_path / "parsed" / "x" / "bow-k", tmp_path / "log"
    child = start(STOP_HALF_WAY, folder, log)
    assert child.stdout is not None
    assert child.stdout.readline() == "half\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    left = [path for path in folder.parent.iterdir() if path.is_dir()]
    assert len(left) == 1
    assert left[0].name.startswith(".tmp-bow-k-")
    assert len(list(left[0].iterdir())) == 4
    with pytest.raises(Unusable, match=r"^$"):
        open_folder(folder, "k", lambda stored: stored)

    after = start(LOAD, folder, log)
    assert after.communicate(timeout=120)[0].startswith("sha256:")
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]
    assert log.read_text() == "parsed\nparsed\n"
