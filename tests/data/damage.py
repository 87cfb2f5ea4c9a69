"""Damages folders of arrays."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from xmcbench import files
from xmcbench.data import arrays


def reseal(folder: Path, **facts: object) -> None:
    """Write hashes that match, as somebody who knows of them could."""
    meta = {**json.loads((folder / "meta.json").read_text()), **facts}
    del meta["check"]
    for name, file in meta["arrays"].items():
        content = (folder / f"{name}.npy").read_bytes()
        file.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    (folder / "meta.json").write_text(json.dumps({**meta, "check": arrays._checksum(meta)}))


def in_place(path: Path, content: bytes) -> None:
    """Change content, but neither size nor mtime nor inode."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files.stamp_of(path.stat())[:2] == files.stamp_of(before)[:2]


def flip(path: Path) -> None:
    """Change one bit: of the first number of an array, of the last byte of another file."""
    content = bytearray(path.read_bytes())
    content[128 if path.suffix == ".npy" and len(content) > 128 else -1] ^= 1
    in_place(path, bytes(content))


def change_sealed(path: Path, position: int, value: float) -> None:
    """Change one number or row of an array, and write hashes that match."""
    array = np.load(path)
    array[position] = value
    np.save(path, array)
    reseal(path.parent)
