"""Files as input: only regular files are opened, and JSON and TOML are decoded with every fault as a DataError."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from xmcbench import limits
from xmcbench.errors import DataError, cannot_read

T = TypeVar("T")
KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # in JSON, an escape that may be half of a surrogate pair


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading bytes, without waiting.

    Raises
    ------
    OSError : as `open`.
    DataError : a pipe, a socket or a device, whose content may never end or never begin.
    """
    _check_regular(path, os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_regular(path, os.fstat(descriptor))  # it may have been replaced since
        return BufferedReader(open(descriptor, "rb", buffering=0))
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(path: Path, found: os.stat_result) -> None:
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG:
        what = KINDS.get(kind, "of another kind")
        raise DataError(
            f"{path}: {what}, not a regular file", "Files are read several times: write its content into a file."
        )


def read_file(path: Path, most: int = limits.SETTINGS) -> bytes:
    """The bytes of a regular file.

    Raises
    ------
    OSError : as `open`.
    DataError : it is no regular file, or has more than `most` bytes.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise DataError(f"{path}: {size:,} bytes, at most {most:,} are read", "Is it the right file?")
        return file.read()


def json_value(text: str | bytes, origin: str, hint: str = "", **hooks: Any) -> Any:
    """The value of a JSON text; `hooks` are those of `json.loads`.

    Raises
    ------
    DataError : `text` is not JSON, or holds what can't be stored: deep nesting, a number of thousands of digits, half
        of a surrogate pair. The message names `origin`, and line and column where they are known.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(text, **hooks)
        if HALF_PAIR.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise DataError(f"{origin}: half of a surrogate pair, \\u{half:04x}", hint) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{origin}: not JSON ({reason(error)})", hint) from error
    return value


def read_json(path: Path, hint: str = "", most: int = limits.SETTINGS) -> Any:
    """The value of a JSON file; DataError if it can't be read, or as from `read_file` and `json_value`."""
    try:
        return json_value(read_file(path, most), str(path), hint)
    except OSError as error:
        raise cannot_read(path, error) from error


def typed_json(text: str | bytes, form: type[T], origin: str, hint: str = "") -> T:
    """Decode JSON into `form`; errors are those of `typed` and of `json_value`."""
    return typed(json_value(text, origin, hint), form, origin, hint)


def typed(raw: object, form: type[T], origin: str, hint: str = "") -> T:
    """Decode what a JSON or TOML reader returned into `form`, for example a msgspec.Struct.

    DataError names `origin`, and the key and type of a value that is missing, unknown or of another type.
    """
    import msgspec  # slow to import, and list commands decode nothing

    try:
        return msgspec.convert(raw, form)
    except msgspec.ValidationError as error:
        raise DataError(f"{origin}: {fault(error)}", hint) from error
    except (ValueError, OverflowError, RecursionError) as error:  # such as a whole number beyond float64
        raise DataError(f"{origin}: {reason(error)}", hint) from error


def fault(error: Exception) -> str:
    """A msgspec.ValidationError as "place: what is expected there"."""
    message, _, place = str(error).replace("`", "").replace("$.", "").partition(" - at ")
    place = "" if place == "$" else place.removeprefix("$")
    return f"{place}: {message[0].lower()}{message[1:]}" if place else message[0].lower() + message[1:]


def toml_value(text: bytes, origin: str, hint: str = "") -> dict[str, Any]:
    """The tables of a TOML text; DataError, with line and column, if it is not TOML, or is nested too deeply."""
    import tomllib

    try:
        return tomllib.loads(text.decode())
    except (ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{origin}: not TOML ({reason(error)})", hint) from error


def reason(error: BaseException) -> str:
    """What was wrong in a file, in the words of its user rather than of a library."""
    text = str(error.args[0] if error.args and isinstance(error, SyntaxError) else error)
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if "integer string conversion" in text:
        return "a whole number of thousands of digits"
    if isinstance(error, MemoryError) and not text.startswith("it needs"):
        return "it needs more memory than is free"
    return text.replace("\n", " ")[:400] or type(error).__name__
