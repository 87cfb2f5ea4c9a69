"""Records keep what they say, and what breaks an identity is never written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xmcbench.errors import DataError
from xmcbench.results import record as records


def record(**changes: Any) -> dict[str, Any]:
    metrics = [{"name": name, "value": 0.5, "best": 1.0, "version": "1"} for name in ("P@1", "nDCG@1")]
    empty: dict[str, Any] = dict.fromkeys(records.FIELDS)
    objects: dict[str, Any] = {name: {} for name in ("dataset", "costs", "environment", "selection", "notes")}
    method = {"name": "m", "label": "m"}
    some = {"schema": 1, "run_id": "r", "status": "ok", "metrics": metrics, "method": method}
    return {**empty, **objects, **some, **changes}


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    records.write(tmp_path / "r.json", record())
    assert records.read(tmp_path / "r.json") == record()
    assert records.metric(record(), "P@1") == 0.5
    assert records.metric(record(), "P@3") is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": [{"name": "P@1", "value": 0.5}, {"name": "nDCG@1", "value": 0.4}]}, "P@1"),
        ({"metrics": [{"name": "P@1", "value": 1.5}]}, "P@1"),
        ({"metrics": [{"name": "R@10", "value": 0.5}, {"name": "R@100", "value": 0.4}]}, "R@100"),
        ({"metrics": [{"name": "P@1", "value": 0.5}, {"name": "P@1", "value": 0.9}]}, "'P@1' stands twice"),
        ({"metrics": [{"name": "Wonder@5", "value": 0.5}]}, "unknown metric 'Wonder'"),
        ({"metrics": [{"name": "P@1"}]}, "not a list of name and value"),
        ({"metrics": [{"name": "P@1", "value": "0.5"}]}, "not a list of name and value"),
        ({"metrics": []}, "no metrics"),
        ({"metrics": "P@1"}, "not a list"),
        ({"status": "fine"}, "none of ok"),
        ({"method": None}, "method is no object"),
        ({"costs": []}, "costs is no object"),
        ({"method": {"name": "m"}}, "method has no label"),
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
    with pytest.raises(ValueError, match="JSON"):
        records.write(tmp_path / "r.json", record(notes={"x": float("nan")}))
    assert list(tmp_path.iterdir()) == []
    assert json.dumps(record())


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
