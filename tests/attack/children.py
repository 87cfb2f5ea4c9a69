"""Children of this process that do one thing each: quick to start, since they have its imports and kernels."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults import Disk

os.environ |= {
    "NUMBA_THREADING_LAYER": "workqueue",  # survives a fork
    "OMP_NUM_THREADS": "1",  # torch's and BLAS's pools of threads don't
    "NO_COLOR": "1",
    "COLUMNS": "200",
}
os.environ.pop("XMCBENCH_MIRROR", None)
Act = Callable[[], object]


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit code or minus a signal's number, what it printed, and the changes it made on disk."""

    code: int
    said: str
    log: list[str]


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FAILED = 70  # exit code of an act that raised something that commands never let out
Send = Sequence[tuple[float, int]]  # seconds after the start, and signals


def child(act: Act, folder: Path, disk: Disk | None = None, seconds: float = 120.0, send: Send = ()) -> Ended:
    """Do `act` in a fork of this process, in `folder`; TimeoutError if it takes more than `seconds`."""
    with tempfile.TemporaryDirectory(prefix="attack-said-") as place:
        said, log = Path(place, "said"), Path(place, "log")
        said.touch()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        process = os.fork()
        if process == 0:
            try:
                _in_child(act, folder, disk, said, log)
            finally:  # whatever a signal raised, a child never comes back from here
                os._exit(FAILED)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        code = _waited(process, seconds, said, list(send))
        lines = json.loads(log.read_text()) if log.is_file() else []
        return Ended(code, said.read_text(errors="replace"), lines)


def _in_child(act: Act, folder: Path, disk: Disk | None, said: Path, log: Path) -> None:
    code = FAILED
    try:
        for one in SIGNALS:  # as a shell's command in the foreground has them; the parent may have others
            signal.signal(one, signal.default_int_handler if one == signal.SIGINT else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.chdir(folder)
        os.environ["XMCBENCH_HOME"] = str(folder / "home")
        output = os.open(said, os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if disk is not None:
            disk.install()
        act()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException as error:
        from xmcbench.errors import XmcError

        if isinstance(error, XmcError):  # of an act that is no command; commands end in the same way
            print(f"error: {error}", file=sys.stderr)
            code = error.exit_code
        elif isinstance(error, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
            code = 130
        else:
            traceback.print_exc()
    finally:
        if disk is not None:
            log.write_text(json.dumps(disk.log))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _waited(process: int, seconds: float, said: Path, send: list[tuple[float, int]]) -> int:
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        while send and now >= send[0][0]:
            os.kill(process, send.pop(0)[1])
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(process, 9)
    os.waitpid(process, 0)
    raise TimeoutError(f"no end after {seconds:g} s: {said.read_text(errors='replace')[-500:]}")
