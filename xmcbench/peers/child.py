"""A persistent child process that answers messages: started once, watched while it works, gone when its owner is."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xmcbench.errors import XmcError
from xmcbench.peers.pecos_worker import Garbled, Message, receive, send

PATIENCE = 0.2  # seconds between two looks at the deadline while the child works
SAID = 2000  # characters of its last words in an error


class Child:
    """One process. Any error, Ctrl-C and time limits among them, ends it: what it was doing has no one to go to."""

    def __init__(self, name: str, command: Sequence[str | Path]) -> None:
        """Start `command`. It is in a session of its own, so that Ctrl-C in a terminal comes to us alone.

        Raises
        ------
        XmcError : it can't be started.
        """
        self.name = name
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  its standard error; closed with the process
        try:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                start_new_session=True,
            )
        except OSError as error:
            self._words.close()
            raise XmcError(f"{name}: its process can't be started ({error})", _again(name)) from error
        self._end = weakref.finalize(self, _end, self._process, self._words)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End the process, if it still runs."""
        self._end()

    def ask(self, header: dict[str, Any], arrays: dict[str, Any], tick: Callable[[], None]) -> Message:
        """The answer to one message; `tick` is called every now and then while it is awaited, and may raise.

        Raises
        ------
        XmcError : the other side reports an error, has died, or answers nonsense.
        """
        if not self._end.alive:
            raise XmcError(f"{self.name}: its process has ended", "Start over with a new instance.")
        try:
            assert self._process.stdin is not None
            send(self._process.stdin, header, arrays)
            answer = receive(lambda size: self._read(size, tick))
        except (BrokenPipeError, Garbled) as error:
            raise self._gone(error) from error
        except BaseException:
            self.close()
            raise
        if answer is None:
            raise self._gone(None)
        if "error" in answer[0]:
            raise XmcError(f"{self.name}: {answer[0]['error']}", str(answer[0].get("traceback", "")))
        return answer

    def _read(self, size: int, tick: Callable[[], None]) -> bytes:
        """`size` bytes, or what there is before the end."""
        assert self._process.stdout is not None
        number, found, have = self._process.stdout.fileno(), [], 0
        while have < size:
            if not select.select([number], [], [], PATIENCE)[0]:
                tick()
                continue
            part = os.read(number, min(size - have, 1 << 20))
            if not part:
                break
            found.append(part)
            have += len(part)
        return b"".join(found)

    def _gone(self, cause: Exception | None) -> XmcError:
        """The error for a process that died or talks nonsense; it is ended."""
        try:
            code = self._process.wait(timeout=1.0)
            how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        except subprocess.TimeoutExpired:
            how = f"answers nonsense: {cause}"
        said = self._last_words()
        self.close()
        hint = "Signal 9 is often the system's answer to too little memory. " if how.endswith("signal 9") else ""
        return XmcError(f"{self.name}: its process {how}" + (f"\n{said}" if said else ""), hint + _again(self.name))

    def _last_words(self) -> str:
        self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, self._words.tell() - 4 * SAID))
        return self._words.read().decode(errors="replace").strip()[-SAID:]


def _again(name: str) -> str:
    return f"If it happens again: `xmcbench peers remove {name}`, then `xmcbench peers install {name}`."


def _end(process: subprocess.Popen[bytes], words: Any) -> None:
    """Kill, reap and close; nothing it holds is worth a farewell."""
    process.kill()
    deadline = time.monotonic() + 10.0
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    assert process.stdin is not None
    assert process.stdout is not None
    for stream in (process.stdin, process.stdout, words):
        with contextlib.suppress(OSError):  # what was still to be written has no reader
            stream.close()
