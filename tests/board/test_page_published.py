"""Published values on the page: their protocol next to them, what can't be compared, and the filter by protocol."""

from __future__ import annotations

from typing import Any

from tests.board.browser import Reader

LINES = "section.on table.published tbody tr:visible"


def methods(page: Any) -> list[str]:
    return [text.split("\n")[0] for text in page.locator(f"{LINES} th").all_inner_texts()]


def test_the_protocol_is_next_to_the_values_at_any_width(reader: Reader) -> None:
    page = reader.page
    said = page.locator(f"{LINES} th small").all_inner_texts()
    assert said[0] == "no encoder; 3 models; split: XC repository"
    assert said[3] == "CNN (4 M parameters); 500 tokens; other PSP; split: EURLEX57K"
    page.set_viewport_size({"width": 390, "height": 844})
    around = page.get_by_role("region", name="published values")
    around.evaluate("it => it.scrollTo(300, 0)")
    box = page.locator(f"{LINES} th").first.bounding_box()
    assert box
    assert 0 <= box["x"] < 20, "it stays in view next to the values"
    assert box["width"] < 200
    assert not reader.wide()


def test_values_that_cannot_be_compared_are_marked(reader: Reader) -> None:
    cells = [" ".join(text.split()) for text in reader.page.locator(f"{LINES} td.marked").all_inner_texts()]
    assert cells == ["79.00 wrong", "40.00 other PSP"]


def test_the_filter_works_from_the_keyboard_and_is_in_the_address(reader: Reader) -> None:
    page = reader.page
    form = page.get_by_role("form", name="Published values to show")
    labels = [text.strip().split("\n")[0] for text in form.locator("label:visible").all_inner_texts()]
    assert labels == ["Encoder", "Input length, tokens", "Models averaged", "Definition of PSP", "Split"]
    assert form.get_by_label("Encoder").locator("option").all_inner_texts() == ["all", "CNN", "none", "not known"]
    form.get_by_label("Encoder").focus()
    page.keyboard.press("ArrowDown")
    assert methods(page) == ["XML-CNN"]
    assert form.get_by_role("status").inner_text() == "1 of 4 published rows"
    assert page.evaluate("document.activeElement.name") == "encoder", "the reader can go on choosing"
    page.reload()
    assert methods(page) == ["XML-CNN"]
    form.get_by_label("Definition of PSP").select_option("usual")
    assert methods(page) == []
    form.get_by_label("Encoder").select_option("all")
    assert methods(page) == ["Parabel (T=3)"]
    page.go_back()
    page.go_back()
    assert methods(page) == ["XML-CNN"]
    page.get_by_role("link", name="eurlex-4.3k title").click()
    page.get_by_role("link", name="eurlex-4.3k bow").click()
    assert len(methods(page)) == 4
    page.evaluate("location.hash = '#table=eurlex-4.3k/bow&encoder=nobody'")
    assert len(methods(page)) == 4, "a choice that does not exist hides nothing"
