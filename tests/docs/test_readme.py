"""The README's commands are the ones that are run, and every verb and file it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from xmcbench.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_ci_runs_the_readmes_test_command() -> None:
    command = next(line.strip() for line in README.splitlines() if line.strip().endswith(".venv/bin/tox"))
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert command in script


def test_every_command_shown_parses() -> None:
    group = typer.main.get_command(app)
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = set(re.findall(r"^ {4}(?:\.venv/bin/)?xmcbench (\w+)(?: (\w+))?", text, re.M))
    assert len(shown) > 10
    for verb, word in shown:
        known = group.commands  # type: ignore[attr-defined]
        assert verb in known, verb
        if verbs := getattr(known[verb], "commands", None):
            assert word in verbs, f"{verb} {word}"


def test_every_file_the_house_page_names_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 8
    for row in rows:
        first, *_ = row.strip("| ").split(" | ")
        names = re.findall(r"`([^`]+)`", first)
        folder = (ROOT / names[0]).parent
        for name in names:
            if name.startswith("plugins/") and not list(ROOT.glob("plugins/*")):
                continue  # taken out: the rest stands alone
            assert (ROOT / name).exists() or (folder / name).exists(), name
