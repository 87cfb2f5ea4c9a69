"""xmcbench data fetch, verify, where, clean, stats, as a user meets them."""

from __future__ import annotations

import errno
import fcntl
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.data.damage import flip
from xmcbench.cli.app import data_app
from xmcbench.data import arrays, load
from xmcbench.data.catalogue import catalogue
from xmcbench.data.home import using
from xmcbench.errors import DataError, UsageError, XmcError
from xmcbench.files import stamp_of


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*words: str, answer: str = "") -> Result:
    return CliRunner().invoke(data_app, list(words), input=answer)


def put(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def test_fetch_offline_reports_every_data_set_that_is_missing() -> None:
    result = run("fetch", "eurlex-4k", "icd10cm", "wiki10-31k", "--offline")
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 4
    assert "downloads/eurlex-4k" in str(result.exception)
    assert "downloads/wiki10-31k" in str(result.exception)
    assert "icd10c-tabular" in result.stdout  # the one that can be had is


def test_fetch_of_an_unknown_name_fetches_nothing() -> None:
    result = run("fetch", "icd10cm", "wiki10-13k", "--offline")
    assert isinstance(result.exception, UsageError)
    assert "wiki10-31k" in str(result.exception)
    assert "icd10c-tabular" not in result.stdout


def test_where_lists_every_data_set() -> None:
    result = run("where")
    assert result.exit_code == 0
    for name in catalogue():
        assert name in result.stdout


def test_where_of_one_names_files_folder_and_addresses(home: Path) -> None:
    text = run("where", "eurlex-4k").stdout
    for part in ("Eurlex.zip", "eurlex_train.txt", str(home / "downloads" / "eurlex-4k"), "https://drive.google.com"):
        assert part in text


def test_where_as_json_says_what_lies_where(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home / "downloads" / "wiki10-31k" / "train.txt", 5)
    put(tmp_path / "mirror" / "wiki10-31k" / "test.txt", 7)
    monkeypatch.setenv("XMCBENCH_MIRROR", str(tmp_path / "mirror"))
    said = json.loads(run("where", "wiki10-31k", "--json").stdout)
    assert said["home"] == str(home)
    assert {f["file"]: (f["place"], f["size"]) for f in said["files"]} == {
        "Wiki10.bow.zip": ("missing", None),
        "train.txt": ("downloads", 5),
        "test.txt": ("mirror", 7),
    }


@pytest.mark.parametrize("name", ["amazon-3m", "wikipedia-500k", "lf-amazontitles-1.3m", "wiki10-31k"])
def test_a_large_entry_says_that_hashes_are_recorded_at_first_download(name: str) -> None:
    for verb in ("where", "verify"):
        result = run(verb, name)
        assert result.exit_code == 0
        assert "recorded at" in result.stdout, verb


def test_verify_accepts_what_is_right() -> None:
    said = json.loads(run("verify", "icd10cm", "--json").stdout)
    assert said["ok"]
    assert [(f["place"], f["ok"], f["hash"]) for f in said["datasets"][0]["files"]] == [
        ("package", True, "sha256 as in the catalogue")
    ]


def test_verify_without_a_name_takes_all_that_is_here() -> None:
    names = [report["dataset"] for report in json.loads(run("verify", "--json").stdout)["datasets"]]
    assert names[:2] == ["icd10cm", "icd10cm-code"]
    assert "amazon-3m" not in names


def test_verify_finds_what_is_wrong(home: Path) -> None:
    put(home / "downloads" / "bibtex" / "train.txt", 10)
    result = run("verify", "bibtex")
    assert isinstance(result.exception, DataError)
    assert "expected sha256 b4ea0ea4" in str(result.exception)
    assert "WRONG" in result.stdout
    as_json = run("verify", "bibtex", "--json")
    assert as_json.exit_code == 4
    assert not json.loads(as_json.stdout)["ok"]


def test_verify_reads_again_what_was_changed_behind_its_back(home: Path) -> None:
    """Same size, same time of change: `fetch` trusts it, `verify` doesn't."""
    import os

    path = put(home / "downloads" / "wiki10-31k" / "train.txt", 10)
    put(home / "downloads" / "wiki10-31k" / "test.txt", 10)
    assert run("fetch", "wiki10-31k", "--offline").exit_code == 0
    before = path.stat()
    path.write_bytes(b"y" * 10)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "recorded at first download" in str(run("verify", "wiki10-31k").exception)


def test_clean_asks_and_says_how_much(home: Path) -> None:
    put(home / "parsed" / "wiki10-31k" / "bow-1" / "a.npy", 1000)
    kept = put(home / "downloads" / "wiki10-31k" / "train.txt", 500)
    refused = run("clean", "wiki10-31k", answer="n\n")
    assert isinstance(refused.exception, XmcError)
    assert "1,000 bytes?" in refused.stdout
    assert (home / "parsed" / "wiki10-31k").exists()
    assert "removed 1 folder, 1,000 bytes" in run("clean", "Wiki10", "--yes").stdout
    assert not (home / "parsed" / "wiki10-31k").exists()
    assert kept.exists()
    assert "500 bytes" in run("clean", "wiki10-31k", "--downloads", "--yes").stdout
    assert not kept.exists()
    assert run("clean").stdout == "nothing to remove\n"


def test_clean_of_everything_takes_what_encoders_keep(home: Path) -> None:
    put(home / "parsed" / "delicious" / "bow-1" / "a.npy", 10)
    kept = [put(home / kind / "abc" / "ids.npy", 10) for kind in ("tokens", "embeddings")]
    run("clean", "delicious", "--yes")
    assert all(path.exists() for path in kept)
    assert "removed 2 folders, 20 bytes" in run("clean", "--yes").stdout
    assert not any(path.exists() for path in kept)


def test_clean_leaves_other_data_sets_and_imports_alone(home: Path) -> None:
    other = put(home / "parsed" / "bibtex" / "bow-1" / "a.npy", 10)
    mine = put(home / "imported" / "mine" / "rows.npy", 10)
    ledger = put(home / "recorded-hashes.json", 2)
    put(home / "parsed" / "delicious" / "bow-1" / "a.npy", 10)
    run("clean", "delicious", "--yes", "--downloads")
    assert other.exists()
    assert not (home / "parsed" / "delicious").exists()
    run("clean", "--yes", "--downloads")
    assert not other.exists()
    assert mine.exists()
    assert ledger.exists()


def test_clean_leaves_what_a_process_uses(home: Path) -> None:
    used = [put(home / kind / "delicious" / "bow-1" / "a.npy", 10) for kind in ("parsed", "downloads")]
    used.append(put(home / "tokens" / "abc" / "ids.npy", 10))
    unused = put(home / "parsed" / "bibtex" / "bow-1" / "a.npy", 10)
    with using("delicious"):
        result = run("clean", "--yes", "--downloads")
    assert result.exit_code == 0
    assert f"{home / 'parsed' / 'delicious'} stays: delicious: in use by a process" in result.stdout
    assert f"{home / 'tokens'} stays: tokens and embeddings: in use by a process" in result.stdout
    assert "removed 1 folder, 10 bytes" in result.stdout
    assert all(path.exists() for path in used)
    assert not unused.exists()
    assert "removed 3 folders, 30 bytes" in run("clean", "--yes", "--downloads").stdout
    assert [path.name for path in home.iterdir() if list(path.iterdir())] == ["locks"]


def test_clean_leaves_a_loaded_data_set_until_it_is_freed(home: Path) -> None:
    data = load("synthetic[rows=20,test=5]", offline=True)
    assert "in use by a process" in run("clean", "--yes").stdout
    del data
    assert "removed 1 folder" in run("clean", "--yes").stdout


def test_nothing_is_removed_where_locks_are_missing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_locks(descriptor: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    kept = put(home / "parsed" / "bibtex" / "bow-1" / "a.npy", 10)
    monkeypatch.setattr(fcntl, "flock", without_locks)
    result = run("clean", "--yes")
    assert isinstance(result.exception, DataError)
    assert "its file system has no locks, so other processes might use it" in str(result.exception)
    assert kept.exists()


@pytest.mark.parametrize("name", ["../..", "/", "nobody"])
def test_clean_refuses_names_it_does_not_know(name: str, home: Path) -> None:
    kept = put(home / "parsed" / "bibtex" / "bow-1" / "a.npy", 10)
    assert isinstance(run("clean", name, "--yes").exception, UsageError)
    assert kept.exists()


def test_stats_stand_beside_what_is_expected(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_MIRROR", str(shared / "data"))
    said = json.loads(run("stats", "bibtex", "--offline", "--json").stdout)
    assert said["differs"] == []
    assert {key: said["counts"][key] for key in said["expected"]} == said["expected"]
    assert said["expected"]["n_labels"] == 159
    assert said["known_issues"]
    assert "counts as expected; parsed views are whole: bow" in run("verify", "bibtex").stdout


def test_verify_hashes_parsed_data_sets_and_parses_damaged_ones_again(home: Path, tmp_path: Path) -> None:
    """Also generated and imported ones, and although the list of verified files says that they are whole."""
    name, path = "synthetic[rows=10,test=5]", tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"text": f"fever {i}", "labels": [str(i % 2)]}) + "\n" for i in range(9)))
    assert CliRunner().invoke(data_app, ["import", "--name", "mine", "--texts", str(path)]).exit_code == 0
    expected = {one: load(one, offline=True).content_hash for one in (name, "mine")}
    assert "needs no files; counts as expected; parsed views are whole: bow" in run("verify", name).stdout
    for one in expected:
        (folder,) = (path for path in (home / "parsed" / one).iterdir() if path.is_dir())
        flip(folder / "train.labels.data.npy")
        meta = json.loads((folder / arrays.META).read_text())
        stamps = {name: stamp_of((folder / f"{name}.npy").stat()) for name in meta["arrays"]}
        (folder / arrays.VERIFIED).write_text(json.dumps({"meta": meta["check"], "files": stamps}))
    with pytest.warns(UserWarning, match="train.labels.data.npy: changed") as warned:
        said = json.loads(run("verify", "--json").stdout)
    assert len(warned) == 2
    assert said["ok"]
    counts = {report["dataset"]: report["counts"] for report in said["datasets"] if report["dataset"] in expected}
    assert counts.keys() == expected.keys()
    assert all(text.endswith("; parsed views are whole: bow") for text in counts.values())
    assert {one: load(one, offline=True, verify=True).content_hash for one in expected} == expected


def test_a_synthetic_data_set_of_any_size_is_made_not_fetched(home: Path) -> None:
    name = "synthetic[rows=10,test=5]"
    for verb, said in (("where", "it is generated"), ("fetch", "needs no files"), ("verify", "needs no files")):
        result = run(verb, name)
        assert result.exit_code == 0, result.output
        assert said in result.stdout, verb
    assert "parsed  no" in run("where", name).stdout
    assert run("stats", "synthetic[test=5,rows=10]").exit_code == 0
    assert f"parsed  yes, {home / 'parsed' / name}" in run("where", "Synthetic[test=5, rows=10]").stdout
    wrong = run("where", "synthetic[row=10]")
    assert isinstance(wrong.exception, UsageError)
    assert "Did you mean 'rows'" in str(wrong.exception)


def test_a_parse_whose_source_files_are_gone_is_said_to_need_them(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XMCBENCH_MIRROR", str(shared / "data"))
    assert run("stats", "bibtex", "--offline").exit_code == 0
    assert "parsed  yes, /" in run("where", "bibtex").stdout
    assert "By hand" not in run("where", "bibtex").stdout
    monkeypatch.delenv("XMCBENCH_MIRROR")
    assert "By hand" in run("where", "bibtex").stdout
    assert "its source files are missing, and loading needs them" in run("where", "bibtex").stdout
    said = json.loads(run("where", "bibtex", "--json").stdout)
    assert (said["parsed"]["bibtex"], said["complete"]["bibtex"]) == (True, False)
    assert run("verify", "bibtex").exit_code == 0
