"""A data set's files for other programs: PECOS, ELIAS, Omikuji, napkinXC, or a notebook."""

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
    """Write `data` into folder `to`, as `xmcbench.data.folders` describes; returns the files written.

    Line ends within a text become blanks, since these layouts hold a text a line. With `replace` files of the layout's
    own names are replaced, or removed where this data set has none; anything else in the folder stays.

    Raises
    ------
    DataError : the folder holds something and `replace` isn't said; it can't be written; the disk is full.
    UsageError : unknown format, or `to` is a file.
    """
    if matrices not in FORMATS:
        raise unknown("format", matrices, FORMATS)
    if to.exists() and not to.is_dir():
        raise UsageError(f"{to} is a file", "Give --to a folder.")
    try:
        to.mkdir(parents=True, exist_ok=True)
        inside = sorted(path.name for path in to.iterdir())
    except OSError as error:
        raise cannot_write(to, error) from error
    if inside and not replace:
        shown = ", ".join(inside[:5]) + (", …" if len(inside) > 5 else "")
        raise DataError(
            f"{to} is not empty ({shown})", "Give an empty folder, or --replace to overwrite what is there."
        )
    written = write_folder(to, data, matrices=matrices)
    try:
        for name in NAMES.intersection(inside) - {path.name for path in written}:
            (to / name).unlink()
    except OSError as error:
        raise cannot_write(to, error) from error
    return written
