"""A damaged cache gives the same data set after a rebuild, with a warning that names the file, and never other scores.

Every array of a small data set is damaged in every way of `HARM`; some of the ways also write matching hashes.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.damage import flip, in_place, reseal
from tests.data.test_cache import KEY, never, same, small
from xmcbench import files
from xmcbench.data import array_files, arrays, cache
from xmcbench.data.spec import Parsed
from xmcbench.errors import DataError, WriteError, cannot_write
from xmcbench.inputs import open_file

NAMES = [name for name, _ in cache.arrays(small())]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests copy."""
    folder = tmp_path_factory.mktemp("whole") / f"bow-{KEY}"
    cache.open_or_build(folder, KEY, small)
    return folder


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are known from their first opening on, and some of them are mapped."""
    monkeypatch.setattr(files, "SETTLE", 0)
    monkeypatch.setattr(array_files, "SMALL", 200)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # slow, and only a power failure shows the difference


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy whose files an earlier opening has found whole."""
    copy = Path(shutil.copytree(whole, tmp_path / "parsed" / "small" / whole.name))
    cache.open_or_build(copy, KEY, never)
    assert len(json.loads((copy / arrays.VERIFIED).read_text())["files"]) == len(NAMES)
    return copy


def saved(array: arrays.Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def other_array(path: Path) -> None:
    array = np.load(path)
    path.write_bytes(saved(array[::-1] if (array[::-1] != array).any() else 1 - array))


def other_numbers(path: Path) -> None:
    """Valid, but not those of the content hash."""
    other_array(path)
    reseal(path.parent)


def out_of_range(path: Path) -> None:
    array = np.load(path).copy()
    array.reshape(-1)[-1] = 200
    path.write_bytes(saved(array))
    reseal(path.parent)


def not_finite(path: Path) -> None:
    array = np.load(path).astype(np.float32)
    array.reshape(-1)[0] = np.nan
    path.write_bytes(saved(array))
    reseal(path.parent)


def other_type(path: Path) -> None:
    content = path.read_bytes()
    kind = np.load(path).dtype.str[1:].encode()
    in_place(path, content.replace(b"'descr': '" + content[21:22] + kind, b"'descr': '>" + kind, 1))


def other_type_sealed(path: Path) -> None:
    path.write_bytes(saved(np.load(path).astype(np.float64)))
    reseal(path.parent)


def of_another_split(path: Path) -> None:
    split = path.name.split(".")[0].removesuffix("_filter")
    other = {"train": "test", "test": "train", "validation": "test"}.get(split, "")
    source = path.with_name(path.name.replace(split, other, 1))
    shutil.copyfile(source if source.is_file() else path.with_name("test.labels.indices.npy"), path)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("train_filter.npy" if path.name != "train_filter.npy" else "test_filter.npy"))


HARM: dict[str, Callable[[Path], None]] = {
    "one bit": flip,
    "cut": lambda path: os.truncate(path, path.stat().st_size - 1),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0") and None,
    "empty": lambda path: path.write_bytes(b"") and None,
    "other array": other_array,
    "other array, sealed": other_numbers,
    "out of range, sealed": out_of_range,
    "not finite, sealed": not_finite,
    "other type": other_type,
    "other type, sealed": other_type_sealed,
    "of another split": of_another_split,
    "missing": lambda path: path.unlink(),
    "a folder": instead,
    "a pipe": pipe,
    "a link to another file": link,
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nowhere"))[1],
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", NAMES)
def test_each_array_damaged_in_each_way(whole: Path, name: str, harm: str) -> None:
    """`whole` is whole again after each test."""
    folder = whole
    cache.open_or_build(folder, KEY, small)
    expected = json.loads((folder / "meta.json").read_text())["content_hash"]
    before = (folder / f"{name}.npy").read_bytes()
    HARM[harm](folder / f"{name}.npy")
    path = folder / f"{name}.npy"
    if path.is_file() and path.read_bytes() == before:
        pytest.skip("this way leaves this array as it is")
    with pytest.warns(UserWarning, match="damaged: it is parsed again") as caught:
        found = cache.open_or_build(folder, KEY, small)
    if "sealed" not in harm:
        assert f"({name}.npy: " in str(caught[0].message)
    same(small(), found.parsed)
    assert found.content_hash == expected == cache.content_hash(found.parsed)
    same(small(), cache.open_or_build(folder, KEY, never).parsed)


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_byte_of_any_file(whole: Path, data: st.DataObject) -> None:
    cache.open_or_build(whole, KEY, small)
    path = data.draw(st.sampled_from(sorted(whole.iterdir())), "file")
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1), "position")] ^= data.draw(st.integers(1, 255), "change")
    in_place(path, bytes(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(small(), cache.open_or_build(whole, KEY, small).parsed)


SHAPES = {"negative": [-1, 5], "huge": [1 << 60, 5], "no columns": [7, -5], "narrow": [7, 4], "wide": [7, 6]}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shapes_that_do_not_fit(folder: Path, shape: list[int]) -> None:
    shapes = json.loads((folder / "meta.json").read_text())["shapes"]
    reseal(folder, shapes={**shapes, "train.labels": shape})
    with pytest.warns(UserWarning, match="damaged: it is parsed again"):
        same(small(), cache.open_or_build(folder, KEY, small).parsed)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b'{"meta": "", "files": {}}'])
def test_a_damaged_list_of_verified_files_is_made_again(folder: Path, content: bytes) -> None:
    before = (folder / arrays.VERIFIED).read_bytes()
    (folder / arrays.VERIFIED).write_bytes(content)
    same(small(), cache.open_or_build(folder, KEY, never).parsed)
    assert (folder / arrays.VERIFIED).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_a_damaged_meta_is_made_again(folder: Path, content: bytes) -> None:
    (folder / "meta.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"parsed again \(meta.json: "):
        same(small(), cache.open_or_build(folder, KEY, small).parsed)


def test_a_folder_of_an_earlier_format_is_built_again_without_a_warning(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    del meta["check"], meta["format"]
    meta["arrays"] = {name: file["size"] for name, file in meta["arrays"].items()}
    (folder / "meta.json").write_text(json.dumps({**meta, "check": arrays._checksum(meta)}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(small(), cache.open_or_build(folder, KEY, small).parsed)
        cache.open_or_build(folder, KEY, never)


def hashed(monkeypatch: pytest.MonkeyPatch, folder: Path, *, verify: bool = False) -> int:
    """How many files an opening hashes."""
    calls = []
    real = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *words: (calls.append(1), real(*words))[1])
    cache.open_or_build(folder, KEY, never, verify=verify)
    monkeypatch.setattr(hashlib, "file_digest", real)
    return len(calls)


def test_unchanged_files_are_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hashed(monkeypatch, folder) == 0
    os.utime(folder / "test_filter.npy")
    assert hashed(monkeypatch, folder) == 1
    assert hashed(monkeypatch, folder) == 0
    assert hashed(monkeypatch, folder, verify=True) == len(NAMES)
    (folder / "train.labels.data.npy").rename(folder / "other")
    shutil.copy2(folder / "other", folder / "train.labels.data.npy")
    assert hashed(monkeypatch, folder) == 1  # another inode


def test_files_that_just_changed_are_not_taken_as_verified(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SETTLE", 60 * 10**9)
    os.utime(folder / "test_filter.npy")
    assert [hashed(monkeypatch, folder) for _ in range(2)] == [1, len(NAMES)]
    assert json.loads((folder / arrays.VERIFIED).read_text())["files"] == {}


def test_a_file_replaced_while_it_is_opened_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The array is made of the file that was hashed."""
    path = folder / "train.labels.indices.npy"
    other = path.with_name("other")
    other.write_bytes(saved(np.zeros_like(np.load(path))))
    real = array_files.opened

    @contextmanager
    def replaced(opened: Path) -> Iterator[io.BufferedReader]:
        with real(opened) as file:
            if opened == path and other.exists():
                other.rename(path)
            yield file

    monkeypatch.setattr(array_files, "opened", replaced)
    same(small(), cache.open_or_build(folder, KEY, never).parsed)
    assert not other.exists()


def test_a_home_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, value: object) -> None:
        raise WriteError(f"{path}: can't write")

    monkeypatch.setattr(arrays, "write_json", refuse)
    (folder / arrays.VERIFIED).unlink()
    assert [hashed(monkeypatch, folder) for _ in range(2)] == [len(NAMES)] * 2


def test_damage_in_a_home_that_cannot_be_written_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(lock: Path) -> AbstractContextManager[None]:
        raise cannot_write(lock, OSError(errno.EROFS, "Read-only file system"))

    flip(folder / "test_filter.npy")
    monkeypatch.setattr(arrays, "locked", refuse)
    with pytest.raises(WriteError, match=r"is damaged \(test_filter.npy: .*can't be parsed again") as caught:
        cache.open_or_build(folder, KEY, never)
    assert "Read-only file system" in caught.value.message


@pytest.mark.parametrize("name", ["meta.json", "test_filter.npy"])
def test_a_file_that_cannot_be_read_is_not_taken_for_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(path: Path) -> io.BufferedReader:
        if path == folder / name:
            raise OSError(errno.EMFILE, "Too many open files")
        return open_file(path)

    monkeypatch.setattr(array_files, "open_file", refuse)
    with pytest.raises(DataError, match=rf"{name}: can't read \(Too many open files\)"):
        cache.open_or_build(folder, KEY, never)


def test_content_is_validated_once_for_each_meta(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that have the hashes of a meta.json are those that were validated with it."""
    calls: list[Parsed] = []
    real = cache.problems
    monkeypatch.setattr(cache, "problems", lambda parsed: (calls.append(parsed), real(parsed))[1])
    os.utime(folder / "test_filter.npy")
    cache.open_or_build(folder, KEY, never)
    assert len(calls) == 0
    reseal(folder, extra={"made": "by somebody else"})
    cache.open_or_build(folder, KEY, never)
    cache.open_or_build(folder, KEY, never)
    assert len(calls) == 1
    cache.open_or_build(folder, KEY, never, verify=True)
    assert len(calls) == 2


def test_what_is_wrong_is_told_by_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(folder.parents[2]))
    content = json.loads((folder / "meta.json").read_text())["content_hash"]
    for name, view, other in (("small", "bow", content), ("..", "parsed", content), ("none", "bow", content)):
        assert cache.damage(name, view, other) == ""
    flip(folder / "train.labels.indices.npy")
    assert cache.damage("small", "text", content) == cache.damage("small", "bow", "sha256:0") == ""
    found = cache.damage("small", "bow", content)
    assert found == f"{folder}: train.labels.indices.npy: changed after it was written"


KILLED = """
import os, sys
from pathlib import Path
from xmcbench import files
from xmcbench.data import cache
from tests.data.damage import flip, in_place, reseal
from tests.data.test_cache import KEY, never
files.SETTLE = 0
def stop(*_): os.kill(os.getpid(), 9)
setattr(os, sys.argv[2], stop)
cache.open_or_build(Path(sys.argv[1]), KEY, never, verify=True)
"""


@pytest.mark.parametrize("at", ["fsync", "replace", "chmod"])
def test_killed_while_it_writes_what_was_verified(folder: Path, at: str) -> None:
    before = sorted(path.name for path in folder.iterdir())
    os.utime(folder / "test_filter.npy")
    assert subprocess.run([sys.executable, "-c", KILLED, str(folder), at], check=False).returncode == -9
    assert any(path.name.startswith(files.TEMPORARY) for path in folder.iterdir())
    os.utime(folder / "test_filter.npy")
    same(small(), cache.open_or_build(folder, KEY, never).parsed)
    assert sorted(path.name for path in folder.iterdir()) == before
