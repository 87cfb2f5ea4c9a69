"""Synthetic data written as the official archives have it goes through fetch, parse, cache and validation."""

from __future__ import annotations

import dataclasses
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np
import pytest

from xmcbench.data import load
from xmcbench.data.catalogue import Entry, entry
from xmcbench.data.folders import export
from xmcbench.data.spec import Dataset
from xmcbench.data.validate import counts
from xmcbench.errors import DataError

MADE = "synthetic[rows=90,test=30,labels=50,features=80,branching=10,per_row=4,per_topic=2]"
SETS = [("amazon-670k", "bow", "xmc"), ("lf-amazontitles-1.3m", "bow", "lf"), ("lf-amazontitles-1.3m", "text", "lf")]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a web server on this machine that has the files of a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Dataset:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XMCBENCH_MIRROR", raising=False)
    return load(MADE)


def in_catalogue(monkeypatch: pytest.MonkeyPatch, facts: Entry, data: Dataset) -> None:
    """Let the catalogue have that entry, with the counts of `data` in place of the official ones."""
    found = counts(data)
    expected = MappingProxyType({key: int(found[key]) for key in facts.expected})
    changed = msgspec.structs.replace(facts, expected=expected)
    monkeypatch.setattr("xmcbench.data.catalogue.catalogue", lambda: {facts.name: changed})


def assert_same(again: Dataset, data: Dataset, view: str) -> None:
    for ours, theirs in ((again.train, data.train), (again.test, data.test)):
        assert (ours.labels != theirs.labels).nnz == 0
        if view == "bow":
            assert ours.features is not None
            assert theirs.features is not None
            assert np.array_equal(ours.features.data, theirs.features.data)
            assert np.array_equal(ours.features.indices, theirs.features.indices)
        else:
            assert list(ours.texts or ()) == list(theirs.texts or ())
    if view == "text":
        assert list(again.label_texts or ()) == list(data.label_texts or ())


@pytest.mark.parametrize(("name", "view", "form"), SETS)
def test_through_a_download(
    data: Dataset, name: str, view: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = export(data, tmp_path / "files", matrices=form)
    packed = tmp_path / "official.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in written:
            archive.write(path, path.name)
    with served(tmp_path) as url:
        forms = tuple(
            msgspec.structs.replace(of, archive=msgspec.structs.replace(of.archive, locations=(f"{url}/official.zip",)))
            for of in entry(name).forms
            if of.archive is not None
        )
        in_catalogue(monkeypatch, msgspec.structs.replace(entry(name), forms=forms), data)
        again = load(name, view)
    assert_same(again, data, view)
    assert load(name, view, offline=True).content_hash == again.content_hash  # from the cache


@pytest.mark.parametrize(("name", "view", "form"), SETS)
def test_from_a_mirror(
    data: Dataset, name: str, view: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(data, tmp_path / "mirror" / name, matrices=form)
    monkeypatch.setenv("XMCBENCH_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(DataError, match=r"n_train is 90, expected [\d]+"):  # the official counts are checked
        load(name, view, offline=True)
    in_catalogue(monkeypatch, entry(name), data)
    assert_same(load(name, view, offline=True), data, view)


def test_filters_and_awkward_texts_come_back(tmp_path: Path, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["\ufeffé\n", "word", " ends ", *["x"] * 27]
    changed = dataclasses.replace(
        data, test=dataclasses.replace(data.test, texts=texts), test_filter=np.array([[0, 3], [29, 49]])
    )
    export(changed, tmp_path / "mirror" / "lf-amazontitles-1.3m", matrices="lf")
    monkeypatch.setenv("XMCBENCH_MIRROR", str(tmp_path / "mirror"))
    in_catalogue(monkeypatch, entry("lf-amazontitles-1.3m"), data)
    again = load("lf-amazontitles-1.3m", "text", offline=True)
    assert list(again.test.texts or ()) == texts
    assert again.test_filter.tolist() == [[0, 3], [29, 49]]


def test_what_lf_files_cannot_hold(tmp_path: Path, data: Dataset) -> None:
    bare = dataclasses.replace(data, train=dataclasses.replace(data.train, features=None), label_texts=None)
    with pytest.raises(DataError, match="LF files need features, or texts"):
        export(bare, tmp_path / "out", matrices="lf")
    assert not (tmp_path / "out").exists()
