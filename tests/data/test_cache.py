"""What goes into the cache comes out again; what is damaged there is noticed and made anew."""

from __future__ import annotations

import dataclasses
import errno
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.data import array_files, cache
from xmcbench.data.cache import content_hash
from xmcbench.data.spec import Parsed, Split
from xmcbench.errors import DataError

KEY = "0123456789abcdef"


def small(seed: int = 0, *, rows: int = 7) -> Parsed:
    """Everything a parse can have."""
    rng = np.random.default_rng(seed)

    def split(n: int) -> Split:
        labels = sp.random(n, 5, 0.5, "csr", np.float32, rng)
        labels.data[:] = 1
        return Split(sp.random(n, 9, 0.4, "csr", np.float32, rng), [f"text {i} é" for i in range(n)], labels)

    return Parsed(
        split(rows),
        split(4),
        split(3),
        [f"label {i}" for i in range(5)],
        np.array([[0, 1], [6, 4]]),
        np.array([[3, 2]]),
        {"deep": np.array([True, False, False, True, True])},
        {"novel": np.array([True, False, True, False]), "near": np.array([False, True, False, True])},
        {"made": "by hand", "numbers": [1, 2.5]},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "parsed" / "small" / f"bow-{KEY}"


def same(a: Parsed, b: Parsed) -> None:
    for which in ("train", "test", "validation"):
        one, two = getattr(a, which), getattr(b, which)
        assert (one is None) == (two is None)
        if one is None:
            continue
        for part in ("features", "labels"):
            x, y = getattr(one, part), getattr(two, part)
            assert (x is None) == (y is None)
            assert x is None or (x.shape == y.shape and (x != y).nnz == 0 and y.dtype == np.float32)
        assert one.texts is two.texts or list(one.texts) == list(two.texts)
    assert a.label_texts is b.label_texts or list(a.label_texts) == list(b.label_texts)  # type: ignore[arg-type]
    for name in ("train_filter", "test_filter"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in ("label_groups", "row_groups"):
        one, two = getattr(a, name), getattr(b, name)
        assert one.keys() == two.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], two[key])
            assert two[key].dtype == bool
    assert a.extra == b.extra


def never() -> Parsed:
    raise AssertionError("parsed again")


BARE = Parsed(*[Split(None, ["a"], sp.csr_matrix(np.ones((1, 2), np.float32))) for _ in range(2)])


@pytest.mark.parametrize("parsed", [small(), BARE, dataclasses.replace(small(), validation=None, label_texts=None)])
def test_round_trip(folder: Path, parsed: Parsed) -> None:
    first = cache.open_or_build(folder, KEY, lambda: parsed)
    again = cache.open_or_build(folder, KEY, never)
    same(parsed, first.parsed)
    same(parsed, again.parsed)
    assert first.content_hash == again.content_hash == content_hash(parsed) == content_hash(again.parsed)


def test_large_arrays_are_mapped_and_nothing_can_be_written(folder: Path) -> None:
    wide = sp.random(300, 400, 0.5, "csr", np.float32, np.random.default_rng(0))
    parsed = dataclasses.replace(small(rows=300), validation=None)
    train, test = (dataclasses.replace(s, features=wide[: len(s.texts or ())]) for s in (parsed.train, parsed.test))
    parsed = dataclasses.replace(parsed, train=train, test=test)
    train = cache.open_or_build(folder, KEY, lambda: parsed).parsed.train
    assert train.features is not None
    assert isinstance(train.features.data.base, mmap.mmap)
    assert type(train.features.data) is np.ndarray
    assert train.features.indptr.dtype == train.features.indices.dtype == np.int32
    for array in (train.features.data, train.labels.indices, train.features.indptr):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert train.features.has_canonical_format
    np.testing.assert_array_equal(train.features[5:9].toarray(), wide[5:9].toarray())


def test_hash_tells_contents_apart_and_not_dtypes() -> None:
    one = small()
    wide = small()
    for split in (wide.train, wide.test):
        assert split.features is not None
        for matrix in (split.features, split.labels):
            matrix.indptr, matrix.indices = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    assert content_hash(one) == content_hash(small()) == content_hash(wide)
    others = [
        small(seed=1),
        dataclasses.replace(one, label_texts=["label 0", "label 1", "label 2", "label 3", "label x"]),
        dataclasses.replace(one, validation=None),
        dataclasses.replace(one, test_filter=np.array([[3, 1]])),
        dataclasses.replace(one, row_groups={"novel": one.row_groups["novel"], "nearer": one.row_groups["near"]}),
        dataclasses.replace(one, train=dataclasses.replace(one.train, texts=["te", *["x"] * 6])),
    ]
    assert len({content_hash(p) for p in [one, *others]}) == 7


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def edit_meta(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    change(meta)
    (folder / "meta.json").write_text(json.dumps(meta))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "an array cut short": lambda f: cut(f / "train.features.data.npy"),
    "an empty array": lambda f: empty(f / "label_texts.blob.npy"),
    "a missing array": lambda f: (f / "test.labels.indices.npy").unlink(),
    "another header": lambda f: (f / "test_filter.npy").write_bytes(
        (f / "test_filter.npy").read_bytes().replace(b"NUMPY", b"NUMPI")
    ),
    "no meta": lambda f: (f / "meta.json").unlink(),
    "half a meta": lambda f: cut(f / "meta.json"),
    "meta is a list": lambda f: (f / "meta.json").write_text("[]"),
    "a tampered hash": lambda f: edit_meta(f, lambda m: m.update(content_hash="sha256:" + "0" * 64)),
    "a tampered shape": lambda f: edit_meta(f, lambda m: m["shapes"].update({"train.labels": [7, 6]})),
    "another key": lambda f: edit_meta(f, lambda m: m.update(key="f" * 16)),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_noticed_and_made_anew(folder: Path, what: str) -> None:
    expected = cache.open_or_build(folder, KEY, small).content_hash
    DAMAGE[what](folder)
    with pytest.warns(UserWarning, match="damaged: it is parsed again"):
        found = cache.open_or_build(folder, KEY, small)
    same(small(), found.parsed)
    assert found.content_hash == expected
    same(small(), cache.open_or_build(folder, KEY, never).parsed)
    assert sorted(p.name for p in folder.parent.iterdir()) == [f".{folder.name}.lock", folder.name]


def test_an_error_in_the_parse_leaves_nothing(folder: Path) -> None:
    with pytest.raises(AssertionError, match="parsed again"):
        cache.open_or_build(folder, KEY, never)
    assert [p.name for p in folder.parent.iterdir()] == [f".{folder.name}.lock"]


@pytest.mark.parametrize(("code", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "can't write")])
def test_a_disk_that_fails_is_named_and_nothing_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    calls: list[int] = []

    def fail(file: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(code, "no")

    monkeypatch.setattr(array_files, "flush", fail)
    with pytest.raises(DataError, match=said) as error:
        cache.open_or_build(folder, KEY, small)
    assert str(folder) in str(error.value)
    assert [p.name for p in folder.parent.iterdir()] == [f".{folder.name}.lock"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "parsed").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="can't write") as error:
        cache.open_or_build(tmp_path / "parsed" / "x" / "bow-1", KEY, small)
    assert "XMCBENCH_HOME" in error.value.hint


def test_opening_takes_no_lock(folder: Path) -> None:
    """So that a cache on a read-only disk can be used."""
    cache.open_or_build(folder, KEY, small)
    (folder.parent / f".{folder.name}.lock").unlink(missing_ok=True)
    cache.open_or_build(folder, KEY, never)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_key_depends_on_each_part() -> None:
    one = cache.key_of({"view": "bow", "files": {"train": "00"}})
    assert one == cache.key_of({"files": {"train": "00"}, "view": "bow"})
    assert one != cache.key_of({"view": "bow", "files": {"train": "01"}})
    assert len(one) == 16
