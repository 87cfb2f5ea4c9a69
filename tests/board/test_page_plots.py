"""The figures of the committed board's tables in a browser: names stand clear, and numbers are those of the table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.board import sample
from tests.board.browser import ROOT, Reader
from xmcbench.board import html
from xmcbench.board.html_text import number, rounded
from xmcbench.board.model import Board, Row, Value
from xmcbench.plots import quality, recall
from xmcbench.plots.selection import Selection, select
from xmcbench.plots.sheet import style
from xmcbench.records.store import Store

# Draws every table by every metric that ranks and the main costs, and its recall; returns a line for each name that
# meets a point or another name, and the numbers of points and of names.
CLASHES = """async () => {
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  const data = JSON.parse(document.getElementById("data").textContent);
  const clashes = [];
  let [points, names] = [0, 0];
  for (const table of data.tables.filter(({ rows }) => rows.length)) {
    const quality = (place) => encodeURIComponent(table.metrics[place]);
    const costs = ["Fit", "Predict", "Memory"];
    const plots = table.tested.flatMap((place) => costs.map((cost) => `quality=${quality(place)}&cost=${cost}`));
    for (const plot of [...plots, "figure=recall"]) {
      const drawn = new Promise((done) => addEventListener("hashchange", () => setTimeout(done), { once: true }));
      location.hash = `#table=${table.id}&${plot}`;
      await drawn;
      const dots = [...document.querySelectorAll("#plot .dot")].map((it) => it.getBoundingClientRect());
      const texts = [...document.querySelectorAll("#plot .name")];
      const boxes = texts.map((it) => it.getBoundingClientRect());
      points += plot === "figure=recall" ? dots.length / 2 : dots.length;
      names += texts.length;
      texts.forEach((text, i) => {
        const others = [...dots, ...boxes.filter((_, j) => j !== i)];
        if (others.some((other) => meet(boxes[i], other))) clashes.push(`${table.id} ${plot} ${text.textContent}`);
      });
    }
  }
  return [clashes, points, names];
}"""


@pytest.fixture
def visitor(browser: Any, committed_page: Path) -> Any:
    """A function from an address and a width to a reader of the committed board."""
    readers = []

    def of(address: str = "", width: int = 1280) -> Reader:
        page = browser.new_page(viewport={"width": width, "height": 900})
        readers.append(Reader(page, committed_page.as_uri() + address))
        return readers[-1]

    yield of
    for reader in readers:
        assert reader.troubles == []
        reader.page.close()


@pytest.mark.parametrize(("width", "share"), [(1280, 0.97), (390, 0.9)])
def test_names_stand_clear_in_every_plot_of_the_committed_board(visitor: Any, width: int, share: float) -> None:
    """Hardly any name is left out, and none meets a point, its own included, or another name."""
    clashes, points, names = visitor(width=width).page.evaluate(CLASHES)
    assert clashes == []
    assert points > 1000
    print(f"{names} names of {points} points")
    assert names >= share * points


def numbers(page: Any) -> list[list[str]]:
    """The lines of the table below the figure."""
    page.get_by_text("Numbers of this figure").locator("visible=true").first.press("Enter")
    lines = page.get_by_role("region", name="Numbers of this figure").locator("tbody tr")
    lines.first.wait_for()  # the table is made when the browser says that its place is open
    return [[text.strip() for text in line.split("\t")] for line in lines.all_inner_texts()]


@pytest.fixture(scope="module")
def icd10cm() -> Selection:
    store = Store(ROOT / "leaderboards")
    return select(store, store.records(), dataset="icd10cm")


def drawn(axes: Any, scale: float = 1.0) -> list[tuple[str, str]]:
    """The points of a panel of `xmcbench plot`, as the page writes them."""
    found = [xy for line in axes.get_lines() if line.get_gid() == "point" for xy in zip(*line.get_data(), strict=True)]
    return sorted((number(rounded(float(x), scale)), f"{y:.2f}") for x, y in found)


@pytest.mark.parametrize(("cost", "panel", "scale"), [("Fit", 0, 1.0), ("Predict", 1, 1.0), ("Memory", 2, 1024.0)])
def test_points_are_those_of_the_command(visitor: Any, icd10cm: Selection, cost: str, panel: int, scale: float) -> None:
    pytest.importorskip("matplotlib")
    page = visitor(f"#table=icd10cm/bow&cost={cost}").page
    with style():
        expected = drawn(quality.draw(icd10cm).axes[panel], scale)
    shown = numbers(page)
    assert sorted((x, y) for _, x, y, _ in shown) == expected
    elias = next(line for line in shown if line[0] == "elias")
    one = next(one.row.values["nDCG@5"] for one in icd10cm.shown if one.name == "elias")
    assert elias[3] == f"({100 * (one.low or 0):.2f}–{100 * (one.high or 0):.2f})"
    colours = {dot.get_attribute("style") for dot in page.locator("#plot .dot").all()}
    assert "--family: #0072B2;" in colours
    assert len(colours) == page.locator("#caption .legend span").count() == 5
    assert page.locator("#plot .whisker").count() == len(shown)


def test_recall_is_that_of_the_command(visitor: Any, icd10cm: Selection, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("XMCBENCH_HOME", "/nonexistent")  # slim copies have no predictions, with or without the data set
    page = visitor("#table=icd10cm/bow").page
    page.get_by_role("combobox", name="Figure", exact=True).select_option("Recall")
    assert "figure=recall" in page.url
    assert not page.get_by_role("combobox", name="Cost", exact=True).is_visible()
    with style():
        lines = recall.draw(icd10cm).axes[0].get_lines()
    expected = sorted((f"{x:.0f}", f"{y:.2f}") for line in lines for x, y in zip(*line.get_data(), strict=True))
    shown = numbers(page)
    assert sorted((f"{float(x):.0f}", y) for _, x, y, _ in shown) == expected
    assert page.locator("#plot .series").count() == len(shown) / 2
    page.reload()
    assert page.locator("#plot .series").count() == len(shown) / 2


def tree(beam: int, milliseconds: float, value: float) -> Row:
    """A row of the method tree, whose beam is a query parameter."""
    row = next(row for row in sample.board().tables[0].rows if row.label == "xrlinear")
    return dataclasses.replace(
        row,
        label="tree" if beam == 10 else f"tree[beam={beam}]",
        name="tree",
        parameters={"beam": beam, "arity": 100},
        values=row.values | {"nDCG@5": Value(value, value - 0.01, value + 0.01)},
        costs=[dataclasses.replace(row.costs[0], predict_ms_per_row=milliseconds)],
        fit="tree",
    )


def test_settings_of_query_parameters_lie_on_pareto_lines(browser: Any, tmp_path: Path) -> None:
    table = sample.board().tables[0]
    other = next(row for row in table.rows if row.label == "ovr")
    rows = [tree(40, 4.0, 0.8), tree(10, 1.0, 0.7), tree(20, 2.0, 0.69), tree(5, 0.5, 0.6), other]
    board = Board([dataclasses.replace(table, rows=rows)], 5, "ab")
    (tmp_path / "index.html").write_text(html.page(board), encoding="utf-8")
    page = browser.new_page()
    reader = Reader(page, (tmp_path / "index.html").as_uri() + "#table=eurlex-4.3k/bow&figure=curve")
    assert page.locator("#plot .dot").count() == 4, "ovr has one setting"
    assert page.locator("#plot .dot.pale title").text_content().startswith("tree[beam=20]: 69.00 %")
    assert page.locator("#plot .series").get_attribute("d").count("L") == 2
    assert sorted(page.locator("#plot .name").all_text_contents()) == ["10", "20", "5", "tree: 40"]
    assert "tree: beam" in page.locator("#caption").inner_text()
    assert numbers(page)[0] == ["tree[beam=5]", "0.500", "60.00", "(59.00–61.00)"], "the fastest first"
    assert reader.troubles == []
    page.close()


def test_a_figure_that_a_table_lacks_is_not_offered(reader: Reader) -> None:
    page = reader.page
    assert not page.get_by_role("combobox", name="Figure", exact=True).is_visible(), (
        "recall at one k is no curve, and no fit has settings"
    )
    page.evaluate("location.hash += '&figure=curve&cost=nonsense&quality=nobody'")
    assert reader.plot().startswith("nDCG@5 against fit (s)")
