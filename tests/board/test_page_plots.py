"""The figures of the committed board's tables in a browser: names stand clear, and numbers are those of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.board.browser import Reader

# Draws every table by every metric that ranks and every cost; returns a line for each name that meets a foreign point,
# another name or a line to one, and the numbers of points and of names.
CLASHES = """async () => {
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  const data = JSON.parse(document.getElementById("data").textContent);
  const clashes = [];
  let [points, names] = [0, 0];
  const choose = (id, value) => {
    const select = document.getElementById(id);
    select.value = value;
    select.dispatchEvent(new Event("change"));
  };
  for (const table of data.tables.filter(({ rows }) => rows.length)) {
    location.hash = "#table=" + table.id;
    await new Promise((done) => addEventListener("hashchange", () => setTimeout(done), { once: true }));
    for (const metric of table.tested) for (const cost of data.costs.keys()) {
      choose("quality", metric);
      choose("cost", cost);
      const dots = [...document.querySelectorAll("#plot .dot")].map((it) => it.getBoundingClientRect());
      const texts = [...document.querySelectorAll("#plot .name")];
      const boxes = texts.map((it) => it.getBoundingClientRect());
      points += dots.length;
      names += texts.length;
      texts.forEach((text, i) => {
        const others = [...dots, ...boxes.filter((_, j) => j !== i)];
        if (others.some((other) => meet(boxes[i], other))) {
          clashes.push([table.id, table.metrics[metric], data.costs[cost][0], text.textContent].join(" "));
        }
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
