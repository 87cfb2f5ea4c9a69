"""Fixtures every test may use."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("any machine", deadline=None)  # 200 ms is too short on a busy machine
hypothesis.settings.load_profile("any machine")
os.environ.setdefault("TRITON_INTERPRET", "1")  # Triton's kernels run without a GPU; read when it is imported

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = (
    *("--no-sandbox", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(autouse=True, scope="session")
def signals_reach_children() -> None:
    """A shell's background jobs ignore SIGINT, and under nohup SIGHUP; so would the processes that tests start."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data, oracles and reference files; it is not part of the project."""
    folder = Path(os.environ.get("XMCBENCH_SHARED", ROOT.parent / "shared"))
    if not (folder / "oracles").is_dir():
        pytest.skip(f"development data not found at {folder}: set XMCBENCH_SHARED to its folder")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into a user's cache."""
    if "XMCBENCH_TEST_HOME" not in os.environ:
        monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path_factory.getbasetemp() / "home"))
    else:
        monkeypatch.setenv("XMCBENCH_HOME", os.environ["XMCBENCH_TEST_HOME"])
    monkeypatch.delenv("XMCBENCH_MIRROR", raising=False)


class Site:
    """A folder of throw-away distributions, as an installer would leave them, and processes that see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def add(self, distribution: str, package: str, code: str, entry_points: dict[str, str]) -> None:
        """An importable package with metadata, without an installer."""
        (self.folder / package).mkdir()
        (self.folder / package / "__init__.py").write_text(code)
        info = self.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = "".join(f"{name} = {target}\n" for name, target in entry_points.items())
        (info / "entry_points.txt").write_text(f"[xmcbench.methods]\n{lines}")

    def xmcbench(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the command line beside the folder, in a process of its own that also sees what was added."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-m", "xmcbench", *words]
        return subprocess.run(
            command, env=environment, cwd=self.folder.parent, capture_output=True, text=True, timeout=300
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Where a test may put plugin distributions of its own."""
    return Site(tmp_path / "site")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium for all tests of pages: Playwright allows one per process."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium found: apt-get install chromium")
    acts = [(playwright.Locator, "click"), (playwright.Locator, "press"), (playwright.Page, "goto")]
    with playwright.sync_playwright() as play, pytest.MonkeyPatch.context() as patch:
        for owner, name in [*acts, (playwright.Page, "go_back")]:
            patch.setattr(owner, name, _answered(getattr(owner, name)))
        browser = play.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        browser.close()


# A page shows what a new address says in a task of its own, which a busy machine may run after the click returned.
NEXT_TASK = "() => new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true))))"


def _answered(act: Callable[..., Any]) -> Callable[..., Any]:
    """The act of a page or of its part, done when the page has run the tasks that it started."""

    @wraps(act)
    def wrapper(self: Any, *args: Any, **options: Any) -> Any:
        result = act(self, *args, **options)
        page = getattr(self, "page", self)
        if "#" in page.url:  # else nothing is in the address, and a page without scripts runs no tasks
            page.wait_for_function(NEXT_TASK)
        return result

    return wrapper
