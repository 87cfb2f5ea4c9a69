"""What Ctrl-C, SIGTERM and SIGHUP (a closed terminal) do at each stage of the program."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME = 1.0  # seconds within which a second signal is the first one again: `timeout` sends SIGTERM twice
RESUME = "run the same command again: downloads and runs resume"


class Stopping:
    """Handles the signals that ask the program to stop.

    While a command works, the first signal raises KeyboardInterrupt or Terminated, so that the command can stop in
    order. A second signal, and any before or after the command, ends the process at once. Files are then still whole,
    since they get their names when they are complete.

    Attributes
    ----------
    working : a command works; set by the caller.
    number : the first signal, or None.
    """

    def __init__(self) -> None:
        self.working, self.process = False, os.getpid()
        self.number: int | None = None
        self.first_time = 0.0

    def install(self) -> None:
        """Handle the signals that are not ignored, as SIGHUP is under nohup and SIGINT in a shell's background job."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        sys.unraisablehook = self._unraisable

    def _handle(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self.process:  # a child that a library forked ends as any other process
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        first, now = self.number is None, time.monotonic()
        if first:
            self.number, self.first_time = number, now
        elif now - self.first_time < SAME:
            return
        if first and self.working:
            raise exception_of(number)
        line = f"{description(number)}; " + (RESUME if self.working else "nothing was lost")
        erase = b"\r\x1b[J" if os.isatty(2) else b""  # the line of progress, which begins at the cursor
        try:
            os.write(2, erase + f"{line}\n".encode())
        except OSError:
            pass  # the terminal is gone
        finally:
            os._exit(128 + number)

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python drops exceptions in some places, such as `__del__`; if it was that of a signal, send this again."""
        if self.number is None or not isinstance(unraisable.exc_value, KeyboardInterrupt):
            sys.__unraisablehook__(unraisable)
            return
        import threading

        number, self.number = self.number, None
        threading.Timer(0.01, signal.pthread_kill, [threading.main_thread().ident, number]).start()


def exception_of(number: int) -> KeyboardInterrupt:
    """What a signal raises in the command at work."""
    from xmcbench.errors import TerminalClosed, Terminated

    kinds = {signal.SIGTERM: Terminated, signal.SIGHUP: TerminalClosed}
    return kinds.get(signal.Signals(number), KeyboardInterrupt)()


def description(number: int) -> str:
    """How a line on the screen begins: "interrupted", "stopped by SIGTERM"."""
    return "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
