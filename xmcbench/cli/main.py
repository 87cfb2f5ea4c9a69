"""The program from start to end: what is set up before any command, and what becomes of every error.

Modules that take time to import are imported inside functions, since Ctrl-C can be handled only after `install`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings

from xmcbench.cli.output import Output
from xmcbench.cli.stopping import RESUME, Stopping, description

THREADS_SECONDS = 10.0  # that threads have to end after a command
# commands whose results are in files, so that lost output is no failure
WRITING = {
    "run",
    "merge",
    "board",
    "new",
    "peers",
    "data import",
    "data fetch",
    "data export",
    "data clean",
    "data remove",
}
INTERRUPTED = 128 + signal.SIGINT  # the convention of shells, which typer follows


def main() -> None:
    """Entry point of the console script and of `python -m xmcbench`.

    Waiting OpenMP threads sleep unless the user sets OMP_WAIT_POLICY. By default they spin on a core that other thread
    pools (torch, numba) or programs need, which slows down a busy machine many times.
    """
    stopping = Stopping()
    stopping.install()
    output = Output()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # set before an OpenMP library is loaded, which reads it
    code = exit_code_of_command(stopping)
    has_results = "--json" not in sys.argv and not WRITING.isdisjoint((*sys.argv[1:2], " ".join(sys.argv[1:3])))
    code = output.finish(code, own_status=has_results)
    _end_despite_threads(code)
    sys.exit(code)


def exit_code_of_command(stopping: Stopping) -> int:
    """Run the command in `sys.argv`; every error becomes a message on standard error and an exit code."""
    from xmcbench import processes

    try:
        code = _exit_code(stopping)
        processes.tell(code)
        return code
    except KeyboardInterrupt:  # while a message was printed
        return _stopped(stopping)
    finally:
        stopping.working = False


def _exit_code(stopping: Stopping) -> int:
    try:
        from xmcbench import processes
        from xmcbench.cli.app import app

        if sys.argv[1:2] == ["run"]:  # the one command that several processes share
            processes.silence()
        warnings.showwarning = _show_warning
        stopping.working = True
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            return _interrupted(end, stopping)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except KeyboardInterrupt as stop:
        return _interrupted(stop, stopping)
    except BaseException as error:
        if stopping.number is not None and isinstance(error, ImportError | SystemError):
            return _stopped(stopping)  # what libraries in C make of a KeyboardInterrupt while they are imported
        return _failed(error)
    return 0


def _end_despite_threads(code: int) -> None:
    """End the process in `THREADS_SECONDS` if a method left threads running, for which Python would wait forever."""
    if all(thread.daemon or thread is threading.current_thread() for thread in threading.enumerate()):
        return
    timer = threading.Timer(THREADS_SECONDS, os._exit, [code])
    timer.daemon = True
    timer.start()


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """In place of Python's form, which has the file and line of the code."""
    from xmcbench.escaping import clean_lines

    print(f"warning: {clean_lines(message)}", file=sys.stderr)


def _interrupted(error: BaseException, stopping: Stopping) -> int:
    """The exit code after a signal, or after a process of several was lost, which is said.

    typer makes SystemExit of a KeyboardInterrupt, which is then its context.
    """
    from xmcbench.errors import ProcessLost
    from xmcbench.escaping import clean_lines

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ProcessLost):
        cause = cause.__context__
    if cause is None:
        return _stopped(stopping)
    print(f"error: {clean_lines(cause)}", file=sys.stderr)
    return 1


def _stopped(stopping: Stopping) -> int:
    number = stopping.number or signal.SIGINT
    resume = "" if sys.argv[1:2] == ["serve"] else f"; {RESUME}"  # a server has nothing to resume
    print(f"{description(number)}{resume}", file=sys.stderr)
    return 128 + number


def _failed(error: BaseException) -> int:
    """Print the error; 1 or the exit code of an XmcError."""
    from xmcbench.cli.faults import as_error
    from xmcbench.errors import XmcError
    from xmcbench.escaping import clean_lines

    known = error if isinstance(error, XmcError) else as_error(error)
    print(f"error: {clean_lines(known)}", file=sys.stderr)
    return known.exit_code
