from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xmcbench.errors import UsageError, XmcError
from xmcbench.runs import registry

GOOD = """
from xmcbench.method import MethodInfo

class Demo:
    info = MethodInfo("demo", "a demonstration", "other", "1")
    @classmethod
    def skip(cls, data, machine): ...
    def fit(self, train, ctx): ...
    def predict(self, inputs, k, ctx): ...
    def save(self, folder): ...
    def load(self, folder): ...
"""


@pytest.fixture(autouse=True)
def forget_sources(site: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(site.folder))
    registry.sources.cache_clear()
    yield
    registry.sources.cache_clear()


def test_built_in_methods_have_their_registered_names() -> None:
    for name in registry.BUILT_IN:
        assert registry.get(name).info.name == name


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'popularity'"):
        registry.get("populrity")


def test_a_plugin_is_found_by_its_metadata_and_imported_when_used(site: Any) -> None:
    site.add("some-demo", "demo_found", GOOD, {"demo": "demo_found:Demo"})
    assert registry.sources()["demo"] == registry.Source("demo", "demo_found:Demo", "some-demo 1.0")
    assert registry.get("demo").info.summary == "a demonstration"


@pytest.mark.parametrize(
    ("code", "target", "cause"),
    [
        ("import no_such_library", "demo_broken:Demo", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("1 / 0", "demo_broken:Demo", "ZeroDivisionError"),
        ("def f(:", "demo_broken:Demo", "SyntaxError"),
        (GOOD, "demo_broken:Other", "AttributeError"),
        (GOOD, "no_such_module:Demo", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "demo_broken:Demo", "SystemExit"),
        ("Demo = 3", "demo_broken:Demo", "not a method class"),
        ("class Demo:\n    fit = save = load = None", "demo_broken:Demo", "lacks info, skip, predict"),
        ("class Demo:\n    info = skip = fit = predict = save = load = 1", "demo_broken:Demo", "info is a int"),
    ],
)
def test_a_broken_plugin_breaks_only_itself(
    site: Any, code: str, target: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "demo_broken", raising=False)
    site.add("some-demo", "demo_broken", code, {"demo": target})
    assert "demo" in registry.sources()
    assert registry.get("popularity").info.name == "popularity"
    with pytest.raises(XmcError, match=cause):
        registry.get("demo")


@pytest.mark.parametrize("content", [b"[xmcbench.methods]\nno equals sign\n", b"\xff\xfe[xmcbench"])
def test_damaged_metadata_hides_no_other_plugin(site: Any, content: bytes) -> None:
    site.add("bad-demo", "demo_damaged", GOOD, {})
    (site.folder / "bad_demo-1.0.dist-info" / "entry_points.txt").write_bytes(content)
    site.add("good-demo", "demo_whole", GOOD, {"demo": "demo_whole:Demo"})
    assert {"demo", *registry.BUILT_IN} <= set(registry.sources())
    assert [text.split(":")[0] for text in registry.damaged()] == ["bad-demo 1.0"]


def test_a_taken_name_stays_with_its_owner_and_the_clash_is_told(site: Any) -> None:
    site.add("some-demo", "demo_taken", GOOD, {"popularity": "demo_taken:Demo", "demo": "demo_taken:Demo"})
    assert registry.sources()["popularity"].origin == "xmcbench"
    assert registry.clashes() == [
        "popularity: xmcbench.methods.popularity:Popularity (xmcbench) is used, demo_taken:Demo is not"
    ]


def test_two_plugins_of_one_name(site: Any) -> None:
    site.add("b-demo", "demo_b", GOOD, {"demo": "demo_b:Demo"})
    site.add("a-demo", "demo_a", GOOD, {"demo": "demo_a:Demo"})
    assert registry.sources()["demo"].target == "demo_a:Demo"  # by name of the target, not by order on the disk
    assert registry.clashes() == ["demo: demo_a:Demo (a-demo 1.0) is used, demo_b:Demo is not"]


def test_a_class_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    assert registry.typed(f"{file}:Demo").info.name == "demo"
    file.write_text(GOOD.replace("a demonstration", "changed"))
    assert registry.typed(f"{file}:Demo").info.summary == "changed"


@pytest.mark.parametrize(
    ("text", "error", "kind"),
    [
        ("FOLDER/none.py:Demo", "no such file", UsageError),
        ("FOLDER/mine.py:Demi", "Did you mean 'Demo'", UsageError),
        ("FOLDER/mine.py:Plain", "not a method class", XmcError),
        ("FOLDER/fails.py:Demo", "import fails: ZeroDivisionError", XmcError),
    ],
)
def test_a_class_in_a_file_that_cannot_be_had(tmp_path: Path, text: str, error: str, kind: type[XmcError]) -> None:
    (tmp_path / "mine.py").write_text(GOOD + "\nclass Plain: ...\n")
    (tmp_path / "fails.py").write_text("1 / 0")
    with pytest.raises(kind, match=error):
        registry.typed(text.replace("FOLDER", str(tmp_path)))


def test_two_files_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(GOOD.replace("a demonstration", f"from {folder}"))
    first = registry.typed(f"{tmp_path}/a/mine.py:Demo")
    second = registry.typed(f"{tmp_path}/b/mine.py:Demo")
    assert (first.info.summary, second.info.summary) == ("from a", "from b")


def test_only_what_a_user_typed_loads_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    with pytest.raises(UsageError, match="a class in a file"):
        registry.get(f"{file}:Demo")
