"""A server of a small model, for tests that are its clients."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import xmcbench as xb

WORDS = ("phone", "<b>mail</b>", "slow", "cable")


def start(model: Path, port: str = "0") -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "xmcbench", "serve", str(model), "--port", port]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line + process.stderr.read()
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process, found[0]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("serve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        rows = [{"text": f"ticket {i} {w}", "labels": [w]} for i in range(20) for w in WORDS]
        (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        xb.import_data("tickets", folder / "t.jsonl")
        run = xb.run("tree", dataset="tickets", results=folder / "r", keep_models=True, progress=False)[0]
        yield folder / "r" / "models" / run.records[0].run_id


@pytest.fixture(scope="session")
def url(model: Path) -> Iterator[str]:
    process, url = start(model)
    yield url
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
