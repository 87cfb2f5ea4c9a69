"""Pages of the site that come from code: metrics, data sets, commands, and one leaderboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click
import typer

from xmcbench.cli.app import app
from xmcbench.cli.info import as_text, dataset_facts, metric_facts
from xmcbench.data.catalogue import catalogue
from xmcbench.escaping import clean_lines, markdown
from xmcbench.metrics import describe

LEADERBOARD = Path(__file__).parents[2] / "leaderboards" / "tables" / "icd10cm--bow.md"


def write_pages(folder: Path) -> None:
    """Write each generated page into `folder` if its text changed; Sphinx reads changed pages only."""
    pages = {"metrics": metrics(), "datasets": datasets(), "commands": commands(), "icd10cm": leaderboard()}
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        page = folder / f"{name}.md"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def metrics() -> str:
    """One section per definition, with what `xmcbench info` prints."""
    parts = [
        "# Metrics",
        "What `xmcbench info NAME` prints for each metric. Names take a cut-off and a slice of labels, such as `P@5`, "
        "`PSP(norm=none)@5` and `R@100:tail`. Values are fractions in files and percent on screen.",
    ]
    for definition in describe():
        facts = metric_facts(definition)
        parts += [f"## {markdown(facts['metric'])}", literal(as_text(facts))]
    return "\n\n".join(parts) + "\n"


def datasets() -> str:
    """A table of the catalogue, and one section per data set with what `xmcbench info` prints."""
    entries = list(catalogue().values())
    counts = ("n_train", "n_test", "n_labels")
    rows = [
        [
            entry.name,
            *map(number, (entry.expected.get(count) for count in counts)),
            ", ".join(entry.views),
            entry.licence,
        ]
        for entry in entries
    ]
    parts = [
        "# Data sets",
        "The catalogue. `xmcbench data fetch NAME` downloads and checks the files of a data set, "
        "`xmcbench data where NAME` shows where each file is. A number that is not known before reading is shown as –.",
        table(["name", "train", "test", "labels", "views", "licence"], rows),
    ]
    for entry in entries:
        parts += [f"## {markdown(entry.name)}", literal(as_text(dataset_facts(entry)))]
    return "\n\n".join(parts) + "\n"


def commands() -> str:
    """One section per command, with its `--help`."""
    parts = ["# Commands", "What `xmcbench COMMAND --help` prints for each command."]
    root = typer.main.get_command(app)
    with click.Context(root, info_name="xmcbench", max_content_width=100, terminal_width=100) as context:
        for path, command in leaves(root, context):
            parts += [f"## {path.command_path}", literal(command.get_help(path))]
    return "\n\n".join(parts) + "\n"


def leaves(command: click.Command, context: click.Context) -> Iterable[tuple[click.Context, click.Command]]:
    """Every command without subcommands, each with its context, in the order of `--help`."""
    subcommands: Mapping[str, click.Command] | None = getattr(command, "commands", None)
    if subcommands is None:
        yield context, command
        return
    for name, subcommand in subcommands.items():
        yield from leaves(subcommand, command.context_class(subcommand, info_name=name, parent=context))


def leaderboard() -> str:
    """The table of one leaderboard, as it is committed."""
    return LEADERBOARD.read_text(encoding="utf-8")


def literal(text: str) -> str:
    """A block of text shown as it is; its fence is longer than any run of backticks in the text."""
    text = clean_lines(text)
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text.rstrip()}\n{fence}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; its cells are escaped."""
    lines = [titles, ["---"] * len(titles), *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
