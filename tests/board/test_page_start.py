"""The start view in a browser: what a new reader finds there without opening anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.board.browser import Reader
from tests.board.test_overview import ONE, SMALL, TWO, row, table
from xmcbench.board.html import page as make
from xmcbench.board.model import Board

MATRIX = ".matrix tbody tr"


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Any:
    """A function from a board, an address and a width to a reader of its page, which is opened once for each width."""
    readers: dict[tuple[int, int], Reader] = {}

    def of(board: Board, address: str = "", width: int = 1280) -> Reader:
        file = tmp_path / f"{id(board)}.html"
        if not file.exists():
            file.write_text(make(board), encoding="utf-8")
        if (id(board), width) in readers:
            readers[id(board), width].page.goto(file.as_uri() + address)
        else:
            page = browser.new_page(viewport={"width": width, "height": 900})
            readers[id(board), width] = Reader(page, file.as_uri() + address)
        return readers[id(board), width]

    yield of
    for reader in readers.values():
        assert reader.troubles == []
        reader.page.close()


def test_a_newcomer_reads_what_is_best_by_how_much_and_what_it_costs(opened: Any) -> None:
    """Which method is best on a data set, by how much over `tree`, at what cost; and which for rare labels."""
    page = opened(Board([ONE, SMALL, TWO], 9, "ab")).page
    line = page.get_by_role("region", name="The best on each data set").locator("tbody tr", has_text="two, bow")
    said = line.inner_text()
    assert "90,000 labels" in said
    assert "ovr 61.00, tied with elias" in said
    assert "+0.90 over tree (−0.10 to 1.90)" in said
    assert "9.0 × its fit time" in said
    assert "ovr 50.00, tied with elias and tree" in said
    answers = page.locator(".answers").inner_text()
    for question in ("Best overall", "Best for rare labels", "Cheapest within one point of the best"):
        assert question in answers
    links = page.locator("nav a:visible").all_inner_texts()
    assert links == ["All data sets", "two bow", "one bow", "small bow, small"], "the largest label space first"
    assert not page.locator("#board").is_visible()


def test_the_matrix_follows_its_metric_and_says_what_a_value_means(opened: Any) -> None:
    page = opened(Board([ONE, SMALL, TWO], 9, "ab")).page
    texts = [[cell.strip() for cell in line.split("\t")] for line in page.locator(MATRIX).all_inner_texts()]
    assert [cells[0] for cells in texts] == ["elias", "ovr", "tree"], "by mean rank"
    assert [cells[-3:] for cells in texts] == [
        ["60.9", "80.0", "45.0"],
        ["61.0", "79.5", "–"],
        ["60.1", "79.2", "40.0"],
    ]
    assert texts[0][1] == "1.3–1.7"  # (1, 2), (1, 1) and (2, 2)
    assert texts[1][1].startswith("1.5–2.5")
    assert "on 2 of 3" in texts[1][1]
    cell = page.get_by_role("link", name="60.90, elias on two, bow")
    cell.focus()
    said = page.locator("#cell").inner_text()
    assert (
        said == "elias on two, bow: nDCG@5 60.90, rank 1–2; +0.80 (−0.20 to 1.80) compared with tree, 36 × its fit time"
    )
    page.get_by_label("All rows").check()
    assert page.locator(MATRIX).count() == 4
    assert "rows=all" in page.url
    page.get_by_label("Metric").select_option("PSP@5")
    assert page.locator(f"{MATRIX} >> text=50.0").count() == 9
    page.get_by_role("link", name="50.00, ovr on one, bow").click()
    assert page.locator("section.on h2").inner_text() == "one, bow"
    assert page.get_by_label("Rank by").evaluate("it => it.selectedOptions[0].text") == "PSP@5"
    page.go_back()
    assert page.get_by_label("Metric").input_value() == "PSP@5"
    assert page.locator(MATRIX).count() == 4
    page.go_back()
    assert page.get_by_label("Metric").input_value() == "nDCG@5"
    page.go_back()
    assert page.locator(MATRIX).count() == 3


LONG = "م<b>&" + "x" * 296


def test_hostile_boards_open(opened: Any) -> None:
    """Ties everywhere, one row, 200 rows, names of 300 characters with HTML and right-to-left letters, no values."""
    ties = table("ties", [row(f"m{i}", (1, 12), 0.5) for i in range(12)])
    many = table("many", [row(f"m{i}[a={i}]", (i + 1, i + 1), 0.9 - i / 1000, 1.0 + i) for i in range(200)])
    named = table("named", [row(LONG, (1, 2), 0.5, 1.0), row("m1", (1, 2), 0.5, 2.0, "B")])
    bare = dataclasses.replace(
        ONE, dataset="bare", rows=[dataclasses.replace(ONE.rows[0], values={}, ranks={}, costs=[])]
    )
    one = table("one", [row("m0", (1, 1), 0.5)])
    board = Board([ties, many, named, bare, one], 9, "ab")
    for width in (1280, 390):
        reader = opened(board, "#rows=all", width)
        assert reader.page.locator(MATRIX).count() == 12 + 200 + 1 + 1
        assert not reader.wide()
        assert reader.page.locator("b").count() == 0
    for name in ("ties", "many", "named", "bare", "one"):
        reader = opened(board, f"#table={name}/bow", 390)
        assert reader.page.locator("section.on table.main").is_visible()
        assert not reader.wide()
    page = opened(board, "#table=many/bow&tick=m0%5Ba=0%5D&tick=m1%5Ba=1%5D").page
    assert "too many rows" in page.locator("#pair").inner_text()
    assert "xmcbench compare" in page.locator("#pair").inner_text()
    assert "fit 0.50 ×" in page.locator("#pair").inner_text()
    page = opened(board, "#table=named/bow&tick=m1&tick=" + "nobody").page
    assert "tick another" in page.locator("#pair").inner_text()
    page.locator("section.on tbody input").first.check()
    said = page.locator("#pair").inner_text()
    assert "no test separates them" in said
    assert "on other machines, not compared" in said


def test_only_tables_scroll_on_a_phone(newcomer: Reader) -> None:
    page = newcomer.page
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert not newcomer.wide()
        box = page.locator(".matrix").bounding_box()
        assert box
        assert box["width"] > width, "the matrix goes on"
    page.get_by_role("link", name="ovr", exact=True).click()
    assert page.locator("#method h2").inner_text() == "ovr"
    page.get_by_role("link", name="← ").click()
    assert page.locator("section.on h2").inner_text() == "EURLEX-4.3K, bow"


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, sample_page: Path, colours: str) -> None:
    """axe-core's rules on the start view, a board with two ticked rows and numbers, and a method's page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    page = browser.new_page(color_scheme=colours, bypass_csp=True)
    for address in ("", "#table=eurlex-4.3k/bow&tick=ovr&tick=knn", "#method=ovr&table=eurlex-4.3k/bow"):
        page.goto(sample_page.as_uri() + address)
        page.locator("h2:visible").first.wait_for()
        if "tick" in address:
            page.get_by_text("Numbers of this figure").click()
            page.get_by_role("region", name="Numbers of this figure").wait_for()
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
        ]
        assert serious == []
    page.close()


def test_a_link_from_further_down_leads_to_the_heading(newcomer: Reader) -> None:
    """By mouse and by keyboard; back to where the reader was from a method's page."""
    page = newcomer.page
    link = page.locator("table.best a").last
    link.scroll_into_view_if_needed()
    assert page.evaluate("scrollY") > 0
    link.focus()
    page.keyboard.press("Enter")
    heading = page.locator("section.on h2")
    assert heading.evaluate("it => { const y = it.getBoundingClientRect().top; return y >= 0 && y < innerHeight; }")
    assert heading.evaluate("it => it === document.activeElement"), "the link is gone, and Tab goes on from here"
    method = page.locator("section.on table.main th a").last
    method.scroll_into_view_if_needed()
    at = page.evaluate("scrollY")
    method.click()
    assert page.evaluate("scrollY") == 0
    page.get_by_role("link", name="← ").click()
    assert page.evaluate("scrollY") == at


def test_the_matrix_can_be_skipped(newcomer: Reader) -> None:
    page = newcomer.page
    page.get_by_role("link", name="Skip the matrix").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "The best on each data set"
    assert page.url == newcomer.address
