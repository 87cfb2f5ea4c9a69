"""The page's plot and its methods' pages in a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.board import sample
from tests.board.browser import ROWS, TABLE, Reader
from xmcbench.board import html
from xmcbench.board.model import Board
from xmcbench.cli.plain import clean


def test_the_plot_follows_axis_metric_and_machine(reader: Reader) -> None:
    page = reader.page
    assert reader.plot().startswith("P@1 against fit (s) on AMD EPYC, 2 cores, 24 GiB, 2 threads: 8 methods")
    names = page.locator("#plot .name").all_text_contents()
    assert sorted(names) == sorted({*sample.METHODS} - {"elias", "elias[beam=10]", "popularity", sample.NASTY})
    boxes = [box for box in (each.bounding_box() for each in page.locator("#plot .name").all()) if box]
    assert len(boxes) == 8
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            across = min(a["x"] + a["width"], b["x"] + b["width"]) - max(a["x"], b["x"])
            down = min(a["y"] + a["height"], b["y"] + b["height"]) - max(a["y"], b["y"])
            assert across <= 0 or down <= 3, "names stand clear of each other"
    assert page.locator("#plot .busy").count() == 1
    assert "popularity (the floor" in page.locator("#beside").inner_text()

    page.get_by_role("combobox", name="Cost", exact=True).select_option("Memory (MiB)")
    page.get_by_label("Quality").select_option("R@100")
    assert reader.plot().startswith("R@100 against memory (MiB) on AMD EPYC")
    assert page.locator("#plot .busy").count() == 0, "memory is what it is on a busy machine"
    page.get_by_label("Costs on").select_option(f"{sample.GPU}, 2 threads")
    assert reader.plot().startswith("R@100 against memory (MiB) on NVIDIA H100, 16 cores, 128 GiB, 2 threads: 2")
    assert sorted(page.locator("#plot .name").all_text_contents()) == ["elias", "elias[beam=10]"]
    shown = page.locator(f"{TABLE} thead th:visible").all_inner_texts()
    assert [text for text in shown if text.startswith("Costs on")] == [f"Costs on {sample.GPU}, 2 threads"]
    fits = page.locator(f"{ROWS} > :nth-child({4 + len(sample.METRICS)}):visible")
    assert fits.count() == 0, "costs of the other machine class are gone"


def test_the_frontier_is_what_nothing_beats(reader: Reader) -> None:
    rows = [row for row in sample.board().tables[0].rows if row.ranks.get("P@1") and not row.floor]
    points = [
        (row.label, row.values["P@1"].value, cost.fit_seconds)
        for row in rows
        for cost in row.costs
        if cost.machine == sample.EPYC
    ]
    best = {a for a, va, ca in points if not any(vb >= va and cb <= ca for b, vb, cb in points if b != a)}
    assert set(reader.page.locator("#plot .name.front").all_text_contents()) == best


def test_a_methods_page_and_back(reader: Reader) -> None:
    page = reader.page
    page.get_by_label("Find").fill("ovr")
    page.get_by_role("link", name="ovr", exact=True).click()
    title = page.locator("#method h2")
    assert title.inner_text() == "ovr"
    assert page.evaluate("document.activeElement.textContent") == "ovr"
    assert not page.locator("#board").is_visible()
    text = page.locator("#method").inner_text()
    assert "xmcbench run 'ovr' --dataset eurlex-4.3k --view bow --seeds 3" in text
    assert "defaults; nothing was chosen on this data" in text
    assert '"teacher"' in text
    assert "20261110T042802-ovr-eurlex-4.3k-bow" in text
    standing = page.get_by_role("region", name="Rank on every data set").locator("tbody tr")
    assert [line.split("\t")[:2] for line in standing.all_inner_texts()] == [
        ["eurlex-4.3k, bag of words", "1 of 11"],
        ["eurlex-4.3k, title", "1 of 4"],
    ]
    page.locator("#method summary", has_text="eurlex-4.3k, title").click()
    page.get_by_text("xmcbench run 'ovr' --dataset eurlex-4.3k --view title --seeds 3").wait_for()
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_role("button", name="Copied").or_(page.get_by_role("button", name="Selected")).first.wait_for()

    page.go_back()
    assert page.locator("#board").is_visible()
    assert page.get_by_label("Find").input_value() == "ovr"
    assert reader.column(2) == ["ovr"]
    assert page.evaluate("document.activeElement.textContent") == "ovr", "the reader is where they were"


def test_an_address_leads_to_a_method(browser: Any, sample_page: Path) -> None:
    page = browser.new_page()
    address = sample_page.as_uri()
    reader = Reader(page, f"{address}#method=omikuji%5Bpreset%3Dbonsai%5D&table=eurlex-4.3k%2Ftitle")
    assert page.locator("#method h2").inner_text() == "omikuji[preset=bonsai]"
    page.get_by_role("link", name="← eurlex-4.3k, title").click()
    assert page.locator("h2:visible").all_inner_texts() == ["eurlex-4.3k, title"]
    page.evaluate("location.hash = '#method=nobody'")
    page.get_by_text("No method of this name has a record.").wait_for()
    page.evaluate("location.hash = '#table=%zz'")
    page.locator("#board").wait_for()
    assert reader.troubles == []
    page.close()


def test_texts_from_outside_are_inert(reader: Reader) -> None:
    page = reader.page
    page.get_by_role("link", name="<img src=x").click()
    assert page.locator("#method h2").inner_text() == clean(sample.NASTY)
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 3
    assert page.title().startswith(clean(sample.NASTY)[:20])


def test_published_values_alone_have_no_tools_and_no_plot(browser: Any, tmp_path: Path) -> None:
    ours, *_ = sample.board().tables
    alone = replace(ours, key="amazon-3m/bow", dataset="amazon-3m", rows=[], tested=[], slices={})
    file = tmp_path / "index.html"
    file.write_text(html.page(Board([ours, alone], records=9, digest="ab" * 32)), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(5000)
    reader = Reader(context.new_page(), file.as_uri())
    page = reader.page
    assert page.get_by_label("Find").is_visible()
    page.get_by_role("link", name="amazon-3m published").click()
    assert page.locator("section.on .published").is_visible()
    assert not page.get_by_label("Find").is_visible()
    assert not page.locator("#figures").is_visible()
    page.get_by_role("link", name="eurlex-4.3k bow").click()
    assert page.get_by_label("Find").is_visible()
    assert page.locator("#plot svg").is_visible()
    context.close()
    assert reader.troubles == []
