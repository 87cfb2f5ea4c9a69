"""The files and parameters that the README names exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from xmcbench_elias.params import EliasParams
from xmcbench_elias.presets import PRESETS

PLUGIN = Path(__file__).resolve().parents[1]
ROOT = PLUGIN.parents[1]
README = (PLUGIN / "README.md").read_text(encoding="utf-8")


def test_every_file_it_names_exists() -> None:
    places = PLUGIN / "src" / "xmcbench_elias", ROOT, ROOT / "tests" / "benchmarks"
    named = set(re.findall(r"[\w/]+\.py\b", README))
    assert {"params.py", "search/search.py"} < named
    assert [name for name in sorted(named) if not any((place / name).is_file() for place in places)] == []


def test_every_parameter_it_names_exists() -> None:
    names = {field.name for field in dataclasses.fields(EliasParams)} | {"preset"}
    settings = [part for inside in re.findall(r"elias\[([^\]]+)\]", README) for part in inside.split(",")]
    assert len(settings) > 5
    assert {setting.split("=")[0] for setting in settings} <= names
    assert {setting.split("=")[1] for setting in settings if setting.startswith("preset=")} <= set(PRESETS)
