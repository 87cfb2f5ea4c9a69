"""What is shown is in the address: columns, ticked rows, ranks, filter; and what comparing two rows says."""

from __future__ import annotations

import pytest

from tests.board import sample
from tests.board.browser import TABLE, Reader

HEADS = f"{TABLE} thead tr:last-child th:visible"


def test_at_1280_pixels_no_column_is_cut(reader: Reader) -> None:
    page = reader.page
    heads = [text.strip() for text in page.locator(HEADS).all_inner_texts()]
    metrics = ["nDCG@5", "P@1", "PSP@5", "R@100"]
    assert heads == ["Rank by nDCG@5", "Method", *metrics, "Fit, s", "Predict, ms per row", "Memory, MiB"]
    table, around = page.locator(TABLE), page.locator("section.on .scroll").first
    assert table.evaluate("it => it.offsetWidth") <= around.evaluate("it => it.clientWidth")
    assert not reader.wide()
    for head in page.locator(HEADS).all():
        assert head.evaluate("it => it.scrollWidth <= it.clientWidth")


def test_intervals_are_bars_with_numbers(reader: Reader) -> None:
    page = reader.page
    elias = next(row for row in sample.board().tables[0].rows if row.label == "elias[beam=10]").values["P@1"]
    cell = page.locator(f"{TABLE} tbody tr", has_text="elias[beam=10]").locator("td.range").nth(1)
    assert (elias.low, elias.high) != (None, None)
    low, high = 100 * (elias.low or 0), 100 * (elias.high or 0)
    assert cell.get_attribute("title") == f"95 % interval {low:.2f} to {high:.2f}; sd 0.12 over 3 seeds"
    assert cell.evaluate("it => getComputedStyle(it, '::after').height") == "3px"
    assert cell.inner_text().strip() == f"{100 * (elias.value or 0):.2f}"
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("Intervals as numbers").check()
    assert f"{low:.2f}–{high:.2f}" in cell.inner_text()


def test_columns_are_in_the_address(reader: Reader) -> None:
    page = reader.page
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="P@3").check()
    page.get_by_role("checkbox", name="Memory").uncheck()
    assert [text.strip() for text in page.locator(HEADS).all_inner_texts()][-3:] == [
        "P@3",
        "Fit, s",
        "Predict, ms per row",
    ]
    page.reload()
    assert "P@3" in page.locator(HEADS).all_inner_texts()[6]
    page.go_back()
    assert "Memory" in page.locator(HEADS).all_inner_texts()[-1]
    page.go_back()
    assert [text.strip() for text in page.locator(HEADS).all_inner_texts()][5:7] == ["R@100", "Fit, s"]
    page.get_by_text("Columns", exact=True).click()
    assert not page.get_by_role("checkbox", name="P@3").is_checked()


def test_head_and_first_columns_stay_in_view(reader: Reader) -> None:
    page = reader.page
    page.set_viewport_size({"width": 390, "height": 500})
    around = page.locator("section.on .scroll").first
    around.evaluate("it => it.scrollIntoView()")
    first = page.locator(HEADS).first
    row = page.locator(f"{TABLE} tbody tr").nth(9)
    before = [first.bounding_box(), row.locator("th").bounding_box()]
    around.evaluate("it => it.scrollTo(250, 250)")
    after = [first.bounding_box(), row.locator("th").bounding_box()]
    box = around.bounding_box()
    assert box
    assert all(before)
    assert all(after)
    assert after[0]["y"] < box["y"] + 40, "the head is at the top of the box"  # type: ignore[index]
    assert after[0]["x"] == before[0]["x"]  # type: ignore[index]
    assert abs(after[1]["x"] - before[1]["x"]) < 1, "the method moves up only"  # type: ignore[index]
    assert after[1]["y"] == before[1]["y"] - 250  # type: ignore[index]
    page.set_viewport_size({"width": 1280, "height": 500})
    row.scroll_into_view_if_needed()
    page.mouse.wheel(0, 300)
    page.wait_for_timeout(200)
    box = first.bounding_box()
    assert box
    assert 0 <= box["y"] < 60, "a table that fits has its head at the top of the window"


def test_two_ticked_rows_are_compared(reader: Reader) -> None:
    page = reader.page
    rows = {row.label: row for row in sample.board().tables[0].rows}
    page.get_by_label("Compare knn").check()
    assert "tick another method" in page.locator("#pair").inner_text()
    page.get_by_label("Compare ovr").check()
    said = page.locator("#pair").inner_text()
    gap = 100 * ((rows["knn"].values["nDCG@5"].value or 0) - (rows["ovr"].values["nDCG@5"].value or 0))
    assert f"nDCG@5 −{-gap:.2f} (−{-gap + 0.4:.2f} to −{-gap - 0.4:.2f}) points" in said
    assert "adjusted p = 0.0012: ovr is significantly better than knn." in said
    assert "on AMD EPYC, 2 cores, 24 GiB, 2 threads: fit 0.0019 ×" in said
    page.get_by_label("Rank by").select_option("P@1")
    assert "P@1 −" in page.locator("#pair").inner_text()
    page.get_by_label("Compare elias", exact=True).check()
    said = page.locator("#pair").inner_text()
    assert said.startswith("ovr compared with elias"), "of three, the first loses its tick"
    assert "elias is significantly better than ovr" in said
    assert "Costs: on other machines, not compared." in said
    page.reload()
    assert page.locator("#pair").inner_text() == said
    page.go_back()
    assert page.locator("#pair").inner_text().startswith("knn compared with ovr")
    page.go_back()
    assert "nDCG@5 −" in page.locator("#pair").inner_text()
    page.get_by_label("Compare ovr").uncheck()
    page.get_by_label("Compare knn").uncheck()
    assert not page.locator("#pair").is_visible()


def test_rows_without_a_test_are_not_judged(reader: Reader) -> None:
    page = reader.page
    page.get_by_label("Compare <img").check()
    page.get_by_label("Compare ovr").check()
    said = page.locator("#pair").inner_text()
    assert "nDCG@5 does not rank both, so there is no test of them." in said
    assert "not compared" in said


@pytest.mark.parametrize("metric", sample.TESTED)
def test_every_pair_of_the_page_is_that_of_the_board(reader: Reader, metric: str) -> None:
    """Ticked in either order, the page shows the board's difference."""
    table = sample.board().tables[0]
    page = reader.page
    page.get_by_label("Rank by").select_option(metric)
    for i, j in ((0, 9), (9, 0), (3, 4), (10, 7)):
        found = table.difference(metric, i, j)
        assert found is not None
        a, b = (table.rows[k].label for k in (i, j))
        page.evaluate(
            "([a, b]) => { const p = new URLSearchParams(location.hash.slice(1)); p.delete('tick');"
            "p.append('tick', a); p.append('tick', b); location.hash = '#' + p; }",
            [a, b],
        )
        page.get_by_role("heading", name=f"{a} compared with {b}").wait_for()
        shown = f"{metric} {100 * found.value:+.2f} (".replace("-", "−")
        assert shown in page.locator("#pair").inner_text()


def test_the_filter_is_in_the_address(reader: Reader) -> None:
    page = reader.page
    page.get_by_label("Find").fill("bonsai")
    page.get_by_role("combobox", name="Family").select_option("tree")
    page.reload()
    assert page.get_by_label("Find").input_value() == "bonsai"
    assert sorted(reader.column("Method")) == ["bonsai", "omikuji[preset=bonsai]"]
    page.get_by_role("link", name="All data sets").click()
    assert page.locator(".matrix").is_visible()
    assert page.title() == "All data sets · xmcbench leaderboards"
    page.go_back()
    assert page.get_by_role("combobox", name="Family").input_value() == "tree"


def test_a_tick_far_down_shows_its_comparison_in_the_window(reader: Reader) -> None:
    page = reader.page
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 700})
        last = page.locator(f"{TABLE} tbody input").last
        last.scroll_into_view_if_needed()
        last.check()
        box = page.locator("#pair").bounding_box()
        assert box
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 700 + 1
        last.uncheck()


def test_the_order_of_rows_is_in_the_address(reader: Reader) -> None:
    page = reader.page
    page.get_by_role("button", name="Memory, MiB").click()
    ascending = reader.column("Method")
    page.get_by_role("button", name="Memory, MiB").click()
    assert page.url.endswith("&sort=-Memory")
    descending = reader.column("Method")
    page.reload()
    assert reader.column("Method") == descending != ascending
    page.go_back()
    assert reader.column("Method") == ascending
    page.go_back()
    assert page.locator(f"{TABLE} th[aria-sort=ascending]").inner_text().startswith("Rank by"), "as at first"
    page.get_by_role("button", name="Memory, MiB").click()
    page.get_by_label("Rank by").select_option("P@1")
    assert "sort" not in page.url, "ranks by another metric are shown in their order"


def test_costs_of_the_slowest_queries_have_a_column(reader: Reader) -> None:
    page = reader.page
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="Query 99th percentile").check()
    assert "Query 99th percentile, ms" in [text.strip() for text in page.locator(HEADS).all_inner_texts()]


def test_an_address_of_no_board_is_said_to_be_one(newcomer: Reader) -> None:
    newcomer.page.goto(newcomer.address + "#table=nosuch/bow")
    said = newcomer.page.locator("#missing")
    assert said.inner_text() == "This page has no board nosuch/bow: choose one below."
    newcomer.page.get_by_role("link", name="Skip the matrix").focus()
    newcomer.page.locator("#choice a").nth(1).click()
    assert not said.is_visible()
