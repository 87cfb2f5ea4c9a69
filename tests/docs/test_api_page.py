"""The page of the Python API names every public name of `xmcbench`."""

from __future__ import annotations

from pathlib import Path

import xmcbench

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_page_has_every_public_name() -> None:
    whole = {"xmcbench.method", "xmcbench.errors"}  # modules whose members are all on the page
    assert all(f"automodule:: {module}\n" in PAGE for module in whole)
    places = {name: module for name, module in xmcbench._MODULE_OF.items() if module not in whole}
    assert [name for name, module in places.items() if f":: {module}.{name}\n" not in PAGE] == []
