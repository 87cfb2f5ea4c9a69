"""Checkpoints: named sets of arrays that survive a killed process, and are loaded only by the fit that saved them."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.escaping import clean
from xmcbench.files import atomic, set_aside, sweep
from xmcbench.inputs import typed_json
from xmcbench.npz_files import add_array, member_array
from xmcbench.values import plain

META = "__meta__"  # the array of a checkpoint that holds its JSON


def rejected(path: Path, fault: str) -> str:
    """Set aside an unusable file or folder of an earlier attempt, with a warning; returns a remark for the record.

    Raises WriteError: the folder can't be written.
    """
    bad = set_aside(path)
    warnings.warn(f"{path}: {fault}; it is set aside as {bad.name}, and its work is done again", stacklevel=3)
    return f"{clean(path.name)} of an earlier attempt was set aside, and its work done again: {fault}"


class Checkpoints:
    """Named sets of arrays that survive a killed process. Each set is one npz file, written atomically.

    The comment of the zip file is a seal: a hash of the identity of the fit, the name of the checkpoint, and names,
    lengths and CRC-32 of its arrays. The zip file has these CRC-32 in any case, so that the seal costs no second pass
    over the arrays. A file that is damaged, or belongs elsewhere, is not loaded.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, object] = MappingProxyType({}),
        reject: Callable[[Path, str], object] = rejected,
    ) -> None:
        """`identity`: JSON of what the fit depends on. `reject` renames a rejected file and reports the reason."""
        self.folder, self.identity, self.reject = folder, identity, reject
        self._clean = False

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any] | None = None) -> None:
        """Save `arrays` and JSON-serialisable `meta` under `name`, replacing an older checkpoint of that name.

        Raises
        ------
        TypeError : an array holds Python objects, which would be pickled.
        XmcError : `meta` holds what JSON can't represent.
        WriteError : the folder can't be written, or the disk is full.
        """
        text = json.dumps(plain(dict(meta or {}), f"checkpoint {name!r}"))
        if not self._clean:  # the first save removes what a killed process left
            if os.path.lexists(self.folder) and not self.folder.is_dir():
                self.reject(self.folder, "not a folder")
            sweep(self.folder)
            self._clean = True
        with atomic(self.folder / f"{name}.npz") as file, zipfile.ZipFile(file, "w") as archive:
            for key, array in {**arrays, META: np.array(text)}.items():
                if np.asarray(array).dtype.hasobject:
                    raise TypeError(f"checkpoint {name!r}: array {key!r} holds Python objects; only numbers and texts")
                add_array(archive, key, np.asarray(array))
            archive.comment = self._seal(name, archive)

    def load(self, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """Return the (arrays, meta) last saved under `name`, or None; also None if the file is rejected.

        Large arrays are mapped copy-on-write: they take memory only where they are used, and stay as they are when the
        checkpoint is replaced or dropped.
        """
        path = self.folder / f"{name}.npz"
        if not os.path.lexists(path):
            return None
        try:
            arrays = self._read(name, path)
            meta = typed_json(str(arrays.pop(META)), dict[str, Any], META)
        except Exception as error:  # numpy and zipfile raise many types for damaged files
            fault = getattr(error, "strerror", None) or error  # without the path
            self.reject(path, f"not the checkpoint that this fit saved ({clean(fault)})")
            return None
        return arrays, meta

    def _read(self, name: str, path: Path) -> dict[str, NDArray[Any]]:
        if not path.is_file():
            raise ValueError("not a file")
        arrays = {}
        with zipfile.ZipFile(path) as archive:
            if archive.comment != self._seal(name, archive):
                raise ValueError("changed, or saved by another fit or another version")
            for info in archive.infolist():
                arrays[info.filename.removesuffix(".npy")] = member_array(archive, info)
        return arrays

    def _seal(self, name: str, archive: zipfile.ZipFile) -> bytes:
        members = [(info.filename, info.file_size, info.CRC) for info in archive.infolist()]
        text = json.dumps([dict(self.identity), name, members], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest().encode()

    def drop(self, name: str) -> None:
        """Delete the checkpoint `name` if it exists."""
        (self.folder / f"{name}.npz").unlink(missing_ok=True)
