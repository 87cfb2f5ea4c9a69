"""Export a data set to files for other programs: PECOS, ELIAS, Omikuji, napkinXC, or a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench.data.folders import NAMES, write_folder
from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.files import cannot_write

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset

FORMATS = ("npz", "xmc")


def export(data: Dataset, to: Path, *, matrices: str = "npz", replace: bool = False) -> list[Path]:
    """Write `data` into folder `to` in the layout of `xmcbench.data.folders`; returns the files written.

    Line ends within a text become spaces, since these layouts hold one text per line. With `replace`, files with names
    of the layout are replaced, or removed if this data set has no such file; other files in the folder stay.

    Raises
    ------
    DataError : the folder is not empty and `replace` is False, the folder can't be written, or the disk is full.
    UsageError : unknown format, or `to` is a file.
    """
    if matrices not in FORMATS:
        raise unknown("format", matrices, FORMATS)
    if to.exists() and not to.is_dir():
        raise UsageError(f"{to} is a file", "Give --to a folder.")
    try:
        to.mkdir(parents=True, exist_ok=True)
        existing = sorted(path.name for path in to.iterdir())
    except OSError as error:
        raise cannot_write(to, error) from error
    if existing and not replace:
        examples = ", ".join(existing[:5]) + (", …" if len(existing) > 5 else "")
        raise DataError(f"{to} is not empty ({examples})", "Give an empty folder, or --replace to overwrite its files.")
    written = write_folder(to, data, matrices=matrices)
    try:
        for name in NAMES.intersection(existing) - {path.name for path in written}:
            (to / name).unlink()
    except OSError as error:
        raise cannot_write(to, error) from error
    return written
