"""The server: what clients get, what it refuses, and that neither damage nor load stops it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import xmcbench as xb
from xmcbench.serve.batching import Job, Predictor

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
WORDS = ("phone", "<b>mail</b>", "slow", "cable")


def start(model: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "xmcbench", "serve", str(model), "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found, line + process.stderr.read()
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return process, found[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("serve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        rows = [{"text": f"ticket {i} {w}", "labels": [w]} for i in range(20) for w in WORDS]
        (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        xb.import_data("tickets", folder / "t.jsonl")
        run = xb.run("tree", dataset="tickets", results=folder / "r", keep_models=True, progress=False)[0]
        yield folder / "r" / "models" / run.records[0].run_id


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    process, url = start(model)
    yield url
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def post(url: str, body: Any) -> Any:
    return httpx.post(f"{url}/predict", content=body if isinstance(body, bytes) else json.dumps(body), timeout=30)


def test_answers_are_what_the_model_predicts(url: str, model: Path) -> None:
    texts = ["a phone", "my mail is slow", "", "zzz"]
    expected = xb.load_model(model).predict(texts, k=2)
    rows = post(url, {"texts": texts, "k": 2}).json()["rows"]
    assert [[(one["label"], one["name"]) for one in row["labels"]] for row in rows] == [
        [(one.id, one.name) for one in row] for row in expected
    ]
    assert rows[0]["labels"][0]["score"] == pytest.approx(expected[0][0].score, rel=1e-9)
    assert post(url, {"text": "a phone", "k": 2}).json()["rows"] == rows[:1]


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "application/json"])
def test_json_is_read_whatever_its_content_type(url: str, content_type: str) -> None:
    """curl -d, as on the pages, says that the body is a form."""
    headers = {"content-type": content_type}
    answer = httpx.post(f"{url}/predict", content=b'{"text": "a phone", "k": 1}', headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["rows"][0]["labels"][0]["name"]) == (200, "phone")


def test_unknown_paths_name_those_that_there_are(url: str) -> None:
    for answer, status in ((httpx.get(f"{url}/predict"), 405), (httpx.post(f"{url}/explain"), 404)):
        assert (answer.status_code, "POST /predict" in answer.json()["hint"]) == (status, True)


def test_features_and_thresholds(url: str) -> None:
    rows = post(url, {"features": [{"0": 1.0}, {}], "k": 1}).json()["rows"]
    assert len(rows) == 2
    assert post(url, {"text": "a phone", "above": 2.0}).json() == {"rows": [{"labels": []}]}


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 422, "Field required|valid"),
        (b"{", 422, "JSON decode error"),
        (b"\xff\xfe", 422, ""),
        ([], 422, "valid dictionary"),
        ({}, 422, "give one of text, texts and features"),
        ({"text": "a", "texts": ["b"]}, 422, "give one of"),
        ({"text": 3}, 422, "text: Input should be a valid string"),
        ({"texts": ["a", None]}, 422, r"texts\.1"),
        ({"texts": ["a"] * 1001}, 422, "at most 1000"),
        ({"text": "a", "k": 0}, 422, "k: "),
        ({"text": "a", "k": 10**9}, 422, "k: "),
        ({"text": "a", "top": 3}, 422, "top: Extra inputs"),
        ({"features": [{"999": 1}]}, 422, "no feature 999"),
        ({"features": [{"-1": 1}]}, 422, "no feature -1"),
        ({"features": [{"x": 1}]}, 422, r"features\.0\.x"),
        (b'{"features": [{"0": NaN}]}', 422, ""),
        (b'{"text": "' + b"a" * (1 << 24) + b'"}', 413, "at most"),
    ],
)
def test_what_is_refused(url: str, body: Any, status: int, error: str) -> None:
    answer = post(url, body)
    assert answer.status_code == status, answer.text
    assert re.search(error, answer.json()["error"]), answer.text
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}


@pytest.mark.parametrize("text", ["\0", "\ud800", "a" * 1_000_000, "日本"])
def test_any_text_is_answered_or_refused(url: str, text: str) -> None:
    assert post(url, {"text": text}).status_code in (200, 422)


def test_clients_that_leave_and_bodies_that_end_early(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    for raw in (
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{",
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 13\r\n\r\n"
        + b'{"text": "a"}',
        b"\x16\x03\x01nonsense",
    ):
        with socket.create_connection((host, int(port))) as client:
            client.sendall(raw)
    assert httpx.get(f"{url}/health").status_code == 200


def test_many_clients_at_once(url: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: post(url, {"text": f"{WORDS[i % 4]} {i}", "k": 1 + i % 3}), range(200)))
    assert all(answer.status_code == 200 for answer in answers)
    assert all(len(answer.json()["rows"][0]["labels"]) == 1 + i % 3 for i, answer in enumerate(answers))
    assert [answers[i].json()["rows"][0]["labels"][0]["name"] for i in range(4)] == list(WORDS)


def test_jobs_that_are_predicted_together_get_what_each_gets_alone(model: Path) -> None:
    loaded = xb.load_model(model)
    predictor = Predictor(loaded)
    jobs = [Job(k, above, texts=[f"{word} {k}"]) for k in (1, 2, 4, 500) for word in WORDS for above in (None, 0.5)]
    for job in jobs:
        predictor.submit(job)
    predictor.close()
    for job in jobs:
        alone = loaded.predict(job.texts, k=job.k, above=job.above)
        assert job.done.result(0) == list(alone)


def test_the_pages_are_whole_and_escaped(url: str) -> None:
    form = httpx.post(url, data={"text": "mail <script>", "k": "1"})
    assert "&lt;b&gt;mail&lt;/b&gt;" in form.text
    assert "<script>" not in form.text
    docs = httpx.get(f"{url}/docs").text
    assert "POST /predict" in docs
    assert "http" not in re.sub(r"http://127\.0\.0\.1", "", docs)  # nothing from other hosts
    assert httpx.get(f"{url}/openapi.json").json()["paths"].keys() == {"/predict", "/health", "/model"}
    assert httpx.get(f"{url}/model").json()["method"]["name"] == "tree"


def test_a_killed_server_starts_again(model: Path) -> None:
    process, url = start(model)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    process, url = start(model)
    assert post(url, {"text": "a phone"}).status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


def test_a_port_that_is_taken(url: str, model: Path) -> None:
    command = [sys.executable, "-m", "xmcbench", "serve", str(model), "--port", url.rpartition(":")[2]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "can't listen on 127.0.0.1" in done.stderr
