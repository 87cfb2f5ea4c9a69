"""Help and listings load no heavy library; their CPU seconds are measured in tests/benchmarks/startup.py."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from xmcbench.cli.app import app

HEAVY = ("torch", "numba", "sklearn", "transformers", "scipy", "numpy", "matplotlib", "pandas", "requests")
CHILD = """
import json, sys
from xmcbench.cli.main import main
sys.argv = ["xmcbench", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    print()
    print(json.dumps([end.code or 0, sorted({name.partition(".")[0] for name in sys.modules})]))
else:
    print()
    print(json.dumps([0, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def loaded_by(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", CHILD, *words], capture_output=True, text=True, check=True)
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


def verbs() -> list[str]:
    commands = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    return sorted([*commands, *(str(group.name) for group in app.registered_groups)])


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["ls", "methods"], *([v, "--help"] for v in verbs())])
def test_nothing_heavy_is_imported(words: list[str]) -> None:
    assert loaded_by(*words).isdisjoint(HEAVY)


def test_help_does_not_even_need_rich() -> None:
    assert "rich" not in loaded_by("--help")


def test_public_names_are_listed_before_their_first_use() -> None:
    listed = "import xmcbench as xb; print(set(dir(xb)) == set(xb.__all__))"
    assert subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True).stdout == "True\n"


def test_import_of_the_package_alone_loads_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import xmcbench; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} <= {
        *sys.stdlib_module_names,
        "xmcbench",
    }
