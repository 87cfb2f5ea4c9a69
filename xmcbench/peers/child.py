"""A persistent child process that answers messages; it ends with the object that owns it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xmcbench.errors import XmcError
from xmcbench.peers.pecos_worker import Arrays, Garbled, Message, receive, send

POLL_SECONDS = 0.2  # how often the deadline is checked while the child works
STDERR_CHARACTERS = 2000  # how much of the end of the child's standard error an error message shows


class Child:
    """One child process. Any error, including Ctrl-C and the time limit, ends it: nobody would read its answer."""

    def __init__(self, name: str, command: Sequence[str | Path]) -> None:
        """Start `command` in a new session, so that Ctrl-C in a terminal only reaches this process.

        XmcError if the process can't be started.
        """
        self.name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed when the process ends
        try:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._stderr.close()
            raise XmcError(f"{name}: its process can't be started ({error})", _reinstall_hint(name)) from error
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self._end = weakref.finalize(self, _end, self._process, self._stderr)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End the process if it still runs."""
        self._end()

    def ask(self, header: Mapping[str, object], arrays: Arrays, tick: Callable[[], None]) -> Message:
        """Send one message and return the answer; `tick` is called regularly while waiting, and may raise.

        XmcError if the child reports an error, has ended, or sends an invalid answer.
        """
        if not self._end.alive:
            raise XmcError(f"{self.name}: its process has ended", "Run the command again.")
        try:
            assert self._process.stdin is not None
            send(_Input(self._process.stdin.fileno(), tick), header, arrays)
            answer = receive(lambda size: self._read(size, tick))
        except (BrokenPipeError, Garbled) as error:
            raise self._end_with_error(error) from error
        except BaseException:
            self.close()
            raise
        if answer is None:
            raise self._end_with_error(None)
        if "error" in answer[0]:
            hint = f"For a report to the authors of {self.name}:\n{answer[0].get('traceback', '')}"
            raise XmcError(f"{self.name}: {answer[0]['error']}", hint)
        return answer

    def _read(self, size: int, tick: Callable[[], None]) -> bytes:
        """Read `size` bytes, or fewer at the end of the stream."""
        assert self._process.stdout is not None
        descriptor, chunks, received = self._process.stdout.fileno(), [], 0
        while received < size:
            if not select.select([descriptor], [], [], POLL_SECONDS)[0]:
                tick()
                continue
            chunk = os.read(descriptor, min(size - received, 1 << 20))
            if not chunk:
                break
            chunks.append(chunk)
            received += len(chunk)
        return b"".join(chunks)

    def _end_with_error(self, cause: Exception | None) -> XmcError:
        """End the process and return the error that says how it failed."""
        try:
            code = self._process.wait(timeout=1.0)
            how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        except subprocess.TimeoutExpired:
            how = "closed its output without an answer" if cause is None else f"sent an invalid answer: {cause}"
        output = self._stderr_tail()
        self.close()
        hint = "Signal 9 often means that the system ran out of memory. " if how.endswith("signal 9") else ""
        return XmcError(
            f"{self.name}: its process {how}" + (f"\n{output}" if output else ""), hint + _reinstall_hint(self.name)
        )

    def _stderr_tail(self) -> str:
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 4 * STDERR_CHARACTERS))
        return self._stderr.read().decode(errors="replace").strip()[-STDERR_CHARACTERS:]


class _Input:
    """The child's input for `send`; while the child reads nothing, `tick` is called, which may raise."""

    def __init__(self, descriptor: int, tick: Callable[[], None]) -> None:
        self.descriptor, self.tick = descriptor, tick

    def write(self, content: bytes | memoryview) -> None:
        left = memoryview(content)
        while left:
            if select.select([], [self.descriptor], [], POLL_SECONDS)[1]:
                left = left[os.write(self.descriptor, left[: 1 << 20]) :]
            else:
                self.tick()

    def flush(self) -> None:
        """Nothing is buffered."""


def _reinstall_hint(name: str) -> str:
    return f"If it happens again: `xmcbench peers remove {name}`, then `xmcbench peers install {name}`."


def _end(process: subprocess.Popen[bytes], stderr: Any) -> None:
    """Kill and reap the process, and close its streams."""
    process.kill()
    deadline = time.monotonic() + 10.0
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert process.stdin is not None
    assert process.stdout is not None
    for stream in (process.stdin, process.stdout, stderr):
        with contextlib.suppress(OSError):  # flushing unwritten data fails: the reader is gone
            stream.close()
