"""The server's pages in a browser. Skipped without Playwright or a Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.board.browser import Reader

pytest.importorskip("fastapi", reason="the server's packages are missing: pip install -e '.[serve]'")
Open = Callable[..., Reader]
TEXT = "My mail is slow.\n\n</textarea><b>bold</b> & <script>alert(1)</script>"


@pytest.fixture
def read(browser: Any, url: str) -> Iterator[Open]:
    """Opens a page of the server; whatever went wrong on it, or left it, fails the test."""
    readers = []

    def open_page(path: str = "/", width: int = 1280, scheme: str = "light") -> Reader:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        readers.append(Reader(context.new_page(), url + path))
        return readers[-1]

    yield open_page
    for reader in readers:
        reader.page.context.close()
        assert reader.troubles == []


def predict(page: Any, text: str, k: str) -> None:
    page.get_by_label("Text").fill(text)
    page.get_by_label("Number of labels").fill(k)
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("table").wait_for()


def test_a_text_gets_labels_and_stays_in_the_form(read: Open) -> None:
    page = read().page
    assert page.get_by_role("table").count() == 0
    predict(page, TEXT, "2")
    rows = [row.split("\t") for row in page.locator("tbody tr").all_inner_texts()]
    assert [row[0] for row in rows] == ["1", "2"]
    assert {row[1] for row in rows} == {"<b>mail</b>", "slow"}  # a name is text, not markup
    assert all(0 < float(row[2]) <= 1 for row in rows)
    assert page.get_by_label("Text").input_value() == TEXT
    assert page.get_by_label("Number of labels").input_value() == "2"
    assert page.locator("b, script").count() == 0


def test_by_keyboard_alone(read: Open) -> None:
    page = read().page
    page.keyboard.type("a phone")  # the text has the focus
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    page.get_by_role("table").wait_for()
    assert page.locator("tbody tr").all_inner_texts()[0].split("\t")[1] == "phone"


def test_the_browser_sends_nothing_that_is_refused(read: Open) -> None:
    page = read().page
    for text, k in (("", "3"), ("a", "0"), ("a", "1001"), ("a", "")):
        page.get_by_label("Text").fill(text)
        page.get_by_label("Number of labels").fill(k)
        page.get_by_role("button", name="Predict").click()
        assert page.locator(":invalid").count() > 0
        assert page.get_by_role("table").count() == 0


def test_a_text_that_is_too_long_is_named_on_the_page(read: Open) -> None:
    reader = read()
    page = reader.page
    page.get_by_label("Text").evaluate("field => field.value = 'a '.repeat(600000)")
    page.get_by_role("button", name="Predict").click()
    assert "more than 1,048,576 bytes" in page.get_by_role("alert").inner_text()
    assert [text for text in reader.troubles if "422" not in text] == []
    reader.troubles.clear()  # the browser's console names the status


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_the_screen_and_can_be_read(read: Open, width: int, scheme: str) -> None:
    reader = read("/", width, scheme)
    predict(reader.page, "slow " * 50 + "x" * 300, "4")
    docs = read("/docs", width, scheme)
    assert "curl http://127.0.0.1" in docs.page.locator("pre").inner_text()
    for one in (reader, docs):
        assert not one.wide()
        back = one.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        for part in ("body", "a", "td"):
            style = f"getComputedStyle(document.querySelector('{part}')).color"
            assert contrast(one.page.evaluate(style), back if "0, 0, 0, 0" not in back else scheme) >= 4.5  # WCAG AA


def contrast(front: str, back: str) -> float:
    """The ratio of WCAG 2 of two colours as CSS computes them; a scheme's name stands for its usual background."""
    usual = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 18, 18)"}  # Chromium's
    lights = []
    for colour in (front, usual.get(back, back)):
        parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)
