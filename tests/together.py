"""Several processes that work on one run, for tests: forked in a new interpreter, which has started no thread yet.

`python -m tests.together COUNT PORT ANSWER MODULE FUNCTION ARGUMENT…` calls `FUNCTION(ranks, ARGUMENT…)` of a module in
each; `ranks` is None if COUNT is 1. ANSWER is that of `xmcbench.processes`.
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def together(
    count: int, work: Callable[..., object], *arguments: object, seconds: float = 300, answer: float = 600
) -> list[int]:
    """The exit codes of `count` processes that call a function of a module; killed after `seconds`.

    One that joins no exchange of the others for `answer` seconds is lost.
    """
    module = work.__module__ if work.__module__ != "__main__" else sys.modules["__main__"].__spec__.name
    command = [sys.executable, "-m", "tests.together", str(count), str(free_port()), str(answer)]
    command += [module, work.__name__]
    done = subprocess.run([*command, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    sys.stderr.write(done.stderr)
    done.check_returncode()
    return [int(code) for code in done.stdout.split()[-count:]]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    count, port, answer, module, function, *arguments = sys.argv[1:]
    work: Callable[..., int | None] = getattr(importlib.import_module(module), function)
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_WORLD_SIZE": count}
    os.environ |= {**address, "WORLD_SIZE": count, "OMP_NUM_THREADS": "1"}
    children = []
    for rank in range(int(count)):
        child = os.fork()
        if child:
            children.append(child)
            continue
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        code = 1
        try:
            from xmcbench import processes

            processes.ANSWER = float(answer)
            ranks = processes.start("cpu")
            try:
                code = work(ranks, *arguments) or 0
            finally:
                if ranks is not None:
                    ranks.close()
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)
    print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main()
