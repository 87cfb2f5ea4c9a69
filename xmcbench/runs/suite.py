"""Suites: a TOML file that says which methods run on which data sets, so that the runs of a study are one file.

    k = 100
    metrics = ["P@1", "nDCG@5"]

    [[run]]
    methods = ["tree", "elias[beam=10|20]"]
    datasets = ["eurlex-4.3k"]
    view = "title"
    set = ["epochs=5"]
    seeds = [0, 1, 2]

Each `[[run]]` is what one command `xmcbench run` plans, in the same words. A suite runs what it names, and adds no
baseline. It names installed methods only: no file decides which code runs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from xmcbench.errors import DataError, UsageError, cannot_read, unknown
from xmcbench.files import atomic
from xmcbench.inputs import read_file, toml_value, typed
from xmcbench.runs.plan import make_plan
from xmcbench.runs.registry import is_in_a_file
from xmcbench.runs.spec import RunSpec

Names = Annotated[tuple[str, ...], Meta(min_length=1)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
HINT = "docs/suites.md describes suites; `xmcbench run … --save-suite FILE` writes one."


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The runs of each method on each data set with each seed; the arguments of `make_plan`.

    Attributes
    ----------
    methods : names with parameters, "elias[beam=10|20]".
    datasets : names of data sets.
    view : of each data set; None is its default view.
    set : parameters of all methods that have them, "epochs=5".
    tune, curve : as the options of `xmcbench run`.
    """

    methods: Names
    datasets: Names
    view: str | None = None
    set: tuple[str, ...] = ()
    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1)] = (0,)
    tune: bool = False
    curve: bool = False


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a suite file holds: `k` labels predicted per row, names of `metrics` (none: the standard set), tables."""

    run: Annotated[tuple[Table, ...], Meta(min_length=1)]
    k: Annotated[int, Meta(ge=1, le=2**31 - 1)] = 100
    metrics: tuple[str, ...] = ()

    def plan(self) -> list[RunSpec]:
        """All runs, table by table; equal runs are planned once. Data sets must have their full names.

        Raises UsageError: a name or a value is not valid.
        """
        runs: dict[tuple[object, ...], RunSpec] = {}
        for number, table in enumerate(self.run, 1):
            try:
                planned = make_plan(
                    table.methods,
                    table.datasets,
                    view=table.view,
                    settings=table.set,
                    seeds=table.seeds,
                    k=self.k,
                    curve=table.curve,
                    tune=table.tune,
                    baseline=False,
                )
            except UsageError as error:
                if len(self.run) == 1:
                    raise
                raise UsageError(f"[[run]] {number}: {error.message}", error.hint) from error
            for spec in planned:
                runs.setdefault((*spec.data, spec.spec_hash("", "")), spec)
        return list(runs.values())


def read(path: Path) -> Suite:
    """The suite in a file; the full names of its data sets are not looked up yet.

    Raises
    ------
    DataError : the file can't be read, is not TOML, or has an unknown key or a value of another type.
    UsageError : it names a method in a file.
    """
    try:
        content = read_file(path)
    except OSError as error:
        raise cannot_read(path, error) from error
    raw = toml_value(content, str(path), HINT)
    _check_keys(raw, content.decode(), path)
    suite = typed(raw, Suite, str(path), HINT)
    _check_methods(suite, path)
    return suite


def write(suite: Suite, path: Path) -> None:
    """Write a suite that `read` reads; lists are written as users typed them, so that grids stay readable.

    Raises
    ------
    UsageError : the file exists already, or a method is in a file.
    WriteError : it can't be written.
    """
    _check_methods(suite, path)
    if path.exists():
        raise UsageError(f"{path} exists already", "Choose another file, or remove it first.")
    top = msgspec.to_builtins(suite)
    tables = top.pop("run")
    parts = [_lines(top), *("[[run]]\n" + _lines(table) for table in tables)]
    with atomic(path) as file:
        file.write("\n".join(filter(None, parts)).encode())


def _lines(values: dict[str, Any]) -> str:
    """Keys and values as TOML: its strings, numbers, booleans and lists on one line are those of JSON.

    But for one character: TOML wants DEL escaped.
    """
    texts = ((key, json.dumps(value, ensure_ascii=False)) for key, value in values.items())
    return "".join(f"{key} = {text}\n" for key, text in texts).replace("\x7f", "\\u007f")


def _check_keys(raw: dict[str, Any], text: str, path: Path) -> None:
    """Refuse unknown keys with their line and the nearest valid key."""
    _check_known(raw, Suite, f"key in {path}", text, 0)
    tables = raw.get("run")
    for number, table in enumerate(tables if isinstance(tables, list) else ()):
        if isinstance(table, dict):
            _check_known(table, Table, f"key of [[run]] {number + 1} in {path}", text, number + 1)


def _check_known(table: dict[str, Any], form: type[msgspec.Struct], kind: str, text: str, before: int) -> None:
    for key in table:
        if key not in form.__struct_fields__:
            error = unknown(kind, key, form.__struct_fields__)
            line = _line_of(key, text, before)
            raise DataError(error.message + (f", line {line}" if line else ""), error.hint)


def _line_of(key: str, text: str, before: int) -> int | None:
    """The line that sets a key after `before` headers [[run]], if it is written in the usual way."""
    headers = 0
    for number, line in enumerate(text.splitlines(), 1):
        headers += line.strip().startswith("[[run]]")
        if headers == before and re.match(rf"\s*\[?[\"']?{re.escape(key)}[\"']?\s*[=.\]]", line):
            return number
    return None


def _check_methods(suite: Suite, path: Path) -> None:
    for text in (text for table in suite.run for text in table.methods):
        if is_in_a_file(text.partition("[")[0].strip()):
            hint = "Run it without a suite, or install it: `xmcbench new method NAME` writes a package."
            raise UsageError(f"{path}: {text!r} is a class in a file; a suite names installed methods only", hint)
