"""The README's commands are the ones that are run, and every verb and file it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from xmcbench.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

ELIAS = ROOT / "plugins" / "elias" / "src" / "xmcbench_elias"


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


def test_every_file_that_the_architecture_page_names_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package, folder, names = ROOT / "xmcbench", ROOT / "xmcbench", 0
    for line in page.splitlines():
        for name in re.findall(r"`([\w./]+(?:/|\.py))`", line):
            if name.startswith("plugins/") and not list(ROOT.glob("plugins/*")):
                continue  # a copy without the plugins
            names += 1
            inside = name.endswith("/") and (folder / name).is_dir()
            if line.startswith("| `") and line.startswith(f"| `{name}`") and (package / name).is_dir():
                folder = package / name
            assert inside or any((place / name).exists() for place in (ROOT, package, folder, ELIAS)), name
    assert names > 40
