"""`xmcbench serve` with an xrlinear model of icd10cm: 50 requests a second from 16 clients, one short text each.

    python tests/benchmarks/serve.py [--json] [--requests 10000] [--rate 50] [--clients 16] [--model FOLDER]

Requests start at fixed times, whatever the answers, so that a slow answer delays no other's clock. Latencies are from
the planned start to the whole answer, in milliseconds. Then the server is killed and started again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

import xmcbench as xb


def start(model: Path) -> tuple[subprocess.Popen[str], str]:
    """A server on a free port, and its address."""
    command = [sys.executable, "-m", "xmcbench", "serve", str(model), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = re.search(r"http://\S+", process.stderr.readline())
    if found is None:
        sys.exit(process.stderr.read())
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process, found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    texts = xb.dataset("icd10cm").test.texts
    assert texts is not None
    with tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            run = xb.run("xrlinear", dataset="icd10cm", results=folder, keep_models=True)[0]
            options.model = Path(folder) / "models" / run.records[0].run_id
        process, url = start(options.model)
        clients = [httpx.Client(timeout=30) for _ in range(options.clients)]
        bodies = list(itertools.islice(itertools.cycle(texts), options.requests))
        begin = time.perf_counter() + 0.5

        def request(number: int) -> tuple[float, bool]:
            planned = begin + number / options.rate
            time.sleep(max(0.0, planned - time.perf_counter()))
            answer = clients[number % options.clients].post(f"{url}/predict", json={"text": bodies[number], "k": 5})
            ok = answer.status_code == 200 and len(answer.json()["rows"][0]["labels"]) == 5
            return 1000 * (time.perf_counter() - planned), ok

        with ThreadPoolExecutor(options.clients) as pool:
            answers = list(pool.map(request, range(options.requests)))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process, url = start(options.model)
        works_again = httpx.post(f"{url}/predict", json={"text": bodies[0]}, timeout=30).status_code == 200
        process.terminate()
        process.wait()
    milliseconds = np.array([taken for taken, _ in answers])
    found = {
        "name": "serve",
        "requests": options.requests,
        "rate": options.rate,
        "clients": options.clients,
        "errors": sum(not ok for _, ok in answers),
        "p50_ms": float(np.percentile(milliseconds, 50)),
        "p99_ms": float(np.percentile(milliseconds, 99)),
        "most_ms": float(milliseconds.max()),
        "works_after_kill": works_again,
    }
    print(json.dumps(found) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
