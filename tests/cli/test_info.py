from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.cli.info import as_text
from xmcbench.data.catalogue import catalogue
from xmcbench.errors import UsageError
from xmcbench.metrics import describe
from xmcbench.runs import registry


def facts(name: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["info", name, "--json"])
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def text(name: str) -> str:
    result = CliRunner().invoke(app, ["info", name])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_method_with_every_parameter_its_default_and_its_source() -> None:
    (found,) = facts("tree")
    info = registry.get("tree").info
    assert found["method"] == "tree"
    assert found["family"] == "tree"
    assert [p["name"] for p in found["parameters"]] == list(info.parameters.__dataclass_fields__)
    said = text("tree")
    for parameter in found["parameters"]:
        assert parameter["doc"]
        assert parameter["source"]
        assert f"  {parameter['name']} = {parameter['default']}\n" in said
    query = info.query_parameters()
    assert query
    for name, values in query.items():
        assert next(p for p in found["parameters"] if p["name"] == name)["query_values"] == list(values)
    assert next(p for p in found["parameters"] if p["name"] == "cost")["tune_values"] == [0.3, 1.0, 3.0]
    assert "--tune selects from: 0.3, 1.0, 3.0." in " ".join(said.split())


def test_a_method_in_a_file(tmp_path: Any) -> None:
    from xmcbench.cli.new import write_skeleton

    write_skeleton("demo", tmp_path / "demo")
    assert "popularity = 0.0" in text(f"{tmp_path}/demo/src/xmcbench_demo/__init__.py:Demo")


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_every_data_set_has_licence_citation_line_and_counts(name: str) -> None:
    (found,) = [one for one in facts(name) if "dataset" in one]
    assert found["licence"]
    assert found["expected"] == dict(catalogue()[name].expected)
    assert "licence:" in text(name)


def test_counts_propensities_and_presets_are_shown_as_text() -> None:
    lines = [line.split() for line in text("icd10cm").splitlines()]
    assert ["n_labels", "46881"] in lines
    assert ["A", "0.55"] in lines
    said = as_text({"method": "a", "presets": {"small": {"trees": 1, "beam": 2}, "usual": {}}})
    assert said.endswith("presets, as in name[preset=…]:\n  small  trees=1, beam=2\n  usual  the defaults")


def test_aliases_and_case_do_not_matter() -> None:
    assert facts("EURLex4K")[0]["dataset"] == "eurlex-4k"


def test_two_sets_of_one_name_are_told_apart() -> None:
    assert "eurlex-4k-text" in facts("eurlex-4k")[0]["same_name_as"]


def test_a_bare_metric_shows_all_its_definitions_and_a_full_name_the_one() -> None:
    assert len(facts("psp")) == sum(d.metric == "PSP" for d in describe()) > 1
    (one,) = facts("PSP(norm=none)@5")
    assert one["metric"] == "PSP(norm=none)"
    assert one["formula"]
    assert one["citation"]


def test_an_unknown_name_offers_the_nearest_of_all_kinds() -> None:
    for wrong, near in (("tre", "tree"), ("eurlex-4", "eurlex-4k"), ("PSnDGC", "PSnDCG")):
        result = CliRunner().invoke(app, ["info", wrong])
        assert isinstance(result.exception, UsageError)
        assert f"Did you mean {near!r}" in str(result.exception)


def test_parameters_for_controls_are_listed_apart() -> None:
    shown = {"name": "x", "default": 1, "doc": "d", "source": "s"}
    text = as_text({"parameters": [{**shown, "control": True}, {**shown, "name": "y"}]})
    assert text.index("  y = 1") < text.index("for controls and ablations:") < text.index("  x = 1")
    assert "controls" not in as_text({"parameters": [shown]})


def test_text_is_cleaned_and_empty_facts_are_left_out() -> None:
    said = as_text({"method": "a\x1b[2Jb", "needs": [], "citation": "@x{\x07}", "known_issues": ["one\r\x1btwo"]})
    assert "needs" not in said
    assert not any(c in said for c in "\x1b\x07\r")
    assert "@x{ }" in said


def test_what_scores_mean_and_whether_rows_compare() -> None:
    for name, comparable in (("tree", True), ("ovr", True), ("ance", True), ("knn", False), ("elias", False)):
        (found,) = facts(name)
        assert found["comparable_between_rows"] is comparable
        assert found["scores"]
    assert "comparable between rows:  no" in text("knn")
    assert "votes of the neighbours" in text("knn")
