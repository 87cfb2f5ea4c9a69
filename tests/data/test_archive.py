"""Archives from strangers: the right members come out whole, and nothing else happens."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xmcbench import limits
from xmcbench.data import archive
from xmcbench.errors import DataError

CONTENT = {"Set/train.txt": b"1 2 3\n" * 5000, "Set/test.txt": b"4 5 6\n" * 100, "Set/deep/Y.trn.npz": b"npz"}


def make_zip(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def make_tar(path: Path, content: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def make_xz(path: Path, content: dict[str, bytes]) -> Path:
    return make_tar(path, content, "w:xz")


def make_plain(path: Path, content: dict[str, bytes]) -> Path:
    return make_tar(path, content, "w")


Make = Callable[[Path, dict[str, bytes]], Path]
each_kind = pytest.mark.parametrize("make", [make_zip, make_tar, make_xz, make_plain])


@each_kind
def test_members_come_out_by_full_or_short_name(make: Make, tmp_path: Path) -> None:
    packed = make(tmp_path / "a", {**CONTENT, "__MACOSX/Set/train.txt": b"litter", "Set/._test.txt": b"litter"})
    out = tmp_path / "out"
    wanted = {"tr": ("Set/train.txt",), "te": ("test.txt",), "y": ("nowhere", "deep/Y.trn.npz"), "no": ("none",)}
    found = archive.extract(packed, wanted, out)
    assert {name: path.read_bytes() for name, path in found.items()} == {
        "tr": CONTENT["Set/train.txt"],
        "te": CONTENT["Set/test.txt"],
        "y": b"npz",
    }
    assert sorted(p.name for p in out.iterdir()) == ["te", "tr", "y"]  # no temporary file, no other member


@each_kind
def test_members_are_read_in_order(make: Make, tmp_path: Path) -> None:
    packed = make(tmp_path / "a", CONTENT)
    assert list(archive.members(packed, lambda name: name.endswith(".txt"))) == list(CONTENT.items())[:2]


@each_kind
def test_a_short_name_that_means_two_members_is_refused(make: Make, tmp_path: Path) -> None:
    packed = make(tmp_path / "a", {"A/train.txt": b"", "B/train.txt": b""})
    with pytest.raises(DataError, match="2 members are called"):
        archive.extract(packed, {"x": ("train.txt",)}, tmp_path / "out")


@each_kind
@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_paths_outside_are_refused(make: Make, name: str, tmp_path: Path) -> None:
    packed = make(tmp_path / "a", {name: b"x"})
    with pytest.raises(DataError, match="points outside"):
        archive.extract(packed, {"x": (name,)}, tmp_path / "out")
    with pytest.raises(DataError, match="points outside"):
        list(archive.members(packed, lambda _: True))
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    packed = tmp_path / "a.tar.gz"
    with tarfile.open(packed, "w:gz") as file:
        info = tarfile.TarInfo("train.txt")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(DataError, match="link or a device"):
        archive.extract(packed, {"x": ("train.txt",)}, tmp_path / "out")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "a.zip"
    info = zipfile.ZipInfo("train.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="link or a device"):
        archive.extract(packed, {"x": ("train.txt",)}, tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar, make_xz])
def test_a_bomb_is_refused_before_it_unpacks(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ALWAYS_UNPACKED", 1 << 16)
    packed = make(tmp_path / "a", {"train.txt": b"\0" * 5_000_000})
    with pytest.raises(DataError, match="would unpack to 5,00"):
        archive.extract(packed, {"x": ("train.txt",)}, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    packed = make_zip(tmp_path / "a.zip", {"train.txt": b"1" * 1000})
    raw = packed.read_bytes()
    packed.write_bytes(raw.replace((1000).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(DataError, match=r"a\.zip: .*train\.txt"):
        archive.extract(packed, {"x": ("train.txt",)}, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("make", [make_zip, make_tar, make_xz])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_archives_name_themselves(make: Make, keep: float, tmp_path: Path) -> None:
    import random

    noise = random.Random(0).randbytes(200_000)  # doesn't compress, so that a cut hits the member itself
    packed = make(tmp_path / "cut.archive", {"train.txt": noise})
    raw = packed.read_bytes()
    packed.write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(DataError, match=r"cut\.archive") as caught:
        archive.extract(packed, {"x": ("train.txt",)}, tmp_path / "out")
    assert "fetch it again" in caught.value.hint
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("make", [make_zip, make_tar, make_xz])
def test_one_flipped_byte_is_noticed(make: Make, tmp_path: Path) -> None:
    import random

    packed = make(tmp_path / "bad.archive", {"train.txt": random.Random(0).randbytes(50_000)})
    raw = bytearray(packed.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    packed.write_bytes(bytes(raw))
    with pytest.raises(DataError, match=r"bad\.archive"):
        archive.extract(packed, {"x": ("train.txt",)}, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    "content", [b"", b"<html>no</html>", b"PK\x03\x04 nonsense", gzip.compress(b"no tar inside", mtime=0)]
)
def test_what_is_no_archive_is_refused(content: bytes, tmp_path: Path) -> None:
    packed = tmp_path / "x.zip"
    packed.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.zip"):
        archive.extract(packed, {"x": ("train.txt",)}, tmp_path / "out")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    packed = make_zip(tmp_path / "a.zip", {"train.txt": b"1 2 3"})
    raw = bytearray(packed.read_bytes())
    raw[6] |= 1  # "encrypted" in the member's own header …
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # … and in the directory
    packed.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="encrypted"):
        archive.extract(packed, {"x": ("train.txt",)}, tmp_path / "out")


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        archive.extract(tmp_path / "none.zip", {"x": ("y",)}, tmp_path)


def test_the_laws_of_eurlex57k(shared: Path) -> None:
    """The real archive, its first members only."""
    packed = shared / "data" / "eurlex-4.3k" / "dataset.tar.xz"
    name, law = next(archive.members(packed, lambda n: n.startswith("dataset/dev/") and n.endswith(".json")))
    assert name == "dataset/dev/31960D0712.json"
    assert b'"celex_id"' in law


def tar_header(n_bytes: int, kind: bytes = b"0", **pax: str) -> bytes:
    """A member's header with any size, also a negative one, and a right checksum; `pax`: records before it."""
    info = tarfile.TarInfo("a")
    info.type, info.pax_headers = kind, {key.replace("_", "."): value for key, value in pax.items()}
    raw = info.tobuf(tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)
    block = bytearray(raw[-512:])
    block[124:136] = (n_bytes % 2**96).to_bytes(12, "big") if n_bytes < 0 else b"\x80" + n_bytes.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return raw[:-512] + bytes(block)


FIVE = b"hello".ljust(512, b"\0")
SPARSE = {"GNU_sparse_major": "1", "GNU_sparse_minor": "0", "GNU_sparse_name": "b"}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "gz"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tar_header(-512), "would unpack to -512"),  # tarfile would read this header again and again
        (tar_header(-512, b"L"), "a header claims -512 bytes"),
        (tar_header(5 << 30, b"L"), "a header claims 5,368,709,120 bytes"),
        (tar_header(5 << 30, b"x"), "a header claims 5,368,709,120 bytes"),
        (tar_header(5 << 40), "would unpack to 5,497,558,138,880 bytes"),
        (tar_header(512, size="-512"), "would unpack to -512"),
        (tar_header(512, size="9" * 5000) + FIVE, "a damaged header"),
        (tar_header(512, **SPARSE, GNU_sparse_realsize="9" * 5000) + b"1\n0\n1\n".ljust(512, b"\0"), "makes no sense"),
        (tar_header(512, **SPARSE, GNU_sparse_realsize=str(5 << 40)) + b"1\n0\n1\n".ljust(512, b"\0"), "would unpack"),
        (tar_header(512, **SPARSE, GNU_sparse_realsize="600") + b"1\n0\n1\n".ljust(512, b"\0"), "is a sparse file"),
        (tar_header(512, **SPARSE, GNU_sparse_realsize="9") + b"9999\n" + b"1" * 507, "ends within a header|no sense"),
        (tar_header(5) + FIVE + tar_header(5)[:300], "a damaged header after 1,024"),
        (tar_header(5) + FIVE + b"X" + tar_header(5)[1:] + FIVE + b"\0" * 1024, "a damaged header after 1,024"),
    ],
    ids=range(13),
)
def test_tar_headers_that_lie_are_refused_at_once(
    pack: Callable[[bytes], bytes], content: bytes, says: str, tmp_path: Path
) -> None:
    packed = tmp_path / "a.tar"
    packed.write_bytes(pack(content))
    with pytest.raises(DataError, match=rf"a\.tar: .*({says})"):
        list(archive.members(packed, lambda _: True))


def test_a_tar_without_an_end_marker_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_header(5) + FIVE)
    assert list(archive.members(tmp_path / "a.tar", lambda _: True)) == [("a", b"hello")]


@each_kind
def test_too_many_members_are_refused(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMBERS", 20)
    packed = make(tmp_path / "a", {f"{i}.txt": b"x" for i in range(21)})
    with pytest.raises(DataError, match="more than 20 members"):
        list(archive.members(packed, lambda _: False))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("x.txt", b"1")
        file.writestr("x.txt", b"2")
    with pytest.raises(DataError, match=r"2 members are called 'x\.txt'"):
        archive.extract(tmp_path / "a.zip", {"x": ("x.txt",)}, tmp_path / "out")


def test_a_list_of_members_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    """zipfile takes the next members for the comment of one."""
    packed = make_zip(tmp_path / "a.zip", {"x.txt": b"1", "y.txt": b"2"})
    raw = bytearray(packed.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 32] = 255
    packed.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="its list of members has 1 entries and says 2"):
        list(archive.members(packed, lambda _: True))
    empty = bytes(4) + bytes(4)  # no entries, no bytes
    end = (whole := make_zip(packed, {"x.txt": b"1"}).read_bytes()).index(b"PK\x05\x06")
    packed.write_bytes(whole[: end + 8] + empty + whole[end + 16 :])
    with pytest.raises(DataError, match="its list of members is not where its last header says"):
        list(archive.members(packed, lambda _: True))


def test_a_zip_with_headers_for_many_members_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    packed = make_zip(tmp_path / "a.zip", {"x.txt": b"1", "y.txt": b"2"})
    assert b"PK\x06\x06" in packed.read_bytes()
    assert list(archive.members(packed, lambda _: True)) == [("x.txt", b"1"), ("y.txt", b"2")]


def test_an_archive_is_a_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")
    with pytest.raises(DataError, match=r"a\.zip: a pipe, not"):
        archive.probe(tmp_path / "a.zip")
