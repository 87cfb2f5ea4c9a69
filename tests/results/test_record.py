"""Records keep what they say, and what breaks an identity is never written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.minimal import minimal
from xmcbench.errors import DataError
from xmcbench.results import record as records


def record(**changes: Any) -> dict[str, Any]:
    """Of schema 1, which has no seal: what is written is what reads back."""
    metrics = [{"name": name, "value": 0.5, "best": 1.0, "version": 1} for name in ("P@1", "nDCG@1")]
    return minimal(**{"schema": 1, "metrics": metrics, **changes})


def metric(name: str, value: float | None, **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "version": 1, **more}


def tuning(score: float | None, **chosen: Any) -> dict[str, Any]:
    return {"grid": {n: [v] for n, v in chosen.items()}, "trials": [{"parameters": {}, "score": score, "reason": None}]}


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    records.write(tmp_path / "r.json", record())
    assert records.read(tmp_path / "r.json") == record()
    assert records.metric(record(), "P@1") == 0.5
    assert records.metric(record(), "P@3") is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": [metric("P@1", 0.5), metric("nDCG@1", 0.4)]}, "P@1"),
        ({"metrics": [metric("P@1", 1.5)]}, "P@1"),
        ({"metrics": [metric("R@10", 0.5), metric("R@100", 0.4)]}, "R@100"),
        ({"metrics": [metric("P@1", 0.5), metric("P@1", 0.9)]}, "'P@1' stands twice"),
        ({"metrics": [metric("Wonder@5", 0.5)]}, "unknown metric 'Wonder'"),
        ({"metrics": [metric("p@1", 0.5)]}, "metric 'p@1' is written 'P@1'"),
        ({"metrics": [metric("P@1", 0.5, best=0.4)]}, "above the best reachable 0.4"),
        ({"metrics": [metric("P@1", 0.5, low=0.51, high=0.6)]}, "P@1 = 0.5 is outside of its interval, 0.51 to 0.6"),
        ({"metrics": [metric("P@1", 0.5, low=0.4, high=0.49)]}, "outside of its interval"),
        ({"metrics": [metric("P@1", 0.5, low=0.5000001, high=0.4999999)]}, "outside of its interval"),
        ({"metrics": []}, "no metrics"),
        ({"status": "fine"}, "none of ok"),
        ({"board": {"file": "b", "sha256": "0", "data": "d", "data_sha256": "0"}}, "schema 1 has no board"),
        ({"seal": "0"}, "schema 1 has no seal"),
        ({"selection": {"rows": 9, "tuning": tuning(0.5, cost=1.0)}}, "no score of the parameters that were chosen"),
        ({"selection": {"rows": 9, "tuning": tuning(None)}}, "no score of the parameters that were chosen"),
        ({"selection": {"tuning": tuning(0.5)}}, "selection.rows is null"),
    ],
)
def test_a_record_that_breaks_an_identity_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        records.write(tmp_path / "r.json", record(**changes))
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not a readable record"),
        ("[]", "no schema"),
        ('{"schema": 99}', "schema 99"),
        ('{"schema": 1, "run_id": "r"}', "is missing"),
    ],
)
def test_damaged_and_newer_files_say_what_they_are(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(DataError, match=said):
        records.read(tmp_path / "r.json")


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nan is no finite number"):
        records.write(tmp_path / "r.json", record(notes={"x": [float("nan")]}))
    assert list(tmp_path.iterdir()) == []
    assert json.dumps(record())


def test_a_rounding_beside_an_interval_and_what_has_none_are_fine() -> None:
    entries = [metric("P@1", 0.3, low=0.30000001, high=0.30000001), metric("P@5", None, low=0.1, high=0.2)]
    tuned = {"rows": 9, "tuning": tuning(0.5)}
    records.check(record(metrics=[*entries, metric("R@10", 0.3, low=None, high=None)], selection=tuned))


def test_a_record_changed_by_hand_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    records.write(path, record(schema=2, notes={9: "int for a key", 10: (1, 2)}, seal=None))
    assert records.read(path)["notes"] == {"9": "int for a key", "10": [1, 2]}
    text = path.read_text()
    path.write_text(text.replace('"run_id": "r"', '"run_id": "s"'))
    with pytest.raises(DataError, match="changed after it was written"):
        records.read(path)
    path.write_text(text.replace("0.5", "0.6"))
    with pytest.raises(DataError, match="seal"):
        records.read(path)
    path.write_text(json.dumps(json.loads(text)))  # other spaces are no change
    assert records.read(path)["run_id"] == "r"


@pytest.mark.parametrize("schema", ["0", "-1", "true", '"2"', "null"])
def test_a_schema_that_is_none_is_refused(tmp_path: Path, schema: str) -> None:
    (tmp_path / "r.json").write_text('{"schema": ' + schema + "}")
    with pytest.raises(DataError, match="no schema"):
        records.read(tmp_path / "r.json")
