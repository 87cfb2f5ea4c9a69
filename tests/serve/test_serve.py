"""The server: what clients get, what it refuses, and that neither damage nor load stops it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import xmcbench as xb

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")

from fastapi.testclient import TestClient  # noqa: E402

from tests.serve.server import WORDS, start  # noqa: E402
from xmcbench.serve.app import create_app  # noqa: E402
from xmcbench.serve.batching import Job, Predictor  # noqa: E402

client = httpx.Client(timeout=30)  # one for all: a new one loads certificates


def post(url: str, body: Any) -> Any:
    return client.post(f"{url}/predict", content=body if isinstance(body, bytes) else json.dumps(body))


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
        (b"", 422, "not JSON"),
        (b"{", 422, "not JSON"),
        (b"text=phone", 422, "not JSON"),
        (b'{"text": "a", "k"', 422, "not JSON"),
        (b"\xff\xfe", 422, "not JSON"),
        (b"[" * 1_000_000, 422, "expected object, got array"),
        (b'{"text": ' + b"[" * 1_000_000, 422, "text: expected str"),
        ([], 422, "expected object, got array"),
        ({}, 422, "give one of text, texts and features"),
        ({"text": "a", "texts": ["b"]}, 422, "give one of"),
        ({"text": 3}, 422, "text: expected str"),
        ({"text": "a\0b"}, 422, "a NUL character"),
        ({"texts": ["a", None]}, 422, r"texts\[1\]: expected str, got null"),
        ({"texts": ["a"] * 1001}, 422, "length <= 1000"),
        ({"text": "a", "k": 0}, 422, "k: "),
        ({"text": "a", "k": "3"}, 422, "k: expected int, got str"),
        ({"text": "a", "k": True}, 422, "k: expected int, got bool"),
        ({"text": "a", "k": 10**9}, 422, "k: "),
        ({"text": "a", "k": 10**400}, 422, "k: "),
        ({"text": "a", "top": 3}, 422, "unknown field top"),
        ({"text": "a", "above": "0.5"}, 422, "above: "),
        (b'{"text": "a", "above": 1e999}', 422, "above: "),
        ({"features": [{"999": 1}]}, 422, "no feature 999"),
        ({"features": [{"-1": 1}]}, 422, "no feature -1"),
        ({"features": [{str(1 << 70): 1}]}, 422, "no feature 1180591620717411303424"),
        ({"features": [{"x": 1}]}, 422, r"key in features\[0\]: expected int"),
        ({"features": [{"0": "x"}]}, 422, r"features\[0\]"),
        ({"features": [{"0": 1e300}]}, 422, "NaN or infinite"),
        (b'{"features": [{"0": NaN}]}', 422, "not JSON"),
        (b'{"text": "\\ud800 and so on"}', 422, "surrogate"),
        (b'{"text": "' + b"a" * (1 << 24) + b'"}', 413, "at most"),
    ],
)
def test_what_is_refused(url: str, body: Any, status: int, error: str) -> None:
    answer = post(url, body)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "hint"}
    assert re.search(error, answer.json()["error"]), answer.text
    assert client.get(f"{url}/health").json() == {"status": "ok"}


def test_a_body_without_a_declared_length_is_read_no_further_than_the_limit(url: str) -> None:
    chunks = (b"a" * (1 << 20) for _ in range(17))
    answer = client.post(f"{url}/predict", content=chunks)
    assert answer.status_code == 413
    whole = client.post(f"{url}/predict", content=iter([b'{"text": "a ', b'phone", "k": 1}']))
    assert whole.json()["rows"][0]["labels"][0]["name"] == "phone"


def test_a_million_faults_cost_no_more_than_the_first(url: str) -> None:
    body = '{"features": [{' + ", ".join(f'"a{i}": 1' for i in range(700_000)) + "}]}"
    started = time.monotonic()
    assert post(url, body.encode()).status_code == 422
    assert time.monotonic() - started < 5  # pydantic, which lists all faults, takes ten times as long


@pytest.mark.parametrize("text", ["", "zzz", "phone " * 1_700_000, "日本", "\x1b[31m", "\u202e"])
def test_any_other_text_is_answered(url: str, text: str) -> None:
    assert len(post(url, {"text": text, "k": 1000}).json()["rows"][0]["labels"]) == len(WORDS)  # all that there are


def test_clients_that_leave_and_bodies_that_end_early(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    for raw in (
        head,
        head + b"content-length: 100\r\n\r\n{",
        head + b'content-length: 13\r\n\r\n{"text": "a"}',
        head + b"transfer-encoding: chunked\r\n\r\n5\r\n{",
        head + b"content-length: -5\r\n\r\n{}",
        head + b"content-length: 99999999999999999999\r\n\r\n{}",
        b"\x16\x03\x01nonsense",
        b"GET /health HTTP/1.1\r\nx: " + b"a" * 100_000 + b"\r\n\r\n",
    ):
        with socket.create_connection((host, int(port))) as one:
            one.sendall(raw)
    assert client.get(f"{url}/health").status_code == 200


def test_paths_and_methods_that_there_are_not(url: str) -> None:
    for method, path, status in (("GET", "/nosuch", 404), ("GET", "/predict", 405), ("PUT", "/", 405)):
        answer = client.request(method, url + path)
        assert answer.status_code == status
        assert answer.json()["error"].startswith(f"{method} {path}: ")


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


@pytest.mark.parametrize("ending", [SystemExit(3), MemoryError("too large")])
def test_a_method_that_fails_takes_nothing_with_it(model: Path, ending: BaseException) -> None:
    class Failing:
        card, reads_texts = xb.load_model(model).card, True

        def predict(self, texts: list[str], **_: object) -> None:
            raise ending

    app = create_app(Failing())  # type: ignore[arg-type]
    with TestClient(app, raise_server_exceptions=False) as failing:
        for _ in range(2):
            answer = failing.post("/predict", json={"text": "a"})
            assert answer.status_code == 500
            assert "the model failed" in answer.json()["error"]
        assert failing.get("/health").status_code == 200


def test_the_pages_are_whole_and_escaped(url: str) -> None:
    form = client.post(url, data={"text": "mail <script>", "k": "1"})
    assert "&lt;b&gt;mail&lt;/b&gt;" in form.text
    assert "<script>" not in form.text
    docs = client.get(f"{url}/docs").text
    assert "POST /predict" in docs
    assert "http" not in re.sub(r"http://127\.0\.0\.1", "", docs)  # nothing from other hosts
    described = client.get(f"{url}/openapi.json").json()
    assert described["paths"].keys() == {"/predict", "/health", "/model"}
    assert described["components"]["schemas"]["PredictRequest"]["properties"]["k"]["maximum"] == 1000
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(described)))
    assert used == described["components"]["schemas"].keys()
    assert client.get(f"{url}/model").json()["method"]["name"] == "tree"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"text": "a", "k": "x"}, "number of labels is &#39;x&#39;"),
        ({"text": "a", "k": "0"}, "Give 1 to 1000"),
        ({"text": "a", "k": "²"}, "Give 1 to 1000"),
        ({"k": "3"}, "no field text"),
        ({"text": "a\0"}, "NUL"),
        ({"text": "a" * (1 << 20)}, "more than 1,048,576 bytes"),
        ({str(i): "" for i in range(11)}, "can&#39;t be read"),
    ],
)
def test_the_form_says_what_is_wrong(url: str, fields: dict[str, str], problem: str) -> None:
    answer = client.post(url, data=fields)
    assert answer.status_code == 422
    assert problem in answer.text


def test_a_killed_server_starts_again_at_its_port(model: Path) -> None:
    process, url = start(model)
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as one:
        one.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{")
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    process, again = start(model, url.rpartition(":")[2])
    assert again == url
    assert post(url, {"text": "a phone"}).status_code == 200
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143


def test_a_port_that_is_taken(url: str, model: Path) -> None:
    command = [sys.executable, "-m", "xmcbench", "serve", str(model), "--port", url.rpartition(":")[2]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "can't listen on 127.0.0.1" in done.stderr
