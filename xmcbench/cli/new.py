"""`xmcbench new method NAME`: write the skeleton of a plugin distribution."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from xmcbench.errors import UsageError

FILES = {
    "pyproject.toml.tmpl": "pyproject.toml",
    "README.md.tmpl": "README.md",
    "method.py.tmpl": "src/{package}/__init__.py",
    "test_contract.py.tmpl": "tests/test_contract.py",
}


def new(
    kind: Annotated[str, typer.Argument(metavar="method", help="Kind of skeleton; only 'method'.")],
    name: Annotated[str, typer.Argument(help="The method's name: lower case letters, digits and dashes.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to write; it must not exist. Default: xmcbench-NAME.")
    ] = None,
) -> None:
    """Write a working plugin distribution to start from.

    It contains a small method, its contract test, and the entry point that registers it with xmcbench.
    """
    if kind != "method":
        raise UsageError(f"can't write a new {kind!r}", "Use: xmcbench new method NAME")
    folder = Path(f"xmcbench-{name}") if to is None else to
    write_skeleton(name, folder)
    typer.echo(f"Wrote {folder}. Next:\n")
    typer.echo(f'  pip install -e "{folder}[test]"\n  pytest {folder}\n  xmcbench run {name}\n')
    typer.echo(f"Then put your own idea into {folder / FILES['method.py.tmpl'].format(package=_package(name))}.")


def write_skeleton(name: str, folder: Path) -> None:
    """Write the filled templates of `xmcbench/skeleton` to a new folder.

    Raises
    ------
    UsageError : the name is invalid or in use, or the folder exists.
    """
    from xmcbench.files import atomic

    _validate(name, folder)
    placeholders = {
        "name": name,
        "distribution": f"xmcbench-{name}",
        "package": _package(name),
        "class_name": _class_name(name),
        "title": name.replace("-", " ").capitalize(),
    }
    templates = Path(__file__).parents[1] / "skeleton"
    for template, target in FILES.items():
        text = Template((templates / template).read_text(encoding="utf-8")).substitute(placeholders)
        with atomic(folder / target.format(package=placeholders["package"])) as file:
            file.write(text.encode())


def _validate(name: str, folder: Path) -> None:
    from xmcbench.runs import registry

    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(_class_name(name)):
        raise UsageError(f"{name!r} can't be a method's name", "Use lower case letters, digits and single dashes.")
    if name in registry.sources():
        existing = registry.sources()[name]
        raise UsageError(f"a method {name!r} exists already, from {existing.origin}", "Choose another name.")
    if folder.exists():
        raise UsageError(f"{folder} exists already", "Choose another folder with --to.")


def _package(name: str) -> str:
    return "xmcbench_" + name.replace("-", "_")


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))
