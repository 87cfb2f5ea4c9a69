"""The page in a headless browser, for tests that do what its readers do. Skipped without Playwright or a Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.board import sample
from xmcbench.board import build
from xmcbench.board.html import page

ROOT = Path(__file__).parents[2]
TABLE = "section.on table.main"
ROWS = f"{TABLE} tbody tr:visible"


class Reader:
    """A page that is open, and everything that went wrong on it or left it."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address, self.troubles = page, address, list[str]()
        page.on("console", lambda message: self.troubles.append(message.text))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("dialog", lambda dialog: self.troubles.append(dialog.message))
        page.on("request", self.asked)
        page.goto(address)

    def asked(self, request: Any) -> None:
        if request.url.split("#")[0] != self.address.split("#")[0] and not request.url.startswith("data:"):
            self.troubles.append(request.url)

    def column(self, title: str) -> list[str]:
        """The first line of each visible row's cell below the title, or below the first one that begins like it."""
        titles = self.page.locator(f"{TABLE} thead tr:last-child th").all_text_contents()
        n = 1 + next(i for i, text in enumerate(titles) if text == title or (text + " ").startswith(f"{title} "))
        return [text.split("\n")[0] for text in self.page.locator(f"{ROWS} > :nth-child({n})").all_inner_texts()]

    def plot(self) -> str:
        return str(self.page.locator("#plot svg").get_attribute("aria-label"))

    def wide(self) -> bool:
        """Whether the body scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.fixture(scope="session")
def sample_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the board that has everything."""
    file = tmp_path_factory.mktemp("page") / "index.html"
    file.write_text(page(sample.board()), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def committed_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the committed records, made by the code that is tested."""
    file = tmp_path_factory.mktemp("committed") / "index.html"
    file.write_bytes(build.make(ROOT / "leaderboards", look=False).files["index.html"])
    return file


@pytest.fixture
def reader(browser: Any, sample_page: Path) -> Iterator[Reader]:
    """A reader of the first board of that page; whatever went wrong meanwhile fails the test."""
    yield from _reader(browser, sample_page.as_uri() + "#table=eurlex-4.3k/bow")


@pytest.fixture
def newcomer(browser: Any, sample_page: Path) -> Iterator[Reader]:
    """A reader of that page whose address names no board."""
    yield from _reader(browser, sample_page.as_uri())


def _reader(browser: Any, address: str) -> Iterator[Reader]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    reader = Reader(context.new_page(), address)
    yield reader
    context.close()
    assert reader.troubles == []
