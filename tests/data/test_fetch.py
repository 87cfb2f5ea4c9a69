"""Where files come from: the download folder, a mirror, packages, archives; and what is said when there are none."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from xmcbench import files
from xmcbench.data import fetch, hashes
from xmcbench.data.catalogue import Entry, File, Form, entry
from xmcbench.data.drive import page_in
from xmcbench.data.fetch import fetch_files
from xmcbench.data.places import folder
from xmcbench.errors import DataError, UsageError

TRAIN, TEST = b"2 3 4\n0 0:1\n1 1:1\n", b"1 3 4\n2 2:1\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a location in these tests is wrong."""

    def refuse(location: str, *_: object) -> None:
        pytest.fail(f"asked for {location}")

    monkeypatch.setattr(fetch, "download", refuse)


def git_blob(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


def zipped(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return buffer.getvalue()


def toy(**form: object) -> Entry:
    """An entry like eurlex-4k: two files with git blob ids, in an archive on Drive whose hash nobody knows."""
    files = (
        File("train", "toy_train.txt", git_blob=git_blob(TRAIN), members=("Toy/toy_train.txt",)),
        File("test", "toy_test.txt", git_blob=git_blob(TEST), members=("Toy/toy_test.txt",)),
    )
    plain = Form("xc", ("bow",), files, File("archive", "Toy.zip", ("gdrive:TOYID",)))
    return msgspec.structs.replace(entry("eurlex-4k"), name="toy", forms=(msgspec.structs.replace(plain, **form),))


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_nothing_here_says_what_to_put_where(home: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch_files(entry("eurlex-4k"), offline=True)
    text = str(caught.value)
    assert caught.value.exit_code == 4
    assert str(home / "downloads" / "eurlex-4k") in text
    for part in (
        *("Eurlex.zip", "eurlex_train.txt", "eurlex_test.txt"),
        "https://drive.google.com/file/d/0B3lPMIHmG6vGU0VTR1pCejFpWjg/view?resourcekey=0-SurjZ4z_5Tr38jENzf2Iwg",
        *("002fcbb4dfe516224f91c311f4940a8be9215188", "57aa8c3f73c1f53fe99d147651e87ecb5ba8ad8f"),
        "xmcbench data fetch eurlex-4k",
        "Data sets that need no download: icd10cm",
        "synthetic",
    ):
        assert part in text
    assert (home / "downloads" / "eurlex-4k").is_dir()  # the folder to put them into is there


def test_a_users_text_files_are_accepted() -> None:
    toy_entry = toy()
    train = put(folder(toy_entry) / "toy_train.txt", TRAIN)
    test = put(folder(toy_entry) / "toy_test.txt", TEST)
    assert fetch_files(toy_entry, offline=True) == {"train": train, "test": test}


@pytest.mark.parametrize("top", ["Toy/", "", "Some/Folder/"])
def test_a_users_archive_is_accepted(top: str) -> None:
    toy_entry = toy()
    put(folder(toy_entry) / "Toy.zip", zipped({f"{top}toy_train.txt": TRAIN, f"{top}toy_test.txt": TEST}))
    if top != "Toy/":  # a member is found without its leading folders
        files = tuple(msgspec.structs.replace(f, members=(f.name,)) for f in toy_entry.forms[0].files)
        toy_entry = toy(files=files)
    found = fetch_files(toy_entry, offline=True)
    assert {role: path.read_bytes() for role, path in found.items()} == {"train": TRAIN, "test": TEST}
    assert {path.parent for path in found.values()} == {folder(toy_entry)}


def test_an_edited_copy_is_refused_and_put_aside() -> None:
    toy_entry = toy()
    put(folder(toy_entry) / "toy_train.txt", TRAIN.replace(b"\n", b"\r\n"))
    put(folder(toy_entry) / "toy_test.txt", TEST)
    with pytest.raises(DataError) as caught:
        fetch_files(toy_entry, offline=True)
    text = str(caught.value)
    assert f"expected git blob {git_blob(TRAIN)}" in text
    assert f"got      git blob {git_blob(TRAIN.replace(bytes([10]), bytes([13, 10])))}" in text
    assert sorted(p.name for p in folder(toy_entry).glob("toy*")) == ["toy_test.txt", "toy_train.txt.bad"]


QUOTA = b"\xef\xbb\xbf<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>Sorry</body>"


@pytest.mark.parametrize("name", ["Toy.zip", "toy_train.txt"])
def test_a_web_page_that_a_browser_saved_is_named_and_stays(name: str) -> None:
    toy_entry = toy()
    page = put(folder(toy_entry) / name, QUOTA)
    with pytest.raises(DataError) as caught:
        fetch_files(toy_entry, offline=True)
    assert f"{page}: a web page ('Google Drive - Quota exceeded') instead of the file: remove it" in str(caught.value)
    assert page.read_bytes() == QUOTA
    assert not list(folder(toy_entry).glob("*.bad"))


def test_an_xml_file_is_no_web_page() -> None:
    assert page_in(b'<?xml version="1.0"?><ICD10CM.tabular><title>a</title>') is None
    assert page_in(b"3 5 2\n0 1:2\n") is None
    assert page_in(b"") is None
    assert page_in(b"<!-- saved --><HTML><body>x") == "a web page"


def test_what_is_no_archive_is_called_so() -> None:
    toy_entry = toy()
    put(folder(toy_entry) / "Toy.zip", b'{"error": "not found"}')
    with pytest.raises(DataError, match=r"Toy\.zip: neither a zip nor a tar archive\n"):
        fetch_files(toy_entry, offline=True)


def test_the_real_fragment_is_not_the_real_test_file(shared: Path) -> None:
    """1,316 of the 3,809 genuine rows: refused as eurlex-4k's, accepted by an entry with their own hash."""
    fragment = shared / "data" / "eurlex-4k-fragment" / "test_part_1316.txt"
    official = next(f for f in entry("eurlex-4k").forms[0].files if f.role == "test")
    with pytest.raises(DataError, match="expected git blob 57aa8c3f"):
        hashes.check(entry("eurlex-4k"), official, fragment)
    own = msgspec.structs.replace(official, git_blob=git_blob(fragment.read_bytes()))
    assert hashes.check(entry("eurlex-4k"), own, fragment) == "git blob as in the catalogue"


def test_git_blob_is_gits(tmp_path: Path) -> None:
    path = put(tmp_path / "x", TRAIN)
    said = subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True).stdout.strip()
    assert hashes.hashes_of(path).git_blob == said


@pytest.mark.parametrize("damage", ["truncated", "tampered"])
def test_a_damaged_archive_is_named_and_not_recorded(damage: str, home: Path) -> None:
    toy_entry = toy()
    raw = zipped({"Toy/toy_train.txt": TRAIN, "Toy/toy_test.txt": TEST})
    bad = raw[:-30] if damage == "truncated" else raw.replace(b"0:1", b"0:2")
    put(folder(toy_entry) / "Toy.zip", bad)
    with pytest.raises(DataError, match=r"Toy\.zip"):
        fetch_files(toy_entry, offline=True)
    assert not (home / "recorded-hashes.json").exists()
    put(folder(toy_entry) / "Toy.zip", raw)  # and then the right one is taken
    assert fetch_files(toy_entry, offline=True)["train"].read_bytes() == TRAIN


def test_an_archive_with_other_content_is_refused() -> None:
    toy_entry = toy()
    put(folder(toy_entry) / "Toy.zip", zipped({"Toy/toy_train.txt": TEST, "Toy/toy_test.txt": TRAIN}))
    with pytest.raises(DataError, match="expected git blob"):
        fetch_files(toy_entry, offline=True)


def test_an_archive_without_a_needed_member() -> None:
    toy_entry = toy()
    put(folder(toy_entry) / "Toy.zip", zipped({"Toy/toy_train.txt": TRAIN}))
    with pytest.raises(DataError, match=r"holds no toy_test\.txt"):
        fetch_files(toy_entry, offline=True)


def test_the_second_form_of_one_archive_is_tried() -> None:
    """LF archives have come in two layouts."""
    found = entry("lf-amazontitles-131k")
    pairs = [f for form in found.forms if form.name == "pairs" for f in form.files]
    archive = next(form.archive for form in found.forms if form.archive)
    put(folder(found) / archive.name, zipped({f"LF-AmazonTitles-131K/{f.name}": f.role.encode() for f in pairs}))
    files = fetch_files(found, "bow", offline=True)
    assert {role: path.read_bytes().decode() for role, path in files.items()} == {f.role: f.role for f in pairs}


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in sorted(root.rglob("*"))}


@pytest.mark.parametrize("place", ["toy/Toy.zip", "Toy.zip"])
def test_a_mirror_is_read_and_never_written(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror"
    put(mirror / place, zipped({"Toy/toy_train.txt": TRAIN, "Toy/toy_test.txt": TEST}))
    monkeypatch.setenv("XMCBENCH_MIRROR", str(mirror))
    before = snapshot(mirror)
    found = fetch_files(toy(), offline=True)
    assert {path.parent for path in found.values()} == {folder(toy())}
    put(mirror / "toy" / "toy_train.txt", b"wrong")
    fetch_files(toy(), offline=True)
    assert {k: v for k, v in snapshot(mirror).items() if k in before and "." in k} == {
        k: v for k, v in before.items() if "." in k
    }
    assert not list(mirror.rglob("*.bad"))
    assert not list(mirror.rglob(".lock"))


def test_a_mirrors_loose_file_of_a_common_name_needs_a_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DIR/train.txt could be anybody's."""
    monkeypatch.setenv("XMCBENCH_MIRROR", str(tmp_path))
    put(tmp_path / "train.txt", b"1 1 1\n")
    put(tmp_path / "test.txt", b"1 1 1\n")
    with pytest.raises(DataError):
        fetch_files(entry("wiki10-31k"), offline=True)
    put(tmp_path / "wiki10-31k" / "train.txt", b"1 1 1\n")
    put(tmp_path / "wiki10-31k" / "test.txt", b"1 1 1\n")
    assert set(fetch_files(entry("wiki10-31k"), offline=True)) == {"train", "test"}


def test_a_mirror_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="no such folder"):
        fetch_files(toy(), offline=True)


def test_the_development_mirror(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_MIRROR", str(shared / "data"))
    assert set(fetch_files(entry("eurlex57k"), offline=True)) == {"documents", "descriptors"}
    for name in ("bibtex", "delicious"):
        assert set(fetch_files(entry(name), offline=True)) == {"train", "test", "label_names", "feature_names"}


def test_icd10cm_comes_with_its_package_and_is_not_imported() -> None:
    code = (
        "import sys; from xmcbench.data.catalogue import entry; from xmcbench.data.fetch import fetch_files\n"
        "print(fetch_files(entry('icd10cm'), offline=True)['tabular'].name, 'simple_icd_10_cm' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["icd10c-tabular-April-1-2026.xml", "False"]


def test_another_version_of_a_package_does_not_count() -> None:
    files = tuple(
        msgspec.structs.replace(f, locations=(f.locations[0].replace("1.5.0", "1.4.9"),))
        for f in entry("icd10cm").forms[0].files
    )
    form = msgspec.structs.replace(entry("icd10cm").forms[0], files=files)
    older = msgspec.structs.replace(entry("icd10cm"), forms=(form,))
    with pytest.raises(DataError, match=r"pip install simple-icd-10-cm==1\.4\.9"):
        fetch_files(older, offline=True)


def test_synthetic_needs_no_files() -> None:
    assert fetch_files(entry("synthetic"), offline=True) == {}


def test_an_unknown_hash_is_recorded_once_and_checked_from_then_on(home: Path) -> None:
    toy_entry = toy(archive=None, files=(File("train", "train.txt"),))
    path = put(folder(toy_entry) / "train.txt", TRAIN)
    assert fetch_files(toy_entry, offline=True) == {"train": path}
    ledger = json.loads((home / "recorded-hashes.json").read_text())
    assert ledger["toy/train.txt"]["sha256"] == hashlib.sha256(TRAIN).hexdigest()
    put(path, TEST)
    with pytest.raises(DataError, match="recorded at first download") as caught:
        fetch_files(toy_entry, offline=True)
    assert hashlib.sha256(TRAIN).hexdigest() in str(caught.value)
    assert hashlib.sha256(TEST).hexdigest() in str(caught.value)
    put(path, TRAIN)
    assert fetch_files(toy_entry, offline=True) == {"train": path}


def test_a_change_of_one_byte_in_place_is_noticed() -> None:
    """Hashes are remembered by size and time of change; an edit changes the time."""
    toy_entry = toy()
    train = put(folder(toy_entry) / "toy_train.txt", TRAIN)
    put(folder(toy_entry) / "toy_test.txt", TEST)
    fetch_files(toy_entry, offline=True)
    put(train, TRAIN.replace(b"0:1", b"0:2"))
    os.utime(train, (1, 1))
    with pytest.raises(DataError, match="expected git blob"):
        fetch_files(toy_entry, offline=True)


def test_a_file_that_did_not_change_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SETTLE", 0)
    toy_entry = toy()
    put(folder(toy_entry) / "toy_train.txt", TRAIN)
    put(folder(toy_entry) / "toy_test.txt", TEST)
    first = fetch_files(toy_entry, offline=True)
    monkeypatch.setattr(hashes, "hashes_of", lambda path: pytest.fail(f"read {path} again"))
    assert fetch_files(toy_entry, offline=True) == first


def test_a_file_that_just_changed_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit within one step of the clock would leave the file's times as they are."""
    path = put(folder(toy()) / "toy_train.txt", TRAIN)
    seen: list[Path] = []
    real = hashes.hashes_of
    monkeypatch.setattr(hashes, "hashes_of", lambda path: (seen.append(path), real(path))[1])
    assert [hashes.remembered(path) for _ in range(2)] == [real(path)] * 2
    assert len(seen) == 2


@pytest.mark.parametrize("field", ["sha256", "git_blob", "stamp", "of another file"])
def test_damaged_remembered_hashes_are_computed_again(home: Path, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    """They would refuse a file that is right, or accept one that is wrong."""
    monkeypatch.setattr(files, "SETTLE", 0)
    path, other = (put(folder(toy()) / name, TRAIN) for name in ("toy_train.txt", "other.txt"))
    right = hashes.remembered(path)
    hashes.remembered(other)
    cached = home / hashes.CACHE
    entries = json.loads(cached.read_text())
    if field == "of another file":
        entries[str(path)], entries[str(other)] = entries[str(other)], entries[str(path)]
    elif field == "stamp":
        path.write_bytes(TEST)
        right = hashes.hashes_of(path)
        entries[str(path)]["stamp"] = files.stamp_of(path.stat())
    else:
        entries[str(path)][field] = "0" * 64
    cached.write_text(json.dumps(entries))
    assert hashes.remembered(path) == right


def test_what_a_killed_unpacking_left_is_removed() -> None:
    toy_entry = toy()
    left = put(folder(toy_entry) / ".tmp-abc", b"half")
    put(folder(toy_entry) / "Toy.zip", zipped({"Toy/toy_train.txt": TRAIN, "Toy/toy_test.txt": TEST}))
    fetch_files(toy_entry, offline=True)
    assert not left.exists()
