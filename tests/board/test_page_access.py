"""The page for those who use a keyboard, a screen reader, a phone or dark colours."""

from __future__ import annotations

import itertools

import pytest

from tests.board.browser import Reader

# every control and scrolling box on view, with the name a screen reader would say
NAMES = """() => [...document.querySelectorAll("a, button, input, select, summary, [tabindex='0'], svg, nav, form")]
  .filter((it) => it.checkVisibility())
  .map((it) => [it.outerHTML.slice(0, 80),
    it.getAttribute("aria-label") || [...(it.labels ?? []), it].map((own) => own.textContent).join(" ")])"""

# texts on view whose contrast is below 4.5 : 1
FAINT = """() => {
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const parse = (colour) => colour.match(/[0-9.]+/g).map(Number);
  const behind = (it) => {
    for (; it; it = it.parentElement) {
      const colour = parse(getComputedStyle(it).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour.slice(0, 3);
    }
  };
  return [...document.querySelectorAll("body *")].filter((it) => it.checkVisibility())
    .filter((it) => [...it.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())).flatMap((it) => {
      const style = getComputedStyle(it);
      const own = parse(it.namespaceURI.endsWith("svg") ? style.fill : style.color).slice(0, 3);
      const [a, b] = [own, behind(it)].map(light);
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      return contrast < 4.5 ? [[it.textContent.slice(0, 40), contrast]] : [];
    });
}"""

# levels of the headings on view
LEVELS = """() => [...document.querySelectorAll("h1, h2, h3, h4")].filter((it) => it.checkVisibility())
  .map((it) => Number(it.tagName[1]))"""


# words that stand on two lines
BROKEN = """(all) => all.flatMap((it) => [...it.textContent.matchAll(/[^ ]+/g)].filter(({ 0: word, index }) => {
  const range = new Range();
  range.setStart(it.firstChild, index);
  range.setEnd(it.firstChild, index + word.length);
  return range.getClientRects().length > 1;
}).map(([word]) => word))"""


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_every_control_has_a_name_headings_are_in_order_and_texts_stand_out(reader: Reader, colours: str) -> None:
    page = reader.page
    page.emulate_media(color_scheme=colours)
    page.get_by_text("How to read this page").click()
    for view in ("table", "method"):
        assert [html for html, name in page.evaluate(NAMES) if not name.strip()] == []
        levels = page.evaluate(LEVELS)
        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), levels
        assert page.evaluate(FAINT) == []
        tables = page.locator("table:visible")
        assert tables.count() == tables.locator("> caption").count()
        assert page.locator("thead th:not([scope])").count() == 0
        if view == "table":
            page.get_by_role("link", name="bonsai", exact=True).click()


def test_by_keyboard_alone(newcomer: Reader) -> None:
    page = newcomer.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the tables"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "metric"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.get_by_role("link", name="synthetic bow").press("Enter")
    page.get_by_role("heading", name="SYNTHETIC").wait_for()
    page.get_by_role("link", name="Skip").press("Enter")
    page.get_by_role("link", name="knn").press("Enter")
    page.get_by_role("link", name="Skip").press("Enter")
    assert page.locator("h2:visible").all_inner_texts() == ["knn"], "to skip changes nothing on view"


def test_on_a_phone_only_tables_scroll_sideways(reader: Reader) -> None:
    page = reader.page
    for width in (360, 320):
        page.set_viewport_size({"width": width, "height": 700})
        page.locator("#caption li").nth(7).wait_for()
        assert not reader.wide()
        numbers = page.locator("#plot .name").all_text_contents()
        assert sorted(numbers, key=int) == [str(i + 1) for i in range(8)]
        assert page.locator("#caption li").count() == 8, "the names are next to the plot"
        page.get_by_role("link", name="<img src=x").click()
        assert not reader.wide()
        page.go_back()


def test_a_phone_shows_a_score_first_and_that_tables_go_on(reader: Reader) -> None:
    page = reader.page
    page.set_viewport_size({"width": 390, "height": 844})
    for metric in ("P@1", "R@100"):
        page.get_by_label("Rank by").select_option(metric)
        cell = page.locator("section.on table.main tbody tr").first.locator("td").nth(1)
        box = cell.bounding_box()
        assert box
        assert box["x"] + box["width"] <= 390
    table = page.locator("section.on .scroll").first
    edge = {"x": 366, "y": 400, "width": 8, "height": 8}
    looks = []
    for left in (0, 9999):
        table.evaluate("(it, left) => { it.scrollLeft = left; it.style.removeProperty('background-image'); }", left)
        table.evaluate("(it) => scrollTo(0, it.getBoundingClientRect().top + scrollY)")
        shown = page.screenshot(clip=edge)
        table.evaluate("(it) => { it.style.backgroundImage = 'none'; }")
        looks.append(shown != page.screenshot(clip=edge))
    assert looks == [True, False], "a shadow where more lies beyond the edge, none where the table ends"


def test_words_are_whole_on_a_phone(reader: Reader) -> None:
    page = reader.page
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("link", name="ovr", exact=True).click()
    names = page.get_by_role("region", name="Rank on every data set").locator("tbody th a")
    names.first.wait_for()
    assert names.all_inner_texts() == ["EURLEX-4.3K, bow", "EURLEX-4.3K, title"]
    assert names.evaluate_all(BROKEN) == []


def test_dark_and_light(reader: Reader) -> None:
    page = reader.page
    button = page.get_by_role("button", name="Dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark, "what was chosen is kept"
    button.click()
    assert page.evaluate(ground) == light
    page.evaluate("localStorage.clear()")
    page.emulate_media(color_scheme="dark")
    page.reload()
    assert page.evaluate(ground) == dark, "without a choice the system's colours hold"
    assert button.get_attribute("aria-pressed") == "true"
