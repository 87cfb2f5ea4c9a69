"""Standard output and standard error that never raise, so that a lost line can't fail a run or damage a file.

A reader that closes a pipe, a full disk under a log or a closed terminal lose output, which is no error of the method
that prints it. Characters that the encoding of the output lacks are written as escapes.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

ASCII = "ascii_with_escapes"  # ASCII by another name: click writes UTF-8 to streams whose encoding is called ascii
NUMBERS = {"stdout": 1, "stderr": 2}


class _Buffer(io.BufferedWriter):
    """Bytes for a descriptor. After an error, which is kept in `error`, the descriptor is that of the null device."""

    def __init__(self, descriptor: int, name: str, null: int, *, unbuffered: bool) -> None:
        raw = io.FileIO(descriptor, "w", closefd=False)
        raw.name = name
        super().__init__(raw)
        self.descriptor, self.null, self.unbuffered = descriptor, null, unbuffered
        self.error: OSError | None = None

    def write(self, data: Buffer) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                rest = rest[getattr(error, "characters_written", 0) :]
                self._recover(error)
        if self.unbuffered:  # python -u
            self.flush()
        return size

    def flush(self) -> None:
        while True:
            try:
                return super().flush()
            except OSError as error:
                self._recover(error)

    def _recover(self, error: OSError) -> None:
        if isinstance(error, BlockingIOError):  # another process made the pipe non-blocking; wait until it takes more
            select.select([], [self.descriptor], [])
        else:
            self.error = self.error or error
            os.dup2(self.null, self.descriptor)  # takes what is buffered, what follows, and what child processes write

    def close(self) -> None:
        """Flush only: a method that closes the output must not silence the program."""
        self.flush()


class _Stream(io.TextIOWrapper):
    buffer: _Buffer

    def close(self) -> None:
        """Flush only, like `_Buffer`."""
        self.flush()


class Output:
    """The program's standard streams from `Output()` on: `sys.stdout` and `sys.stderr`, safe to write to.

    Closed descriptors 0, 1 and 2 become the null device, so that no data file gets one of these numbers and with it
    what is printed. Streams that other code has replaced, such as a test's, stay.
    """

    def __init__(self) -> None:
        for descriptor in (0, 1, 2):
            try:
                os.fstat(descriptor)
            except OSError:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number, this one
        if sys.stdin is None:
            sys.stdin = open(0, closefd=False)  # noqa: SIM115  # stays open as long as the program
        null = os.open(os.devnull, os.O_WRONLY)
        self.streams = [(descriptor, _replaced(name, descriptor, null)) for name, descriptor in NUMBERS.items()]

    def finish(self, code: int, *, own_status: bool) -> int:
        """Write what is buffered; the exit code of the program, for a command that ended with `code`.

        If output is lost, other than to a closed pipe, the other stream says so, and the exit code is not 0 unless the
        command has a status of its own: its results are in files.
        """
        for _, stream in self.streams:
            if stream is not None:
                stream.flush()
        for (descriptor, stream), (other, _) in zip(self.streams, reversed(self.streams), strict=True):
            error = None if stream is None else stream.buffer.error
            if error is None or error.errno == errno.EPIPE:
                continue
            if other == 2 or "--json" not in sys.argv:  # standard output then has JSON and nothing else
                repeat = "; the results are in files" if own_status else ", and repeat the command"
                hint = f"Free some space, or send it elsewhere{repeat}."
                name = {1: "standard output", 2: "standard error"}[descriptor]
                line = f"error: {name} could not be written ({error.strerror}), so a part of it is missing\n"
                with suppress(OSError):
                    os.write(other, f"{line}  {hint}\n".encode())
            code = code if own_status else code or 1
        return code


def is_lost() -> bool:
    """Whether what is printed gets lost: the reader closed the pipe, or the disk is full."""
    return getattr(getattr(sys.stdout, "buffer", None), "error", None) is not None


def _replaced(name: str, descriptor: int, null: int) -> _Stream | None:
    """Replace `sys.stdout` or `sys.stderr`; None, and nothing is changed, if it is not the original stream."""
    old = getattr(sys, name)
    if old is not getattr(sys, f"__{name}__"):
        return None
    encoding = "utf-8" if old is None else old.encoding
    if codecs.lookup(encoding).name == "ascii":
        codecs.register(_ascii)
        encoding = ASCII
    stream = _Stream(
        _Buffer(descriptor, f"<{name}>", null, unbuffered=old is not None and old.write_through),
        encoding,
        "backslashreplace",
        line_buffering=name == "stderr" or (old is not None and old.line_buffering),
        write_through=old is not None and old.write_through,
    )
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)
    return stream


def _ascii(name: str) -> codecs.CodecInfo | None:
    if name != ASCII:
        return None
    ascii_ = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii_.encode, ascii_.decode, incrementalencoder=ascii_.incrementalencoder,
        incrementaldecoder=ascii_.incrementaldecoder, name=ASCII,
    )  # fmt: skip
