"""`doctor --warm` runs each method once, says what it compiled, and a broken plugin does not stop it."""

from __future__ import annotations

import pytest

from xmcbench.cli import warming
from xmcbench.runs import registry
from xmcbench.runs.registry import Source


def test_methods_are_warmed_one_by_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    here = registry.sources()
    broken = Source("broken", "no_such_module:Broken", "broken 1.0")
    chosen = {"broken": broken, "omikuji": here["omikuji"], "knn": here["knn"], "popularity": here["popularity"]}
    monkeypatch.setattr(registry, "sources", lambda: chosen)
    warming.warm()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["broken", "knn", "popularity"]  # a peer brings compiled code
    assert "no_such_module" in lines[0]
    assert "compiled kernels for" in lines[1]


def test_a_method_that_is_warm_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {"knn": registry.sources()["knn"]}
    monkeypatch.setattr(registry, "sources", lambda: chosen)
    said: list[str] = []
    monkeypatch.setattr(warming, "say", lambda text, err: said.append(text))
    warming.warm()
    warming.warm()
    assert said[-1] == "knn: compiled kernels for 0.0 s"
