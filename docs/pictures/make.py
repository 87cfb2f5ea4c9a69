"""Make the pictures of the pages: `python docs/pictures/make.py` (needs Playwright, a Chromium and matplotlib)."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
BOARD = HERE.parents[1] / "leaderboards" / "index.html"
COMMAND = ["xmcbench", "run", "tree", "knn", "ovr", "--dataset", "synthetic[labels=100,rows=1000,test=200]"]


def terminal(path: Path) -> None:
    """The first run of the user guide with its table."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(COMMAND, cwd=folder, capture_output=True, text=True, check=True)
    shown = re.sub(r"^.*, run \d+ of \d+ · .*\n", "", done.stdout, flags=re.M)  # progress, which a terminal erases
    with open("/dev/null", "w") as nowhere:
        console = Console(record=True, width=120, file=nowhere)
        console.print(Text(f"$ {' '.join(COMMAND[:-1])} '{COMMAND[-1]}'\n{shown}"))
    picture = console.export_svg(title="xmcbench")
    # without the fonts that rich would load from the network
    path.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.S), encoding="utf-8")


def board(path: Path) -> None:
    """What the page begins with."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1010})
        page.goto(BOARD.as_uri())
        page.screenshot(path=path)
        browser.close()
    with Image.open(path) as picture:  # few colours: a third of the bytes
        picture.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def plot(path: Path) -> None:
    """Quality against costs on ICD-10-CM."""
    words = ["plot", str(BOARD.parent), "--dataset", "icd10cm", "--to", str(path)]
    subprocess.run(["xmcbench", *words], check=True)


if __name__ == "__main__":
    terminal(HERE / "terminal.svg")
    board(HERE / "board.png")
    plot(HERE / "plot.svg")
