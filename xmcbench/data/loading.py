"""Load a `Dataset` by name: find its source, fetch its files, parse them once, open the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xmcbench.context import Reporter
from xmcbench.data import cache
from xmcbench.data.catalogue import Entry, catalogue, entry
from xmcbench.data.recipes import recipe
from xmcbench.data.spec import Dataset, Parsed
from xmcbench.data.validate import validate
from xmcbench.errors import UsageError, unknown


@dataclass(frozen=True)
class Source:
    """A data set that can be parsed: its facts, everything that the parse depends on, and the parse function."""

    name: str
    view: str
    revision: str
    propensity: tuple[float, float]
    depends_on: Mapping[str, Any]
    parse: Callable[[], Parsed]


def load(name: str, view: str | None, *, offline: bool, progress: Reporter | None) -> Dataset:
    """See `xmcbench.data.load`."""
    source = find(name, view, offline=offline, reporter=progress or Reporter())
    key = cache.key_of(source.depends_on)
    cached = cache.open_or_build(cache.folder_of(source.name, source.view, key), key, source.parse)
    return Dataset(
        **vars(cached.parsed),
        name=source.name,
        view=source.view,
        revision=source.revision,
        content_hash=cached.content_hash,
        propensity=source.propensity,
    )


def find(name: str, view: str | None, *, offline: bool, reporter: Reporter) -> Source:
    """Find the source of a data set by name and fetch its files.

    Raises
    ------
    UsageError, DataError : as in `xmcbench.data.load`.
    """
    if name.partition("[")[0].strip().casefold() == "synthetic":
        return _synthetic_source(name, view, reporter)
    try:
        facts = entry(name)
    except UsageError:
        from xmcbench.data.importing import imported_names

        imports = imported_names()
        if name in imports:
            return _imported_source(name, view, reporter)
        catalogue_names = {alias for e in catalogue().values() for alias in (e.name, *e.aliases)}
        raise unknown("data set", name, {*catalogue_names, *imports}) from None
    return _catalogue_source(facts, view, offline=offline, reporter=reporter)


def _catalogue_source(facts: Entry, view: str | None, *, offline: bool, reporter: Reporter) -> Source:
    from xmcbench.data.fetch import fetch_files
    from xmcbench.data.hashes import remembered

    view = view or facts.default_view
    files = fetch_files(facts, view, offline=offline, progress=reporter)
    dataset_recipe = recipe(facts.recipe)
    depends_on = {
        "recipe": [facts.recipe, dataset_recipe.version],
        "view": view,
        "options": dict(facts.options),
        "files": {role: remembered(path).sha256 for role, path in sorted(files.items())},
    }

    def parse() -> Parsed:
        reporter.phase("parse")
        parsed = dataset_recipe.run(files, view, facts.options)
        expected = dict(facts.expected)
        if parsed.train.features is None:
            expected.pop("n_features", None)
        validate(parsed, facts.name, expected)
        return parsed

    return Source(facts.name, view, facts.revision, facts.propensity, depends_on, parse)


def _synthetic_source(name: str, view: str | None, reporter: Reporter) -> Source:
    from xmcbench.data import synthetic

    facts = entry("synthetic")
    parameters = synthetic.parameters(name)
    facts.forms_for(view)  # raises for an unknown view

    def parse() -> Parsed:
        reporter.phase("make")
        parsed = synthetic.make(parameters)
        validate(parsed, parameters.name)
        return parsed

    depends_on = {"synthetic": synthetic.VERSION, **dataclasses.asdict(parameters)}
    return Source(parameters.name, facts.default_view, facts.revision, facts.propensity, depends_on, parse)


def _imported_source(name: str, view: str | None, reporter: Reporter) -> Source:
    from xmcbench.data.hashes import remembered
    from xmcbench.data.importing import find_imported

    facts = find_imported(name)
    view = facts.view(view)

    def parse() -> Parsed:
        reporter.phase("parse")
        parsed = facts.parse(view)
        validate(parsed, name)
        return parsed

    files = sorted(path for path in facts.folder.rglob("*") if path.is_file())
    depends_on = {"view": view, "files": {path.name: remembered(path).sha256 for path in files}}
    return Source(name, view, facts.revision, facts.propensity, depends_on, parse)
