"""Write a user's files and read them as the rows of one split."""

from __future__ import annotations

from pathlib import Path

import pytest

from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import SplitFiles, SplitRows, read_splits
from xmcbench.errors import DataError, XmcError


def put(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content, "utf-8", newline="")
    return folder / name


def read(files: SplitFiles, **options: object) -> SplitRows:
    return read_splits({"train": files}, Reading(**options))[0]["train"]  # type: ignore[arg-type]


def labels(files: SplitFiles, **options: object) -> list[list[str]]:
    names = read(files, **options).names
    assert names is not None
    return names.rows


def refused(files: SplitFiles, says: str, kind: type[XmcError] = DataError, **options: object) -> None:
    with pytest.raises(kind, match=says) as caught:
        read(files, **options)
    assert caught.value.hint
