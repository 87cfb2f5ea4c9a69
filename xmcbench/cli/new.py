"""`xmcbench new method NAME`: write the skeleton of a plugin distribution."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from xmcbench.cli.terminal import say
from xmcbench.errors import UsageError

FILES = {
    "pyproject.toml.tmpl": "pyproject.toml",
    "README.md.tmpl": "README.md",
    "method.py.tmpl": "src/{package}/__init__.py",
    "test_contract.py.tmpl": "tests/test_contract.py",
}
LONGEST_NAME = 60  # characters


def new(
    kind: Annotated[str, typer.Argument(metavar="method", help="Kind of skeleton; only 'method'.")],
    name: Annotated[str, typer.Argument(help="The method's name: lower case letters, digits and dashes.")],
    to: Annotated[Path | None, typer.Option(help="Folder to write; must not exist. Default: xmcbench-NAME.")] = None,
) -> None:
    """Write a working plugin distribution to start from.

    It contains a small method, its contract test, and the entry point that registers it with xmcbench.
    """
    if kind != "method":
        raise UsageError(f"can't write a new {kind!r}", "Use: xmcbench new method NAME")
    folder = to or Path(f"xmcbench-{name}")
    module = write_skeleton(name, folder)
    say(f"Wrote {folder}. Next:\n")
    say(f'  pip install -e "{folder}[test]"\n  pytest {folder}\n  xmcbench run {name}\n')
    say(f"Then put your own idea into {module}.")


def write_skeleton(name: str, folder: Path) -> Path:
    """Write the filled templates of `xmcbench/skeleton` to a new folder; the path of the method's module.

    Raises
    ------
    UsageError : the name is invalid or in use, or the folder exists.
    DataError : the folder can't be written.
    """
    from xmcbench.files import temporary_folder
    from xmcbench.runs import registry

    class_name = "".join(word.capitalize() for word in name.split("-"))
    if (
        len(name) > LONGEST_NAME
        or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name)
        or keyword.iskeyword(class_name)
    ):
        raise UsageError(
            f"{name[:100]!r} can't be a method's name",
            f"Use up to {LONGEST_NAME} lower case letters, digits and single dashes.",
        )
    if existing := registry.sources().get(name):
        raise UsageError(f"a method {name!r} exists already, from {existing.origin}", "Choose another name.")
    if folder.exists():
        raise UsageError(f"{folder} exists already", "Choose another folder with --to.")
    placeholders = {
        "name": name,
        "distribution": f"xmcbench-{name}",
        "package": "xmcbench_" + name.replace("-", "_"),
        "class_name": class_name,
        "title": name.replace("-", " ").capitalize(),
    }
    targets = {template: target.format(**placeholders) for template, target in FILES.items()}
    with temporary_folder(folder.parent, folder.name) as work:
        for template, target in targets.items():
            text = (Path(__file__).parents[1] / "skeleton" / template).read_text(encoding="utf-8")
            (work / target).parent.mkdir(parents=True, exist_ok=True)
            (work / target).write_text(Template(text).substitute(placeholders), encoding="utf-8")
        work.chmod(0o755)
        work.rename(folder)
    return folder / targets["method.py.tmpl"]
