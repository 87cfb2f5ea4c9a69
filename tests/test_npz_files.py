"""npz files: what comes back, what is refused, and headers that claim other things than they hold."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmcbench import limits
from xmcbench.errors import DataError
from xmcbench.files import write_npz
from xmcbench.npz_files import ALIGNED, MAPPED, map_npz, read_npz


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(shape: str, dtype: str = "<f4") -> bytes:
    """An npy file without data."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "member",
    [
        header("(10000000000000,)"),
        header("(-4,)"),
        header("(1000000000000000,)", "|S0"),
        header("(1000000000000, 0)"),
        header("(4,") + b"\n",
        header("(" * 5000),
        header("('a',)"),
        header("(4,)", "|O"),
        header("(4,)") + b"\0" * 20,
        npy(np.ones(4)) + b"trailing",
        b"\x93NUMPY\x09\x00" + npy(np.ones(4))[8:],
        b"not an array",
        b"",
    ],
)
def test_a_member_must_be_the_array_that_it_claims(member: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.npz: not a readable npz file \(its member 'x.npy': "):
        read_npz(zipped(tmp_path / "a.npz", {"x.npy": member}))


def test_members_are_arrays_with_names_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"its member 'readme\.txt' is not an array"):
        read_npz(zipped(tmp_path / "a.npz", {"x.npy": npy(np.ones(2)), "readme.txt": b"hello"}))
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of names that occur twice
        archive.writestr("x.npy", npy(np.ones(2)))
        archive.writestr("x.npy", npy(np.zeros(2)))
    with pytest.raises(DataError, match="names an array twice"):
        read_npz(tmp_path / "b.npz")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_is_refused_before_memory_is_allocated(compression: int, tmp_path: Path) -> None:
    """bzip2 and LZMA, which numpy never writes, pack zeros a hundred times better than deflate."""
    with pytest.raises(DataError, match="compressed in a way that numpy never writes"):
        read_npz(zipped(tmp_path / "a.npz", {"x.npy": npy(np.zeros(10_000_000, np.uint8))}, compression))


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """Many members of the directory that point at one place of the file."""
    path = zipped(tmp_path / "a.npz", {f"{i:04}.npy": npy(np.arange(999)) for i in range(3)})
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    entry = content[start : content.index(b"PK\x01\x02", start + 4)]
    many = b"".join(entry.replace(b"0000.npy", b"%04d.npy" % i) for i in range(9))
    end = content[content.index(b"PK\x05\x06") :]
    end = end[:8] + struct.pack("<HHLL", 9, 9, len(many), start) + end[20:]
    path.write_bytes(content[:start] + many + end)
    with pytest.raises(DataError, match="need more bytes than the file has"):
        read_npz(path)


def test_more_memory_than_is_free_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "a.npz", {"x": np.zeros(10_000_000, np.int8)})
    monkeypatch.setattr(limits, "ALWAYS_UNPACKED", 1000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 5000}))
    monkeypatch.setattr("psutil.swap_memory", lambda: type("Memory", (), {"free": 0}))
    with pytest.raises(DataError, match="it needs 10,000,128 bytes of memory, 5,000 are free"):
        read_npz(tmp_path / "a.npz")


def test_a_directory_of_a_million_members_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.npz", {f"{i}.npy": npy(np.ones(1)) for i in range(50)})
    monkeypatch.setattr(limits, "ZIP_DIRECTORY", 1000)
    with pytest.raises(DataError, match=r"its list of members has .* bytes, at most 1,000"):
        read_npz(path)


def test_equal_rows_pack_well_and_are_read(tmp_path: Path) -> None:
    """Predictions that are the same for each row, as those of popularity."""
    write_npz(tmp_path / "a.npz", {"ids": np.tile(np.arange(100, dtype=np.int32), (20_000, 1))})
    assert (tmp_path / "a.npz").stat().st_size * limits.UNPACKED_RATIO < 8_000_000
    assert read_npz(tmp_path / "a.npz")["ids"].shape == (20_000, 100)


@pytest.mark.parametrize("compressed", [True, False])
def test_npz_comes_back_as_it_was(tmp_path: Path, compressed: bool) -> None:
    arrays = {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b": np.empty(0, np.float32), "text": np.array("é")}
    write_npz(tmp_path / "x.npz", arrays, compressed=compressed)
    back = read_npz(tmp_path / "x.npz")
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array)


def test_an_npz_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write_npz(path, {"a": np.random.default_rng(0).random(1000)})
    whole = path.read_bytes()
    turned = bytearray(whole)
    turned[len(whole) // 2] ^= 0xFF
    for content in (b"", b"PK", whole[:100], whole[:-1], bytes(turned)):
        path.write_bytes(content)
        with pytest.raises(DataError, match="x.npz: not a readable npz file"):  # noqa: RUF043
            read_npz(path)
    path.unlink()
    with pytest.raises(DataError, match="No such file"):
        read_npz(path)


def test_python_objects_in_an_npz_are_not_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "boom",))

    np.savez(tmp_path / "x.npz", a=np.array([Bomb()], dtype=object))
    with pytest.raises(DataError, match="not a readable npz"):
        read_npz(tmp_path / "x.npz")
    assert not (tmp_path / "boom").exists()


def test_large_arrays_are_compressed_faster_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.arange(200_000, dtype=np.int32) % 3000
    write_npz(tmp_path / "small.npz", {"numbers": numbers})
    monkeypatch.setattr("xmcbench.npz_files.LARGE", 1000)
    write_npz(tmp_path / "large.npz", {"numbers": numbers, "one": np.array(1)})
    arrays = read_npz(tmp_path / "large.npz")
    assert np.array_equal(arrays["numbers"], numbers)
    assert arrays["one"] == 1
    sizes = [(tmp_path / name).stat().st_size for name in ("small.npz", "large.npz")]
    assert sizes[0] < sizes[1] < numbers.nbytes / 2


def is_mapped(array: np.ndarray) -> bool:
    return isinstance(array.base, np.memmap)


def test_large_stored_arrays_are_mapped_and_aligned(tmp_path: Path) -> None:
    arrays = {
        "ü": np.arange(MAPPED, dtype=np.int8),
        "numbers": np.random.default_rng(0).random((300, 100)),
        "by columns": np.asfortranarray(np.arange(40_000.0).reshape(200, 200)),
        "small": np.arange(3),
        "empty": np.empty((0, 4), np.float32),
        "text": np.array("é"),
    }
    for compressed in (False, True):
        path = tmp_path / "a.npz"
        write_npz(path, arrays, compressed=compressed)
        found = map_npz(path)
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array)
            assert is_mapped(found[name]) == (not compressed and name in ("ü", "numbers"))
            assert not is_mapped(found[name]) or found[name].ctypes.data % ALIGNED == 0
            assert np.array_equal(read_npz(path)[name], array)


def test_a_mapped_array_may_be_changed_and_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.zeros(MAPPED)}, compressed=False)
    first, second = map_npz(path)["x"], map_npz(path)["x"]
    first[:] = 1
    assert second.max() == 0
    assert map_npz(path)["x"].max() == 0
    write_npz(path, {"x": np.full(MAPPED, 7.0)}, compressed=False)
    assert second.max() == 0
    path.unlink()
    assert second.sum() == 0


def test_arrays_of_numpy_that_are_not_aligned_are_read(tmp_path: Path) -> None:
    for name in ("a", "ab", "abc", "abcd"):
        np.savez(tmp_path / "a.npz", **{name: np.arange(float(MAPPED))})
        assert np.array_equal(map_npz(tmp_path / "a.npz")[name], np.arange(float(MAPPED)))


def test_a_damaged_number_of_a_mapped_array_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.zeros(MAPPED)}, compressed=False)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: not a readable npz file"):
        map_npz(path)
    path.write_bytes(content[:1000])
    with pytest.raises(DataError, match=r"a\.npz: not a readable npz file"):
        map_npz(path)
