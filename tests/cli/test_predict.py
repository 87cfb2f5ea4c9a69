"""`xmcbench predict`: labels of new texts, from files and pipes to files and pipes, and what it refuses."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

import xmcbench as xb
from xmcbench.cli.app import app
from xmcbench.data import load
from xmcbench.data.importing import Plan, import_files
from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import SplitFiles
from xmcbench.records.store import Store
from xmcbench.runs import registry

WORDS = ["kidney", "heart", "lung", "skin", "eye", "acute", "chronic", "left", "right", "pain"]
HELD = "import sys, time; [print(w, flush=True) for w in ['heart pain'] * 20000]; time.sleep(60)"


class World(NamedTuple):
    home: Path
    results: Path
    model: str  # reads texts
    numbers: str  # reads features alone
    texts: list[str]  # of the test rows
    ids: list[str]
    found: list[list[tuple[int, float]]]  # 3 predictions of the run for each test row


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("predict")
    rng = np.random.default_rng(0)
    rows = [" ".join(rng.choice(WORDS, 4)) for _ in range(200)]
    table = "id,text,labels\n" + "".join(
        f"r{i},{text},{';'.join(set(text.split()[:2]))}\n" for i, text in enumerate(rows)
    )
    (folder / "rows.csv").write_text(table)
    sp.save_npz(folder / "x.npz", sp.random(60, 12, 0.4, "csr", np.float32, random_state=rng))
    sp.save_npz(folder / "y.npz", sp.csr_matrix(np.eye(6, dtype=np.float32)[np.arange(60) % 6]))
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.getbasetemp() / "home"
        patch.setenv("XMCBENCH_HOME", str(home))
        import_files("organs", Plan(SplitFiles(folder / "rows.csv"), reading=Reading(separator=";")))
        import_files("numbers", Plan(SplitFiles(None, folder / "y.npz", folder / "x.npz")))
        results = folder / "results"
        options: dict[str, Any] = {"results": results, "keep_models": True, "progress": False}
        [record] = xb.run("tree", dataset="organs", **options).records
        [other] = xb.run("popularity", dataset="numbers", **options).records
        test = load("organs").test
        assert test.texts is not None
        assert test.ids is not None
        topk = Store(results).predictions(record).cut(3)
        pairs = [list(zip(i.tolist(), s.tolist(), strict=True)) for i, s in zip(topk.ids, topk.scores, strict=True)]
        model, numbers = (str(Store(results).model(one.run_id)) for one in (record, other))
        yield World(home, results, model, numbers, list(test.texts), list(test.ids), pairs)


def invoke(*words: object, input: str | bytes | None = None) -> Any:
    return CliRunner().invoke(app, ["predict", *map(str, words)], input=input)


def process(*words: object, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "xmcbench", "predict", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, **options)


def rows_of(output: str) -> list[Any]:
    return [json.loads(line) for line in output.splitlines()]


def refused(*words: object, input: str | bytes | None = None) -> str:
    result = invoke(*words, input=input)
    assert isinstance(result.exception, xb.XmcError), result.output
    return str(result.exception)


def labels(rows: list[Any]) -> list[list[tuple[int, float]]]:
    return [[(one["label"], float(np.float32(one["score"]))) for one in row["labels"]] for row in rows]


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "jsonl", "jsonl.gz"])
def test_test_rows_get_the_labels_of_the_run_to_the_bit(world: World, tmp_path: Path, kind: str) -> None:
    mark = {"csv": ",", "tsv": "\t"}.get(kind, "")
    pairs = list(zip(world.ids, world.texts, strict=True))
    if mark:
        lines = [mark.join(("ID", "text")), *(mark.join(pair) for pair in pairs)]
    else:
        lines = [json.dumps({"id": i, "text": t}) for i, t in pairs] if kind != "txt" else world.texts
    path, out = tmp_path / f"new.{kind}", tmp_path / "out.jsonl"
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    result = invoke(world.model, "--texts", path, "--to", out, "--top", 3)
    assert result.exit_code == 0, result.exception
    rows = rows_of(out.read_text())
    assert labels(rows) == world.found
    assert [row["id"] for row in rows] == (list(range(len(pairs))) if kind == "txt" else world.ids)


def test_a_pipe_is_read_once_and_ids_come_from_the_named_column(world: World) -> None:
    content = "nr;body;other\n" + "".join(f"{i};{t};x\n" for i, t in zip(world.ids, world.texts, strict=True))
    words = ("--texts", "-", "--texts-format", "csv", "--text-column", "body", "--id-column", "nr", "--top", "3")
    with process(world.model, *words, stdin=subprocess.PIPE, env={**os.environ, "XMCBENCH_HOME": str(world.home)}) as p:
        out, said = p.communicate(content.encode(), timeout=60)
    assert p.returncode == 0, said
    rows = rows_of(out.decode())
    assert labels(rows) == world.found
    assert [row["id"] for row in rows] == world.ids


def test_batches_change_nothing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new.txt"
    path.write_text("\n".join(world.texts))
    monkeypatch.setattr("xmcbench.data.text_stream.ROWS", 7)
    rows = rows_of(invoke(world.model, "--texts", path, "--top", 3).stdout)
    assert labels(rows) == world.found
    assert [row["id"] for row in rows] == list(range(len(world.texts)))


def test_csv_has_a_line_per_label_and_one_for_a_row_without(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = registry.get("tree")
    with monkeypatch.context() as patch:
        patch.setattr(tree, "info", replace(tree.info, comparable=False))
        assert "no threshold has a meaning" in refused(world.model, "--text", "a", "--above", 0.5)
    path, out = tmp_path / "new.jsonl", tmp_path / "out.csv"
    path.write_text('{"id": "=1+1", "text": "kidney heart"}\n{"id": 7, "text": ""}\n')
    result = invoke(world.model, "--texts", path, "--to", out, "--top", 2, "--above", 0.5)
    assert result.exit_code == 0, result.exception
    first, *rows = list(csv.reader(out.open(newline="")))
    assert first == ["id", "rank", "label", "name", "score"]
    assert {row[0] for row in rows} == {"'=1+1", "7"}
    assert {row[3] for row in rows if row[0] != "7"} <= {"kidney", "heart"}
    assert rows[-1] == ["7", "", "", "", ""]
    assert "empty texts: 1 of 2" in result.stderr
    assert "note: without a label: 1 of 2 rows" in result.stderr


def test_several_texts_and_a_method_by_its_name(world: World) -> None:
    words = ("tree", "--results", world.results, "--dataset", "organs", "--top", 99)
    result = invoke(*words, "--text", "skin eye", "--text", "zzz")
    rows = rows_of(result.stdout)
    assert {one["name"] for one in rows[0]["labels"][:2]} == {"skin", "eye"}
    assert [len(row["labels"]) for row in rows] == [10, 10]  # all labels there are
    assert "without a known word or feature: 1 of 2 rows" in result.stderr


def test_features_npz_npy_and_text(world: World, tmp_path: Path) -> None:
    matrix = sp.random(5, 12, 0.5, "csr", np.float32, random_state=np.random.default_rng(1))
    sp.save_npz(tmp_path / "x.npz", matrix)
    np.save(tmp_path / "x.npy", matrix.toarray())
    lines = [" ".join(f"{i}:{v}" for i, v in zip(row.indices, row.data, strict=True)) for row in matrix]
    (tmp_path / "x.txt").write_text("5 12\n" + "\n".join(lines) + "\n")
    outputs = {invoke(world.numbers, "--features", tmp_path / f"x.{kind}").stdout for kind in ("npz", "npy", "txt")}
    assert len(outputs) == 1
    assert [row["id"] for row in rows_of(outputs.pop())] == [0, 1, 2, 3, 4]
    sp.save_npz(tmp_path / "wide.npz", sp.csr_matrix((2, 13), dtype=np.float32))
    assert "rows of 13 features; the model was fitted on 12" in refused(
        world.numbers, "--features", tmp_path / "wide.npz"
    )


def test_a_model_says_which_input_it_needs(world: World, tmp_path: Path) -> None:
    assert "this model reads features, not texts" in refused(world.numbers, "--text", "x")
    assert "nothing to predict" in refused(world.model)
    assert "--text and --features are given" in refused(world.model, "--text", "a", "--features", "x.npz")
    assert "no such folder" in refused("./missing", "--text", "a")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"id,body\n1,x\n", "line 2: no 'text' among 'id', 'body'"),
        ("a.xlsx", b"PK\x03\x04" + bytes(60), "a damaged zip archive"),
        ("a.txt", b"", "the file is empty"),
        ("a.csv", b"id,text\n", "the file has no rows"),
        ("a.txt", b"good\nb\xffd\n", "line 2: byte 0xff at column 2 is not utf-8"),
        ("a.txt", b"good\nb\0d\n", "line 2, column 2: a NUL byte"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\\ud800"}\n', "line 2: text: half of a surrogate pair"),
        ("a.jsonl", b'{"text": "a"}\n{"text": 3}\n', "line 2: text: expected a text, found 3"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2"),
        ("a.txt", b'{"text": "a"}\n', "a JSON object in a file of plain lines"),
        ("a.csv", b"id,text\n1,a\n2,b,c\n", "line 3"),
    ],
)
def test_a_bad_file_is_named_with_its_line_and_leaves_no_output(
    world: World, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    said = refused(world.model, "--texts", tmp_path / name, "--to", tmp_path / "out.csv")
    assert str(tmp_path / name) in said
    assert re.search(message, said), said
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_options_that_do_not_fit(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("kidney\n")
    texts = (world.model, "--texts", path)
    assert "--id-column is for tables" in refused(*texts, "--id-column", "nr")
    assert "--delimiter is used by none" in refused(*texts, "--delimiter", "comma")
    assert "format of texts" in refused(*texts, "--texts-format", "xml")
    assert "no format is known by this name" in refused(*texts, "--to", tmp_path / "out.xml")
    assert "say different forms" in refused(*texts, "--to", tmp_path / "out.csv", "--format", "tsv")
    assert "is the file that is read" in refused(*texts, "--to", path, "--format", "csv")
    assert "is a folder" in refused(*texts, "--to", tmp_path, "--format", "csv")
    assert path.read_text() == "kidney\n"


def test_a_full_disk_and_a_folder_that_is_a_file(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refused(world.model, "--text", "a", "--to", tmp_path / "file" / "out.csv")
    assert "can't" in said or "cannot" in said
    env = {**os.environ, "XMCBENCH_HOME": str(world.home)}
    with open("/dev/full", "wb") as full:
        words = [sys.executable, "-m", "xmcbench", "predict", world.model, "--text", "a"]
        result = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, env=env, timeout=60)
    assert result.returncode == 1
    assert b"No space left" in result.stderr


def test_a_long_text_is_one_row(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("kidney " * 1_500_000 + "\nheart\n")
    assert [row["id"] for row in rows_of(invoke(world.model, "--texts", path).stdout)] == [0, 1]


def test_a_closed_pipe_ends_quietly_and_ctrl_c_leaves_whole_lines(world: World, tmp_path: Path) -> None:
    env = {**os.environ, "XMCBENCH_HOME": str(world.home)}
    source = [subprocess.Popen([sys.executable, "-c", HELD], stdout=subprocess.PIPE) for _ in range(3)]
    try:
        closed = process(world.model, "--texts", "-", stdin=source[0].stdout, env=env)
        stopped = process(world.model, "--texts", "-", stdin=source[1].stdout, env=env)
        to_file = process(world.model, "--texts", "-", "--to", tmp_path / "o.csv", stdin=source[2].stdout, env=env)
        assert closed.stdout is not None
        assert stopped.stdout is not None
        assert json.loads(closed.stdout.readline())["id"] == 0
        closed.stdout.close()
        first = stopped.stdout.readline()
        while not list(tmp_path.iterdir()):
            time.sleep(0.05)
        for running in (stopped, to_file):
            running.send_signal(signal.SIGINT)
        rest, said = stopped.communicate(timeout=30)
        assert len(rows_of((first + rest).decode())) > 0
        assert stopped.returncode == 130
        assert b"interrupted" in said
        to_file.communicate(timeout=30)
        assert to_file.returncode == 130
        assert list(tmp_path.iterdir()) == []
        source[0].kill()
        assert closed.stderr is not None
        assert b"error" not in closed.stderr.read()
        assert closed.wait(30) == 0
    finally:
        for one in source:
            one.kill()
            one.wait()


@pytest.fixture
def titled(world: World, tmp_path: Path) -> Path:
    """A results folder with a model whose texts were the columns title and body of a table."""
    lines = [f"{i},{word} {i},{WORDS[-1 - j]},{word}" for i in range(12) for j, word in enumerate(WORDS[:3])]
    (tmp_path / "titled.csv").write_text("\n".join(["id,title,body,labels", *lines]) + "\n")
    columns = {"text_column": "title,body", "replace": True}
    xb.import_data("titled", tmp_path / "titled.csv", **columns)
    xb.run("tree", dataset="titled", results=tmp_path / "r", keep_models=True, progress=False)
    return tmp_path / "r"


def test_new_tables_are_read_as_those_of_the_import(titled: Path, tmp_path: Path) -> None:
    """Without its title, a document would get other labels, and nothing would say so."""
    (tmp_path / "new.csv").write_text("id,title,body,text\na,heart 1,pain,lung\n")
    words = ["tree", "--results", titled, "--texts", tmp_path / "new.csv"]
    done = invoke(*words, "--format", "jsonl")
    joined = xb.results(titled)["tree"].model().predict(["heart 1 pain"])
    assert labels(rows_of(done.stdout)) == [[(one.id, pytest.approx(one.score)) for one in joined[0]]]
    assert done.stderr.startswith("texts are read from title,body")
    assert "from `title,body` (joined with a space)" in next(titled.glob("models/*tree*/README.md")).read_text()
    other = invoke(*words, "--text-column", "text", "--format", "jsonl")
    assert (other.stdout != done.stdout, other.stderr) == (True, "")
    (tmp_path / "new.csv").write_text("text\nlung\n")
    assert "no 'title' among 'text'\n  Give --text-column" in refused(*words)
    (tmp_path / "new.txt").write_text("heart\n")
    assert invoke(*words[:-1], tmp_path / "new.txt").exit_code == 0  # lines have no columns


def test_a_model_of_an_earlier_import_says_so(titled: Path, tmp_path: Path) -> None:
    words = ["tree", "--results", titled, "--text", "heart"]
    assert "note" not in invoke(*words).stderr
    (tmp_path / "other.csv").write_text("title,body,labels\n" + "".join(f"a{i},b,x\n" for i in range(20)))
    xb.import_data("titled", tmp_path / "other.csv", text_column="title,body", replace=True)
    said = invoke(*words).stderr
    assert re.match(r"note: the model is of revision \w+ of titled, which is now \w+: `xmcbench run 'tree'", said)
    folder = next(titled.glob("models/*tree*"))
    assert "note" not in invoke(folder, "--text", "heart").stderr
